//! Backups and restores over whole nodes: a lost cluster goes on as a new one, alone or as several nodes have planned it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use support::{CEILING, Node, config, free_addresses, start};
use vedfolnir_cluster::archive::{ArchivedEntry, CommittedError, Mark, SegmentName};
use vedfolnir_cluster::backup::{BackupId, BackupKey, BackupReport, BackupRequest, Packing, load};
use vedfolnir_cluster::restore::{ArchivedLog, Replayed, RestoreError, RestoreOptions, Until, restore, restore_to};
use vedfolnir_cluster::state::{Command, Contents, KvExpected, KvPut, PidHash, Register, Response, State};
use vedfolnir_cluster::{ClusterConfig, StartError, StartKind};

async fn propose(node: &Node, command: Command) -> Response {
    let ticket = node.cluster.propose(command).unwrap();
    tokio::time::timeout(CEILING, ticket).await.expect("committed in time").unwrap()
}

async fn alone(dir: &Path) -> Node {
    let [address] = free_addresses();
    let node = start(config(dir, address, &[], None)).await.unwrap();
    node.ready().await;
    node
}

fn key() -> BackupKey {
    BackupKey::new("a key that is long enough for a test").unwrap()
}

async fn back_up(node: &Node) -> (Vec<u8>, BackupReport) {
    let request = BackupRequest {
        id: BackupId::at(1_738_060_200),
        timestamp: "2025-01-28T10:30:00.000Z".to_owned(),
        packing: Packing { compression_level: Some(1), key: Some(key()) },
        contents: Contents::default(),
        read_timeout: CEILING,
    };
    node.cluster.write_backup(request, Vec::new()).await.unwrap()
}

fn options() -> RestoreOptions {
    RestoreOptions { key: Some(key()), ..RestoreOptions::default() }
}

/// A cluster with something in it, its backup, and how many records were in it.
async fn backed_up() -> (Vec<u8>, BackupReport) {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path()).await;
    let register = Register {
        pid: PidHash([1; 16]),
        sid: "sid".into(),
        namespace: "/".into(),
        user: Some("ada".into()),
        data: Bytes::from_static(b"data"),
    };
    assert!(matches!(propose(&node, Command::Register(register)).await, Response::Registered { .. }));
    let put =
        KvPut { key: "key".into(), value: Bytes::from_static(b"value"), ttl_ms: None, expected: KvExpected::Absent };
    propose(&node, Command::KvPut(put)).await;
    for number in 0..20 {
        node.publish(&number.to_string()).await;
    }
    let Response::Published { position } = node.publish("acknowledged").await else { panic!("not published") };
    let (file, report) = back_up(&node).await;
    assert!(report.about.raft_index >= position.index, "what was acknowledged is in it");
    assert_eq!(report.about.cluster_id, node.cluster.identity().cluster_id);
    assert_eq!((report.about.counts.messages, report.about.counts.connected), (21, 1));
    assert_eq!(report.written.bytes, file.len() as u64);
    node.cluster.shutdown().await;
    (file, report)
}

fn is_restored(state: &State) {
    assert_eq!(state.history_size().0, 21);
    assert_eq!(state.kv_get("key").unwrap().value, b"value"[..]);
    let session = state.session(&PidHash([1; 16])).unwrap();
    assert_eq!((&*session.sid, session.user.as_deref(), &session.data[..]), ("sid", Some("ada"), &b"data"[..]));
    assert!(!session.connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_node_goes_on_as_a_new_cluster_that_others_join() {
    let (file, report) = backed_up().await;
    let loaded = load(file.as_slice(), Some(&key())).unwrap();
    loaded.compare_hashes().unwrap();
    assert_eq!(loaded.about, report.about);
    let dirs: [tempfile::TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let dry = restore(dirs[0].path(), file.as_slice(), &RestoreOptions { dry_run: true, ..options() }).unwrap();
    assert_eq!((dry.counts.sessions, dry.cluster_id.as_str()), (1, ""));
    assert_eq!(std::fs::read_dir(dirs[0].path()).unwrap().count(), 0, "a dry run writes nothing");
    let restored = restore(dirs[0].path(), file.as_slice(), &options()).unwrap();
    assert!(restored.cluster_id != report.about.cluster_id);

    // Found initialised also with the wish to form a cluster of three.
    let addresses = free_addresses::<3>();
    let starts = std::array::from_fn::<_, 3, _>(|i| start(config(dirs[i].path(), addresses[i], &addresses, Some(3))));
    let [a, b, c] = starts;
    let (a, b, c) = tokio::join!(a, b, c);
    let nodes = [a.unwrap(), b.unwrap(), c.unwrap()];
    let kinds = [StartKind::Restarted, StartKind::Joined, StartKind::Joined];
    for ((node, kind), address) in nodes.iter().zip(kinds).zip(addresses) {
        node.ready().await;
        let identity = node.cluster.identity();
        assert_eq!((identity.start, identity.cluster_id), (kind, restored.cluster_id.clone()));
        node.cluster.read_index(CEILING).await.unwrap();
        node.cluster.read(is_restored);
        assert_eq!(identity.cluster_addr, address.to_string());
    }
    let told = async {
        while !nodes[2].cluster.status().nodes.iter().any(|node| node.cluster_addr == addresses[0].to_string()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CEILING, told).await.expect("the restored node tells its address");
    assert!(matches!(nodes[1].publish("more").await, Response::Published { .. }));
    for node in &nodes {
        node.cluster.shutdown().await;
    }
    // It is data now, and so is what a start leaves of it.
    drop(nodes);
    let refused = restore(dirs[0].path(), file.as_slice(), &options()).unwrap_err();
    assert!(matches!(refused, RestoreError::Refused(_)) && refused.to_string().contains("--force"), "{refused}");
    let aside = RestoreOptions { set_aside: Some("before-restore".to_owned()), ..options() };
    let again = restore(dirs[0].path(), file.as_slice(), &aside).unwrap();
    assert_eq!(again.set_aside, Some(dirs[0].path().join("before-restore")));
    let node = alone(dirs[0].path()).await;
    node.cluster.read(is_restored);
    node.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_form_a_cluster_start_it_from_a_backup_that_one_of_them_restores() {
    let (file, report) = backed_up().await;
    let dirs: [tempfile::TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let addresses = free_addresses::<3>();
    let recovering = |i: usize, recovers: bool| {
        let mut config = config(dirs[i].path(), addresses[i], &addresses, Some(3));
        config.recovers = recovers;
        config
    };
    let starts = std::array::from_fn::<_, 3, _>(|i| {
        let (first, second) = (recovering(i, true), recovering(i, false));
        let (dir, file) = (dirs[i].path(), file.as_slice());
        async move {
            match start(first).await {
                Ok(node) => (node, false),
                Err(StartError::RecoveryDue) => {
                    let planned = RestoreOptions { as_planned: true, ..options() };
                    restore(dir, file, &planned).expect("restored");
                    (start(second).await.unwrap(), true)
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let [a, b, c] = starts;
    let nodes = <[(Node, bool); 3]>::from(tokio::join!(a, b, c));
    assert_eq!(nodes.iter().filter(|(_, restored)| *restored).count(), 1, "exactly one of them restores");
    for (node, _) in &nodes {
        node.ready().await;
        let identity = node.cluster.identity();
        assert_eq!(identity.cluster_id, nodes[0].0.cluster.identity().cluster_id);
        assert!(identity.cluster_id != report.about.cluster_id);
        node.cluster.read(is_restored);
        assert_eq!(node.cluster.status().nodes.len(), 3);
    }

    // One that loses its disk in the living cluster joins it; it does not restore.
    let [(a, _), (b, _), (c, _)] = nodes;
    c.cluster.shutdown().await;
    drop(c);
    // Another directory: the store's last threads may still hold the old one.
    let empty = tempfile::tempdir().unwrap();
    a.publish("while it was away").await;
    let wiped = ClusterConfig { data_dir: empty.path().to_owned(), ..recovering(2, true) };
    let c = start(wiped).await.unwrap();
    c.ready().await;
    assert_eq!(c.cluster.identity().start, StartKind::Joined);
    for node in [a, b, c] {
        node.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_sound_backup_leaves_the_directory_as_it_was() {
    let (mut file, _) = backed_up().await;
    let dir = tempfile::tempdir().unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    for options in [options(), RestoreOptions { key: None, ..options() }, RestoreOptions { dry_run: true, ..options() }]
    {
        let refused = restore(dir.path(), file.as_slice(), &options).unwrap_err();
        assert!(matches!(refused, RestoreError::Backup(_)), "{refused}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// Files by name.
type Archive = Vec<(SegmentName, Vec<u8>)>;

/// The log of a node from an index on, in pieces of so many entries; an entry is as late as its index says, in seconds.
async fn archived(node: &Node, from: u64, piece: usize) -> Archive {
    let entries = node.cluster.committed(from).await.unwrap();
    let packing = Packing { compression_level: Some(1), key: Some(key()) };
    let pieces = entries.chunks(piece).map(|entries| {
        let marks = entries.iter().map(|entry| Mark { index: entry.index, unix_ms: entry.index * 1_000 });
        node.cluster.segment(entries.to_vec(), marks.collect()).write(&packing).unwrap()
    });
    pieces.collect()
}

fn replayed(file: &[u8], archive: &Archive, until: Until, as_far_as_sound: bool) -> Result<(State, Replayed), String> {
    let segments: Vec<SegmentName> = archive.iter().map(|(name, _)| name.clone()).collect();
    let open = |wanted: &SegmentName| {
        let (_, bytes) = archive.iter().find(|(name, _)| name == wanted).ok_or("it is gone")?;
        Ok(Box::new(std::io::Cursor::new(bytes.clone())) as Box<dyn std::io::Read + Send>)
    };
    let log = ArchivedLog { segments: &segments, open: &open, until, as_far_as_sound };
    let mut loaded = load(file, Some(&key())).map_err(|error| error.to_string())?;
    let replayed = loaded.replay(&log, Some(&key())).map_err(|error| error.to_string())?;
    Ok((loaded.state, replayed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_and_the_archived_log_lead_to_the_very_state_that_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path()).await;
    node.publish("before").await;
    let (first, about) = back_up(&node).await;
    let mut positions = Vec::new();
    for number in 0..30 {
        let Response::Published { position } = node.publish(&number.to_string()).await else { panic!("not published") };
        positions.push(position.index);
    }
    let (_, second) = back_up(&node).await;
    let archive = archived(&node, about.about.raft_index + 1, 7).await;
    assert!(archive.len() > 4, "several pieces");
    let end = archive.last().unwrap().0.last();

    // Everything that `apply` makes of it is equal, not only what is looked at here.
    let (state, at) = replayed(&first, &archive, Until::Index(second.about.raft_index), false).unwrap();
    assert_eq!(format!("{:016x}", state.state_hash()), second.about.state_hash);
    assert_eq!(at.index, second.about.raft_index);
    let messages = |until| {
        let (state, at) = replayed(&first, &archive, until, false).unwrap();
        assert_eq!(state.applied().index, at.index);
        state.history_size().0
    };
    assert_eq!(messages(Until::End), 31);
    assert_eq!(messages(Until::Index(positions[10])), 12, "that one included");
    assert_eq!(messages(Until::Index(positions[10] - 1)), 11);
    assert_eq!(messages(Until::Time(positions[10] * 1_000)), 12);
    assert_eq!(messages(Until::Time(positions[10] * 1_000 - 1)), 11);
    assert_eq!(messages(Until::Index(about.about.raft_index)), 1, "the backup itself");

    // Damage, a hole and another history are refused by name, or end it where that is wanted.
    let mut damaged = archive.clone();
    let middle = damaged[2].1.len() / 2;
    damaged[2].1[middle] ^= 1;
    let refused = replayed(&first, &damaged, Until::End, false).unwrap_err();
    assert!(refused.contains(&damaged[2].0.to_string()), "{refused}");
    let (_, at) = replayed(&first, &damaged, Until::End, true).unwrap();
    assert_eq!((at.index, at.segments), (damaged[1].0.last(), 2));
    assert!(at.stopped.unwrap().contains(&damaged[2].0.to_string()));
    let mut holed = archive.clone();
    let hole = holed.remove(1).0;
    let refused = replayed(&first, &holed, Until::End, false).unwrap_err();
    assert!(refused.contains(&format!("log entries {} to {} are missing", hole.first(), hole.last())), "{refused}");
    let foreign = |change: fn(&mut ArchivedEntry)| {
        let mut entries: Vec<ArchivedEntry> = Vec::new();
        for index in archive[0].0.first() + 3..=archive[1].0.last() {
            let mut entry = ArchivedEntry { index, term: 1_000, proposal: None };
            change(&mut entry);
            entries.push(entry);
        }
        let marks = vec![Mark { index: archive[1].0.last(), unix_ms: 1 }];
        let mut segment = node.cluster.segment(entries, marks);
        segment.server_id = "another".to_owned();
        let packing = Packing { compression_level: None, key: Some(key()) };
        vec![archive[0].clone(), segment.write(&packing).unwrap()]
    };
    let refused = replayed(&first, &foreign(|_| {}), Until::End, false).unwrap_err();
    assert!(refused.contains("of two histories"), "{refused}");
    // What two leaders have written overlaps, and is the same.
    let mut overlapping = archived(&node, about.about.raft_index + 4, 9).await;
    overlapping.insert(0, archive[0].clone());
    let (state, _) = replayed(&first, &overlapping, Until::Index(end), false).unwrap();
    let (expected, _) = replayed(&first, &archive, Until::End, false).unwrap();
    assert_eq!(state.state_hash(), expected.state_hash());
    node.cluster.shutdown().await;

    // A new cluster begins there: it takes the next position, in a later term than any entry had.
    let target = tempfile::tempdir().unwrap();
    let segments: Vec<SegmentName> = archive.iter().map(|(name, _)| name.clone()).collect();
    let open = |wanted: &SegmentName| {
        let (_, bytes) = archive.iter().find(|(name, _)| name == wanted).unwrap();
        Ok(Box::new(std::io::Cursor::new(bytes.clone())) as Box<dyn std::io::Read + Send>)
    };
    let until = Until::Index(positions[20]);
    let log = ArchivedLog { segments: &segments, open: &open, until, as_far_as_sound: false };
    let given_up = restore_to(target.path(), first.as_slice(), Some(&log), &|| false, &options()).unwrap_err();
    assert!(given_up.to_string().contains("given up"), "{given_up}");
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
    let restored = restore_to(target.path(), first.as_slice(), Some(&log), &|| true, &options()).unwrap();
    assert_eq!((restored.raft_index, restored.counts.messages), (positions[20] + 1, 22));
    let node = alone(target.path()).await;
    assert!(matches!(node.publish("more").await, Response::Published { position } if position.index > positions[20]));
    node.cluster.read(|state| assert_eq!(state.history_size().0, 23));
    node.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_purged_before_it_was_archived_is_named_and_what_follows_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let [address] = free_addresses();
    let config = ClusterConfig { snapshot_every_entries: 40, ..config(dir.path(), address, &[], None) };
    let node = start(config).await.unwrap();
    node.ready().await;
    let purged = async {
        loop {
            node.publish("again").await;
            if let Err(CommittedError::Purged { from, to }) = node.cluster.committed(1).await {
                return (from, to);
            }
        }
    };
    let (from, to) = tokio::time::timeout(CEILING, purged).await.expect("the log is purged");
    assert!(from == 1 && to >= 1, "{from} to {to}");
    let entries = match node.cluster.committed(to + 1).await {
        // It goes on meanwhile.
        Err(CommittedError::Purged { from, to: later }) => {
            assert_eq!(from, to + 1);
            node.cluster.committed(later + 1).await.unwrap()
        }
        entries => entries.unwrap(),
    };
    assert!(!entries.is_empty() && entries[0].index > to);
    node.cluster.shutdown().await;
}
