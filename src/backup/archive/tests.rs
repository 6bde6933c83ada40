//! What stays in a place, what is merged, and where a leader goes on, on real files.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use vedfolnir_cluster::archive::Segment;
use vedfolnir_cluster::backup::{BackupKey, BackupType, write_state};
use vedfolnir_cluster::state::{State, StateCounts};

use super::super::{Keep, LocationSpec, prune};
use super::*;

const OLD: &str = "0000000000000000000000000000000a";
const NEW: &str = "0000000000000000000000000000000b";
const NOON: u64 = 1_738_065_600;

fn place(dir: &TempDir) -> Arc<dyn Location> {
    LocationSpec::Directory(dir.path().join("backups")).open()
}

fn packing() -> Packing {
    let key = BackupKey::new("a key that is long enough for a test").unwrap();
    Packing { compression_level: Some(3), key: Some(key) }
}

fn segment(cluster: &str, first: u64, last: u64) -> Segment {
    let entry = |index| ArchivedEntry { index, term: 1, proposal: Some(Bytes::from(format!("entry {index}"))) };
    Segment {
        cluster_id: cluster.to_owned(),
        history_id: "00000000000000aa".to_owned(),
        server_id: "node".to_owned(),
        entries: (first..=last).map(entry).collect(),
        marks: vec![Mark { index: last, unix_ms: (NOON + last) * 1_000 }],
    }
}

fn archive(location: &dyn Location, cluster: &str, first: u64, last: u64) {
    let (name, bytes) = segment(cluster, first, last).write(&packing()).unwrap();
    location.put_segment(&name, &bytes).unwrap();
}

fn back_up(location: &dyn Location, seconds: u64, cluster: &str, index: u64) -> About {
    let about = About {
        backup_id: BackupId::at(seconds),
        backup_type: BackupType::Full,
        timestamp: crate::observability::rfc3339_ms(seconds * 1_000),
        cluster_id: cluster.to_owned(),
        history_id: "00000000000000aa".to_owned(),
        raft_index: index,
        term: 1,
        format: 4,
        server_version: "0".to_owned(),
        server_id: "node".to_owned(),
        counts: StateCounts::default(),
        state_hash: "0".repeat(16),
        imported: None,
    };
    let mut pending = location.begin(about.backup_id).unwrap();
    let (file, report) = write_state(&State::default(), about.clone(), &packing(), Vec::new()).unwrap();
    pending.write_all(&file).unwrap();
    pending.commit(&report.written).unwrap();
    about
}

fn kept(location: &dyn Location) -> Vec<(String, u64, u64)> {
    let names = location.segments().unwrap().into_iter().map(|stored| stored.name);
    names.map(|name| (name.cluster_id()[31..].to_owned(), name.first(), name.last())).collect()
}

fn of(cluster: &str, ends: &[(u64, u64)]) -> Vec<(String, u64, u64)> {
    ends.iter().map(|(first, last)| (cluster[31..].to_owned(), *first, *last)).collect()
}

#[test]
fn a_directory_keeps_pieces_of_the_log_beside_backups_and_each_sees_its_own() {
    let dir = TempDir::new().unwrap();
    let location = place(&dir);
    assert_eq!(location.segments().unwrap(), []);
    archive(location.as_ref(), OLD, 11, 20);
    archive(location.as_ref(), OLD, 1, 10);
    archive(location.as_ref(), OLD, 1, 10);
    back_up(location.as_ref(), NOON, OLD, 5);
    let path = dir.path().join("backups");
    std::fs::write(path.join("log_of_somebody.vfl"), "foreign").unwrap();
    assert_eq!(kept(location.as_ref()), of(OLD, &[(1, 10), (11, 20)]));
    assert_eq!(location.list().unwrap().len(), 1);
    // What a killed process has left goes with the next one.
    let half = path.join(format!("{}.vfl.tmp", SegmentName::new(OLD, 21, 30).unwrap()));
    std::fs::write(&half, "half").unwrap();
    assert_eq!(kept(location.as_ref()).len(), 2, "it is not one of them");
    archive(location.as_ref(), OLD, 21, 29);
    assert!(!half.exists());
    let name = SegmentName::new(OLD, 21, 29).unwrap();
    assert_eq!(until_ms(location.as_ref(), &name).unwrap(), (NOON + 29) * 1_000);
    location.delete_segment(&name).unwrap();
    location.delete_segment(&name).unwrap();
    assert!(matches!(location.open_segment(&name), Err(LocationError::MissingSegment { .. })));
}

#[test]
fn the_log_behind_the_oldest_kept_backup_stays_and_what_leads_on_from_nothing_goes() {
    let dir = TempDir::new().unwrap();
    let location = place(&dir);
    for (first, last) in [(1, 10), (11, 20), (21, 30), (31, 40)] {
        archive(location.as_ref(), OLD, first, last);
    }
    for (second, index) in [(0, 5), (1, 20), (2, 35)] {
        back_up(location.as_ref(), NOON + second, OLD, index);
    }
    let keep = |newest| Keep { newest, hourly: 0, daily: 0 };
    prune(location.as_ref(), &keep(3)).unwrap();
    assert_eq!(kept(location.as_ref()).len(), 4);
    assert_eq!(prune(location.as_ref(), &keep(2)).unwrap().len(), 1);
    assert_eq!(kept(location.as_ref()), of(OLD, &[(21, 30), (31, 40)]));

    // A cluster that was restored from it archives before its first backup is there.
    archive(location.as_ref(), NEW, 41, 50);
    prune(location.as_ref(), &keep(2)).unwrap();
    assert_eq!(kept(location.as_ref()).len(), 3);
    back_up(location.as_ref(), NOON + 45, NEW, 45);
    prune(location.as_ref(), &keep(2)).unwrap();
    assert_eq!(kept(location.as_ref()), [of(OLD, &[(31, 40)]), of(NEW, &[(41, 50)])].concat());
    let file = dir.path().join("backups").join(format!("{}.vfb", BackupId::at(NOON + 2)));
    let content = std::fs::read(&file).unwrap();
    std::fs::write(&file, "of another version").unwrap();
    archive(location.as_ref(), OLD, 21, 30);
    prune(location.as_ref(), &keep(2)).unwrap();
    assert_eq!(kept(location.as_ref()).len(), 3, "what a kept backup needs is not known");
    std::fs::write(&file, content).unwrap();
    prune(location.as_ref(), &keep(2)).unwrap();
    assert_eq!(kept(location.as_ref()).len(), 2);
    prune(location.as_ref(), &keep(1)).unwrap();
    assert_eq!(kept(location.as_ref()), of(NEW, &[(41, 50)]), "no backup leads to the old cluster's log");
}

#[test]
fn pieces_between_two_backups_become_one_that_says_the_same() {
    let dir = TempDir::new().unwrap();
    let location = place(&dir);
    back_up(location.as_ref(), NOON, OLD, 5);
    for (first, last) in [(1, 4), (5, 10), (11, 12), (13, 20), (22, 25), (26, 30), (31, 33)] {
        archive(location.as_ref(), OLD, first, last);
    }
    archive(location.as_ref(), NEW, 13, 14);
    let made = back_up(location.as_ref(), NOON + 30, OLD, 31);
    assert_eq!(merge(location.as_ref(), &made, &packing()).unwrap(), 3);
    let merged = [of(OLD, &[(1, 4), (5, 20), (22, 30), (31, 33)]), of(NEW, &[(13, 14)])].concat();
    assert_eq!(kept(location.as_ref()), merged, "nothing over the gap, nothing of another cluster");
    let name = SegmentName::new(OLD, 5, 20).unwrap();
    let read = Segment::read(&name, location.open_segment(&name).unwrap(), packing().key.as_ref()).unwrap();
    let mut whole = segment(OLD, 5, 20);
    whole.marks = [10, 12, 20].map(|index| Mark { index, unix_ms: (NOON + index) * 1_000 }).to_vec();
    assert_eq!(read, whole);
    assert_eq!(merge(location.as_ref(), &made, &packing()).unwrap(), 0);
}

#[test]
fn a_leader_goes_on_where_the_archive_ends_and_wants_a_backup_where_none_leads_there() {
    let dir = TempDir::new().unwrap();
    let location = place(&dir);
    let found = || {
        let found = found(location.as_ref(), NEW).unwrap();
        (found.next, found.is_whole)
    };
    back_up(location.as_ref(), NOON, OLD, 900);
    archive(location.as_ref(), OLD, 901, 950);
    assert_eq!(found(), (None, false), "another cluster's is nothing");
    archive(location.as_ref(), NEW, 11, 20);
    assert_eq!(found(), (Some(21), false), "no backup to lead on from");
    back_up(location.as_ref(), NOON + 1, NEW, 15);
    assert_eq!(found(), (Some(21), true));
    archive(location.as_ref(), NEW, 31, 40);
    assert_eq!(found(), (Some(41), false), "a hole");
    back_up(location.as_ref(), NOON + 2, NEW, 30);
    assert_eq!(found(), (Some(41), true));
    back_up(location.as_ref(), NOON + 3, NEW, 60);
    assert_eq!(found(), (Some(61), true), "the backup has what was not archived");
}

#[test]
fn a_leader_archives_at_its_interval_and_sooner_when_much_waits() {
    let interval = Duration::from_secs(3_600);
    let duty = Duty { next: 11, archived: Some(Instant::now()) };
    assert!(!duty.is_due(10 + WAITING_ENTRIES_MAX - 1, interval));
    assert!(duty.is_due(10 + WAITING_ENTRIES_MAX, interval));
    assert!(duty.is_due(11, Duration::ZERO) && !duty.is_due(10, Duration::ZERO));
    assert!(Duty { next: 11, archived: None }.is_due(11, interval), "a new leader does so at once");
}
