//! Whole nodes of the cluster floor: forming, joining, replicating in one order, restarting, losing the leader.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Node, config, free_addresses, start};
use vedfolnir_cluster::{Role, StartKind};

async fn form_three(dirs: &[tempfile::TempDir; 3]) -> ([Node; 3], [std::net::SocketAddr; 3]) {
    let addresses = free_addresses::<3>();
    let starts = std::array::from_fn::<_, 3, _>(|i| start(config(dirs[i].path(), addresses[i], &addresses, Some(3))));
    let [a, b, c] = starts;
    let (a, b, c) = tokio::join!(a, b, c);
    let nodes = [a.unwrap(), b.unwrap(), c.unwrap()];
    for node in &nodes {
        node.ready().await;
    }
    (nodes, addresses)
}

fn dirs() -> [tempfile::TempDir; 3] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_starts_alone_and_finds_everything_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let [address] = free_addresses();
    let mut node = start(config(dir.path(), address, &[], None)).await.unwrap();
    assert_eq!(node.cluster.identity().start, StartKind::Initialized);
    node.ready().await;
    for number in 0..100 {
        node.publish(&number.to_string()).await;
    }
    assert_eq!(node.deliveries(100).await.len(), 100);
    let before = node.cluster.read(vedfolnir_cluster::state::State::applied);
    let identity = node.cluster.identity();
    node.cluster.shutdown().await;
    drop(node);

    let node = start(config(dir.path(), address, &[], None)).await.unwrap();
    assert_eq!(node.cluster.identity().start, StartKind::Restarted);
    assert_eq!(node.cluster.identity().cluster_id, identity.cluster_id);
    assert_eq!(node.cluster.identity().node_id, identity.node_id);
    node.ready().await;
    assert!(node.cluster.read(vedfolnir_cluster::state::State::applied) > before);
    node.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_one_cluster_and_deliver_in_one_order() {
    let dirs = dirs();
    let (mut nodes, _) = form_three(&dirs).await;
    let ids: Vec<String> = nodes.iter().map(|node| node.cluster.identity().cluster_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one cluster id: {ids:?}");
    for round in 0..50 {
        let [a, b, c] = &nodes;
        let [x, y, z] = ["a", "b", "c"].map(|node| format!("{node}{round}"));
        tokio::join!(a.publish(&x), b.publish(&y), c.publish(&z));
    }
    let mut orders = Vec::new();
    for node in &mut nodes {
        orders.push(node.deliveries(150).await);
    }
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[1], orders[2]);
    let status = nodes[0].cluster.status();
    assert_eq!(status.nodes.len(), 3);
    assert_eq!(status.failure_tolerance, 1);
    for node in &nodes {
        node.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_the_leader_loses_and_doubles_nothing() {
    let dirs = dirs();
    let (nodes, _) = form_three(&dirs).await;
    let leader_id = nodes[0].cluster.status().leader.expect("a leader");
    let (mut leader, mut others): (Vec<Node>, Vec<Node>) =
        nodes.into_iter().partition(|node| format!("{:016x}", node.cluster.identity().node_id) == leader_id);
    let leader = leader.pop().expect("one of them leads");
    let survivor = others.remove(0);
    let mut other = others.remove(0);
    let publisher = tokio::spawn(async move {
        for number in 0..300 {
            survivor.publish(&number.to_string()).await;
        }
        survivor
    });
    // Somewhere in the middle of it, abruptly: no transfer of leadership, no farewell.
    assert_eq!(other.deliveries(50).await.len(), 50);
    leader.cluster.stop_abruptly();
    let survivor = publisher.await.unwrap();
    let rest = other.deliveries(250).await;
    let expected: Vec<String> = (50..300).map(|number| format!("[\"m\",\"{number}\"]")).collect();
    assert_eq!(rest, expected);
    survivor.cluster.shutdown().await;
    other.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_through_any_member_and_becomes_a_voter() {
    let first_dir = tempfile::tempdir().unwrap();
    let second_dir = tempfile::tempdir().unwrap();
    let addresses = free_addresses::<2>();
    let first = start(config(first_dir.path(), addresses[0], &[], None)).await.unwrap();
    first.ready().await;
    for number in 0..20 {
        first.publish(&number.to_string()).await;
    }
    let second = start(config(second_dir.path(), addresses[1], &addresses[..1], None)).await.unwrap();
    assert_eq!(second.cluster.identity().start, StartKind::Joined);
    second.ready().await;
    let reached = tokio::time::timeout(support::CEILING, async {
        while second.cluster.status().nodes.iter().filter(|node| node.role != Role::Learner).count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    reached.await.expect("the learner becomes a voter");
    assert_eq!(second.cluster.identity().cluster_id, first.cluster.identity().cluster_id);
    second.publish("from the newcomer").await;
    second.cluster.shutdown().await;
    first.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_past_the_retained_log_catches_up_by_a_snapshot() {
    let dirs = dirs();
    let addresses = free_addresses::<3>();
    let small = |i: usize| {
        let mut config = config(dirs[i].path(), addresses[i], &addresses, Some(3));
        config.snapshot_every_entries = 50;
        config
    };
    let (a, b, c) = tokio::join!(start(small(0)), start(small(1)), start(small(2)));
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    for node in [&a, &b, &c] {
        node.ready().await;
    }
    let gone_id = format!("{:016x}", c.cluster.identity().node_id);
    c.cluster.shutdown().await;
    drop(c);
    for number in 0..400 {
        a.publish(&number.to_string()).await;
    }
    // While the leader still tries to hand entries to a node, it purges none of them.
    let gone = async {
        // A leader that took over from the node that is gone has never heard of it.
        let unheard = |node: &Node| {
            let status = node.cluster.status();
            let leads = status.leader.as_ref() == Some(&status.node_id);
            let is_gone = |age: Option<u64>| age.is_none_or(|age| age > 1_000);
            leads && status.nodes.iter().any(|member| member.id == gone_id && is_gone(member.last_contact_ms))
        };
        while !unheard(&a) && !unheard(&b) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(support::CEILING, gone).await.expect("the leader notices");
    for number in 400..600 {
        a.publish(&number.to_string()).await;
    }
    let c = start(small(2)).await.unwrap();
    c.ready().await;
    let target = a.cluster.read(vedfolnir_cluster::state::State::applied).index;
    tokio::time::timeout(support::CEILING, async {
        while c.cluster.status().applied_index < target {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("catches up");
    let installed = c.cluster.metrics().snapshots_installed_total.load(std::sync::atomic::Ordering::Relaxed);
    assert!(installed >= 1, "it came by a snapshot");
    for node in [&a, &b, &c] {
        node.cluster.shutdown().await;
    }
}

/// Few entries that are large: by their number alone there would be no snapshot for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_taken_after_so_many_bytes_of_log_too() {
    const EVERY_BYTES: u64 = 256 << 10;
    const MESSAGE_BYTES: usize = 16 << 10;
    let dir = tempfile::tempdir().unwrap();
    let [address] = free_addresses::<1>();
    let mut config = config(dir.path(), address, &[], None);
    config.snapshot_every_bytes = EVERY_BYTES;
    let node = start(config).await.unwrap();
    node.ready().await;
    let text = "x".repeat(MESSAGE_BYTES);
    for _ in 0..EVERY_BYTES as usize * 2 / MESSAGE_BYTES {
        node.publish(&text).await;
    }
    let taken = async {
        while node.cluster.status().snapshot_index == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(support::CEILING, taken).await.expect("a snapshot");
    node.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_bootstrap_lists_form_one_cluster() {
    let dirs: [tempfile::TempDir; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let addresses = free_addresses::<4>();
    let low = &addresses[..3];
    let high = &addresses[1..];
    let (a, b, c, d) = tokio::join!(
        start(config(dirs[0].path(), addresses[0], low, Some(3))),
        start(config(dirs[1].path(), addresses[1], low, Some(3))),
        start(config(dirs[2].path(), addresses[2], high, Some(3))),
        start(config(dirs[3].path(), addresses[3], high, Some(3))),
    );
    let nodes = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
    let ids: Vec<String> = nodes.iter().map(|node| node.cluster.identity().cluster_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one cluster id: {ids:?}");
    for node in &nodes {
        node.ready().await;
    }
    for node in &nodes {
        node.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_of_another_cluster_is_refused() {
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let addresses = free_addresses::<2>();
    let first = start(config(first_dir.path(), addresses[0], &[], None)).await.unwrap();
    let second = start(config(second_dir.path(), addresses[1], &[], None)).await.unwrap();
    first.ready().await;
    second.ready().await;
    second.cluster.shutdown().await;
    drop(second);
    let refused = start(config(second_dir.path(), addresses[1], &addresses[..1], None)).await;
    let reason = refused.err().expect("refused").to_string();
    assert!(reason.contains("cluster") && reason.contains(&second_dir.path().display().to_string()), "{reason}");
    first.cluster.shutdown().await;
}
