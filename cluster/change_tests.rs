//! Changes of the membership that a leader began and did not end: whoever leads finishes them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use support::{CEILING, Node, config, free_addresses, start};
use vedfolnir_state::{Command, NodeId};

use crate::handle::Inner;
use crate::leader;

/// Three voters, and a fourth that joined.
async fn four(dirs: &[tempfile::TempDir; 4], voters_max: usize) -> Vec<Node> {
    let addresses = free_addresses::<4>();
    let founders: [SocketAddr; 3] = std::array::from_fn(|i| addresses[i]);
    let configured = |i: usize| {
        let expect = (i < 3).then_some(3);
        let mut config = config(dirs[i].path(), addresses[i], &founders, expect);
        config.voters_max = voters_max;
        config
    };
    let (a, b, c) = tokio::join!(start(configured(0)), start(configured(1)), start(configured(2)));
    let mut nodes = vec![a.unwrap(), b.unwrap(), c.unwrap()];
    nodes.push(start(configured(3)).await.unwrap());
    for node in &nodes {
        node.ready().await;
    }
    nodes
}

fn inner(node: &Node) -> &Arc<Inner> {
    &node.cluster.inner
}

fn leading(nodes: &[Node]) -> &Node {
    nodes.iter().find(|node| inner(node).leads()).expect("a leader")
}

/// Waits for a membership, as this node knows it.
async fn wait_until(node: &Node, what: &str, reached: impl Fn(&Membership) -> bool) {
    let mut metrics = inner(node).raft.server_metrics();
    let waiting = async {
        loop {
            let seen = {
                let metrics = metrics.borrow_watched();
                let membership = metrics.membership_config.membership();
                Membership {
                    voters: membership
                        .get_joint_config()
                        .iter()
                        .map(|voters| voters.iter().copied().collect())
                        .collect(),
                    members: membership.nodes().map(|(id, _)| *id).collect(),
                }
            };
            if reached(&seen) {
                return;
            }
            metrics.changed().await.expect("Raft runs");
        }
    };
    tokio::time::timeout(CEILING, waiting).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}

struct Membership {
    voters: Vec<BTreeSet<NodeId>>,
    members: BTreeSet<NodeId>,
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_ended_with_its_first_half_is_finished() {
    let dirs: [tempfile::TempDir; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let mut nodes = four(&dirs, 3).await;
    let removed = nodes.pop().unwrap();
    let target = removed.cluster.identity().node_id;
    removed.cluster.shutdown().await;
    drop(removed);

    // What the leader commits before it changes Raft's membership; it dies in between.
    assert!(leader::propose(inner(leading(&nodes)), Command::RemoveNode { node: target }).await);
    let index = nodes.iter().position(|node| inner(node).leads()).unwrap();
    let dead = nodes.remove(index);
    dead.cluster.shutdown().await;
    drop(dead);
    for node in &nodes {
        wait_until(node, "the end of the removal", |seen| !seen.members.contains(&target)).await;
    }
    nodes[0].publish("after it").await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joint_change_that_its_leader_left_in_the_middle_is_finished() {
    let dirs: [tempfile::TempDir; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let nodes = four(&dirs, 3).await;
    let learner = nodes[3].cluster.identity().node_id;
    let lead = leading(&nodes);
    let leaves = nodes[..3].iter().map(|node| node.cluster.identity().node_id);
    let leaves = leaves.into_iter().find(|id| *id != lead.cluster.identity().node_id).unwrap();

    // openraft proposes the second half when the first one is awaited to its end. This one never is.
    {
        let _serial = inner(lead).membership_change.lock().await;
        let raft = inner(lead).raft.clone();
        let change = ChangeMembers::Batch(vec![
            ChangeMembers::AddVoterIds(BTreeSet::from([learner])),
            ChangeMembers::RemoveVoters(BTreeSet::from([leaves])),
        ]);
        let mut change = std::pin::pin!(raft.change_membership(change, true));
        assert!(futures_util::poll!(change.as_mut()).is_pending());
        for node in &nodes {
            wait_until(node, "a joint membership", |seen| seen.voters.len() == 2).await;
        }
    }
    for node in &nodes {
        wait_until(
            node,
            "the end of the joint change",
            |seen| matches!(&seen.voters[..], [voters] if voters.contains(&learner) && !voters.contains(&leaves)),
        )
        .await;
    }
    nodes[0].publish("after it").await;
    stop(nodes).await;
}
