//! Two nodes of one cluster that are given the same server id: the second does not come in.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use support::{CEILING, Node, config, free_addresses, start};
use vedfolnir_cluster::ClusterConfig;

fn named(dir: &Path, bind: SocketAddr, bootstrap: &[SocketAddr], expect: Option<usize>, name: &str) -> ClusterConfig {
    let mut config = config(dir, bind, bootstrap, expect);
    config.node_info.server_id = name.to_owned();
    config
}

async fn why_failed(node: &Node) -> String {
    tokio::time::timeout(CEILING, node.cluster.failed()).await.expect("it stops")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_is_refused_before_the_join_until_its_holder_is_removed() {
    let dirs: [tempfile::TempDir; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let addresses = free_addresses::<4>();
    let founders = &addresses[..3];
    let founder = |i: usize| named(dirs[i].path(), addresses[i], founders, Some(3), ["a", "b", "c"][i]);
    let (a, b, c) = tokio::join!(start(founder(0)), start(founder(1)), start(founder(2)));
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    for node in [&a, &b, &c] {
        node.ready().await;
    }
    let holder = c.cluster.identity().node_id;

    let refused = || async {
        let newcomer = named(dirs[3].path(), addresses[3], founders, None, "c");
        start(newcomer).await.err().expect("refused").to_string()
    };
    let reason = refused().await;
    let expected = format!(
        "--server-id (WEBSOCKET_SERVER_ID) = \"c\" is the name of node {holder:016x} at {} already: \
         give this node a name of its own",
        addresses[2]
    );
    assert_eq!(reason, expected);

    // The holder keeps it over a restart, and while it is away.
    c.cluster.shutdown().await;
    drop(c);
    // Its farewell may have been lost; then the leader notices.
    let down = async {
        while a.cluster.read(|state| state.node_info(holder).is_some_and(|(live, _)| live)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CEILING, down).await.expect("the holder is known to be down");
    let reason = refused().await;
    assert!(reason.contains("which is down"), "{reason}");
    assert!(reason.ends_with(&format!("run `vedfolnir remove {holder:016x}` first")), "{reason}");
    let c = start(founder(2)).await.unwrap();
    c.ready().await;
    assert_eq!(a.cluster.status().nodes.len(), 3, "whoever was refused is no member");

    c.cluster.shutdown().await;
    drop(c);
    // Its last answer to the leader may be recent still.
    a.cluster.remove(holder, true).await.unwrap();
    let newcomer = start(named(dirs[3].path(), addresses[3], founders, None, "c")).await.unwrap();
    newcomer.ready().await;
    for node in [&newcomer, &b, &a] {
        node.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_form_a_cluster_under_one_name_one_comes_in_and_the_other_does_once_it_is_renamed() {
    let dirs: [tempfile::TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let addresses = free_addresses::<3>();
    let config = |i: usize, name: &str| named(dirs[i].path(), addresses[i], &addresses, Some(3), name);
    let (a, b, c) = tokio::join!(start(config(0, "other")), start(config(1, "twin")), start(config(2, "twin")));
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    a.ready().await;
    let (refused, reason, admitted, index) = tokio::select! {
        reason = why_failed(&b) => (b, reason, c, 1),
        reason = why_failed(&c) => (c, reason, b, 2),
    };
    let holder = admitted.cluster.identity().node_id;
    assert!(
        reason.starts_with(&format!("--server-id (WEBSOCKET_SERVER_ID) = \"twin\" is the name of node {holder:016x}")),
        "{reason}"
    );
    admitted.ready().await;
    assert!(!refused.cluster.readiness().borrow().ready);
    refused.cluster.shutdown().await;
    drop(refused);
    let renamed = start(config(index, "twin-2")).await.unwrap();
    renamed.ready().await;
    for node in [&renamed, &admitted, &a] {
        node.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_join_at_the_same_moment_under_one_name_one_comes_in() {
    let dirs: [tempfile::TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let addresses = free_addresses::<3>();
    let first = start(named(dirs[0].path(), addresses[0], &[], None, "first")).await.unwrap();
    first.ready().await;
    let twin = |i: usize| start(named(dirs[i].path(), addresses[i], &addresses[..1], None, "twin"));
    let outcome = |started: Result<Node, vedfolnir_cluster::StartError>| async move {
        match started {
            // Refused before it was a member.
            Err(error) => (None, Some(error.to_string())),
            Ok(node) => {
                let ready = async {
                    node.ready().await;
                };
                let refused = tokio::select! {
                    () = ready => None,
                    reason = node.cluster.failed() => Some(reason),
                };
                (Some(node), refused)
            }
        }
    };
    let (b, c) = tokio::join!(twin(1), twin(2));
    let (b, c) = tokio::join!(outcome(b), outcome(c));
    let reasons: Vec<&String> = [&b.1, &c.1].into_iter().flatten().collect();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].contains("\"twin\" is the name of node"), "{reasons:?}");
    for node in [b.0, c.0].into_iter().flatten() {
        node.cluster.shutdown().await;
    }
    first.cluster.shutdown().await;
}
