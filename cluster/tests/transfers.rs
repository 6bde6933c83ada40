//! Snapshots on their way to a follower that was away for too long: broken off, changed, damaged, too new.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::proxy::Proxy;
use support::{CEILING, Node, config, free_addresses, start};
use vedfolnir_cluster::state::State;
use vedfolnir_cluster::{ClusterConfig, ClusterMetrics};
use vedfolnir_storage::{SNAPSHOT_PARTIALS_MAX, Storage, StorageOptions};

/// Log entries between snapshots.
const SNAPSHOT_EVERY: u64 = 50;
/// So many are missed by the follower that was away.
const MISSED: u64 = 200;
const MESSAGE_BYTES: usize = 16 << 10;
/// Longer than a leader tries to reach a node before it begins anew.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// Less than a snapshot of the missed messages, more than a few frames of it.
const CUT_AFTER_BYTES: u64 = 800 << 10;

/// For connecting and being told what is up.
const OPENING_BYTES: u64 = 256 << 10;
/// What a slow line carries for each message that is published, so that a snapshot of the missed ones takes hundreds.
const BYTES_FOR_EACH: u64 = 4 << 10;

/// A leader's snapshots are half as far apart again, and the next one is under way.
const SNAPSHOT_LAG_MAX: u64 = 3 * SNAPSHOT_EVERY;

/// Rounds of which one must be comparable.
const ROUNDS_MAX: usize = 5;

/// Three nodes, the third behind a proxy and away for too long.
struct World {
    dirs: [tempfile::TempDir; 3],
    addresses: [SocketAddr; 3],
    real: SocketAddr,
    proxy: Proxy,
    nodes: Vec<Node>,
}

impl World {
    async fn new() -> Self {
        let dirs = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let [a, b, real] = free_addresses();
        let proxy = Proxy::start(real).await;
        let addresses = [a, b, proxy.addr];
        let mut world = Self { dirs, addresses, real, proxy, nodes: Vec::new() };
        let (a, b, c) = tokio::join!(start(world.config(0)), start(world.config(1)), start(world.config(2)));
        let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
        for node in [&a, &b, &c] {
            node.ready().await;
        }
        c.cluster.shutdown().await;
        drop(c);
        world.nodes = vec![a, b];
        world.publish(0..MISSED).await;
        world.until_fresh().await;
        world
    }

    /// Until the leader has just taken a snapshot: the next one is a while away, so that what broke off is offered again.
    async fn until_fresh(&self) {
        let before = self.leader().cluster.status().snapshot_index;
        let mut number = u64::from(u32::MAX);
        while self.leader().cluster.status().snapshot_index <= before {
            self.publish(number..number + 1).await;
            number += 1;
        }
        // An attempt that began before may still offer an older one, for as long as it tries to reach the node that is
        // away; nothing tells when it has given up.
        tokio::time::sleep(ATTEMPT_MAX).await;
    }

    fn config(&self, i: usize) -> ClusterConfig {
        let mut config = config(self.dirs[i].path(), self.addresses[i], &self.addresses, Some(3));
        config.snapshot_every_entries = SNAPSHOT_EVERY;
        if i == 2 {
            config.bind = self.real;
            config.advertise = Some(self.proxy.addr.to_string());
        }
        config
    }

    /// Messages that do not compress to nothing.
    async fn publish(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let mut seed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let text: String = std::iter::from_fn(|| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                Some(format!("{seed:016x}"))
            })
            .take(MESSAGE_BYTES / 16)
            .collect();
            self.nodes[0].publish(&text).await;
        }
    }

    async fn start_third(&self) -> Node {
        start(self.config(2)).await.unwrap()
    }

    fn leads(&self) -> usize {
        let leader = self.nodes[0].cluster.status().leader.expect("a leader");
        let i = self.nodes.iter().position(|node| format!("{:016x}", node.cluster.identity().node_id) == leader);
        i.expect("one of the two leads")
    }

    fn leader(&self) -> &Node {
        &self.nodes[self.leads()]
    }

    /// Who leads, and which snapshot it has to offer.
    fn offered(&self) -> (usize, u64) {
        (self.leads(), self.leader().cluster.status().snapshot_index)
    }

    async fn caught_up(&self, node: &Node) {
        let target = self.nodes[0].cluster.read(State::applied).index;
        let reached = async {
            while node.cluster.status().applied_index < target {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(CEILING, reached).await.expect("catches up");
        let hash = |node: &Node| node.cluster.read(|state| (state.history_size(), state.history_id()));
        assert_eq!(hash(node), hash(&self.nodes[0]));
    }

    async fn stop(self, third: Node) {
        for node in self.nodes.iter().chain([&third]) {
            node.cluster.shutdown().await;
        }
    }
}

fn count(node: &Node, counter: fn(&ClusterMetrics) -> &AtomicU64) -> u64 {
    counter(node.cluster.metrics()).load(Ordering::Relaxed)
}

async fn until(what: &str, check: impl Fn() -> bool) {
    let checked = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CEILING, checked).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn unfinished(dir: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(dir.join("snapshots")).unwrap().map(|item| item.unwrap().path());
    items.filter(|path| path.extension().is_some_and(|extension| extension == "arriving")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let world = World::new().await;
    world.proxy.cut_after(CUT_AFTER_BYTES, false);
    let third = world.start_third().await;
    world.proxy.cuts(1).await;
    let offered = world.offered();
    world.caught_up(&third).await;
    if world.offered() != offered {
        // A slow machine's ticks made the leader take another one, or another node leads: then there is nothing to go on
        // with, and `a_changed_snapshot_begins_at_zero` says what happens.
        return world.stop(third).await;
    }
    let resumed = count(&third, |metrics| &metrics.snapshot_transfers_resumed_total);
    assert!(resumed >= 1, "{offered:?}: {:?}", third.cluster.metrics());
    let kept = count(&third, |metrics| &metrics.snapshot_bytes_kept_total);
    assert!(kept > 0, "the second transfer began at zero");
    let received = count(&third, |metrics| &metrics.snapshot_bytes_received_total);
    assert!(kept < received, "{kept} of {received} bytes were kept");
    assert!(count(&third, |metrics| &metrics.snapshots_installed_total) >= 1);
    assert_eq!(unfinished(world.dirs[2].path()), Vec::<PathBuf>::new());
    world.stop(third).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_is_kept_over_a_restart_and_found_out_if_it_is_damaged() {
    let world = World::new().await;
    let mut cuts = 0;
    for damaged in [false, true] {
        let mut comparable = false;
        for _ in 0..ROUNDS_MAX {
            cuts += 1;
            comparable = broken_off_over_a_restart(&world, damaged, cuts).await;
            // Away for too long once more.
            world.publish(MISSED..2 * MISSED).await;
            world.until_fresh().await;
            if comparable {
                break;
            }
        }
        assert!(comparable, "the leader took another snapshot, or another node led, in each of {ROUNDS_MAX} rounds");
    }
    for node in &world.nodes {
        node.cluster.shutdown().await;
    }
}

/// One transfer that breaks off, a restart, and the rest. False: meanwhile a slow machine's ticks made the leader take
/// another snapshot, or another node leads; then there is nothing to go on with.
async fn broken_off_over_a_restart(world: &World, damaged: bool, cuts: u64) -> bool {
    let dir = world.dirs[2].path();
    world.proxy.cut_after(CUT_AFTER_BYTES, true);
    let third = world.start_third().await;
    world.proxy.cuts(cuts).await;
    let offered = world.offered();
    third.cluster.shutdown().await;
    drop(third);
    let [part] = unfinished(dir).try_into().expect("one");
    let bytes = std::fs::metadata(&part).unwrap().len();
    assert!(bytes > 0);
    if damaged {
        let mut content = std::fs::read(&part).unwrap();
        content[bytes as usize / 2] ^= 1;
        std::fs::write(&part, content).unwrap();
    }
    world.proxy.release();
    let third = world.start_third().await;
    world.caught_up(&third).await;
    let comparable = world.offered() == offered;
    if comparable {
        let kept = count(&third, |metrics| &metrics.snapshot_bytes_kept_total);
        assert!(kept >= bytes, "{kept} of {bytes} bytes were kept: {:?}", third.cluster.metrics());
        let refused = count(&third, |metrics| &metrics.snapshot_transfers_refused_total);
        assert_eq!(refused, u64::from(damaged), "a damaged part must not be installed, a sound one must");
    }
    third.cluster.shutdown().await;
    comparable
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_snapshot_begins_at_zero() {
    let world = World::new().await;
    world.proxy.cut_after(CUT_AFTER_BYTES, true);
    let third = world.start_third().await;
    world.proxy.cuts(1).await;
    assert_eq!(unfinished(world.dirs[2].path()).len(), SNAPSHOT_PARTIALS_MAX);
    let snapshot = world.nodes[0].cluster.status().snapshot_index;
    world.publish(MISSED..MISSED + 2 * SNAPSHOT_EVERY).await;
    until("newer snapshots", || world.nodes.iter().all(|node| node.cluster.status().snapshot_index > snapshot)).await;
    world.proxy.release();
    world.caught_up(&third).await;
    assert_eq!(count(&third, |metrics| &metrics.snapshot_transfers_resumed_total), 0);
    assert!(count(&third, |metrics| &metrics.snapshots_installed_total) >= 1);
    assert_eq!(unfinished(world.dirs[2].path()), Vec::<PathBuf>::new());
    world.stop(third).await;
}

/// The line is so slow, by the entries that come meanwhile, that the leader takes several snapshots before the first has come
/// through: were the log purged behind each, the follower would need the next one, and so on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_on_a_slow_line_needs_one_snapshot() {
    let world = World::new().await;
    let (leader, mut taken) = world.offered();
    world.proxy.allow(OPENING_BYTES);
    let third = world.start_third().await;
    while count(&third, |metrics| &metrics.snapshots_installed_total) == 0 {
        // Small ones: the leader's snapshots, which are written when nothing else wants the processor, keep up.
        world.nodes[0].publish("meanwhile").await;
        world.proxy.allow(BYTES_FOR_EACH);
        let status = world.leader().cluster.status();
        let (applied, leader) = (status.applied_index, world.leader());
        until("the leader's next snapshot", || leader.cluster.status().snapshot_index + SNAPSHOT_LAG_MAX > applied)
            .await;
        if count(&third, |metrics| &metrics.snapshot_bytes_received_total) == 0 {
            (_, taken) = world.offered();
        }
    }
    let (leads, newest) = world.offered();
    world.proxy.allow_all();
    world.caught_up(&third).await;
    if leads == leader {
        assert!(newest > taken + 2 * SNAPSHOT_EVERY, "the line was too fast: {newest}, {taken}");
        assert_eq!(count(&third, |metrics| &metrics.snapshots_installed_total), 1, "{newest}, {taken}");
    }
    world.stop(third).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_a_newer_format_is_refused_and_nothing_is_disturbed() {
    let world = World::new().await;
    // On both, since either may come to lead. A snapshot that was under way meanwhile is newer still: then once more.
    let snapshots = world.dirs[..2].iter().map(|dir| dir.path().join("snapshots"));
    while !snapshots.clone().all(|snapshots| is_planted(&snapshots)) {
        snapshots.clone().filter(|snapshots| !is_planted(snapshots)).for_each(|snapshots| plant_newer(&snapshots));
        tokio::time::sleep(ATTEMPT_MAX).await;
    }

    let third = world.start_third().await;
    until("refused", || count(&third, |metrics| &metrics.snapshot_transfers_refused_total) > 0).await;
    assert_eq!(count(&third, |metrics| &metrics.snapshots_installed_total), 0);
    let failed = tokio::time::timeout(Duration::ZERO, third.cluster.failed()).await;
    assert!(failed.is_err(), "the follower gave up: {failed:?}");
    // The others go on, and so does the follower, with the next snapshot that it can read.
    world.publish(MISSED..MISSED + 2 * SNAPSHOT_EVERY).await;
    world.caught_up(&third).await;
    assert!(count(&third, |metrics| &metrics.snapshots_installed_total) >= 1);
    world.stop(third).await;
}

/// Oldest first.
fn snapshot_files(snapshots: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(snapshots).unwrap().map(|item| item.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "snapshot"));
    files.sort();
    files
}

/// Whether a node's newest snapshot is one that [`plant_newer`] has made.
fn is_planted(snapshots: &Path) -> bool {
    let planted = format!("-{:020}.snapshot", u32::MAX);
    snapshot_files(snapshots).last().is_some_and(|newest| newest.to_string_lossy().ends_with(&planted))
}

/// The newest snapshot of a node, as a newer binary would have written its body, and no other.
fn plant_newer(snapshots: &Path) {
    let (aside, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = snapshot_files(snapshots);
    let last = files.last().expect("a snapshot");
    std::fs::create_dir(aside.path().join("snapshots")).unwrap();
    std::fs::copy(last, aside.path().join("snapshots").join(last.file_name().unwrap())).unwrap();
    let original =
        Storage::open(aside.path(), StorageOptions::default()).unwrap().snapshots().latest().unwrap().unwrap();
    let store = Storage::open(out.path(), StorageOptions::default()).unwrap().snapshots();
    let mut writer = store.create_at(original.position(), original.meta()).unwrap();
    writer.write_all(&[9, 0x93, 1, 2, 3]).unwrap();
    let newer = writer.finish().unwrap();
    let name = format!("{:020}-{:020}.snapshot", original.position(), u32::MAX);
    std::fs::copy(newer.path(), snapshots.join(name)).unwrap();
    for path in &files {
        std::fs::remove_file(path).unwrap();
    }
}
