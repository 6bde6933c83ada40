//! Keeps this node's life committed: proposes `NodeUp` at the start and after every fencing.

use std::sync::Weak;
use std::time::Duration;

use vedfolnir_state::{Command, Incarnation, Origin, Proposal, encode_proposal};

use crate::handle::{Inner, Notice};
use crate::wire::{self, SystemReply, kind};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A leader commits a `NodeUp` within this time or is asked again.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs for as long as the node lives.
pub(crate) async fn run(node: Weak<Inner>) {
    let mut first_life = true;
    loop {
        let Some(node) = node.upgrade() else { return };
        if !node.proposer.is_live() {
            let wanted = node.local.incarnation();
            let known = node.replica.read(|state| state.node_incarnation(wanted.node));
            match known {
                Some((incarnation, live)) if incarnation == wanted && live => {
                    node.proposer.begin(wanted);
                    tracing::info!(incarnation = %wanted, "this node's life is committed");
                    if !first_life {
                        node.replica.notify(Notice::Reincarnated(wanted)).await;
                    }
                    first_life = false;
                }
                Some((incarnation, _)) if incarnation == wanted => {
                    // Declared down while alive: that life is spent.
                    if let Err(error) = node.local.next_generation() {
                        node.fail(error.to_string());
                        return;
                    }
                }
                Some((incarnation, _)) if incarnation.generation > wanted.generation => {
                    node.fail(format!(
                        "the cluster has already seen life {incarnation} of this node, the data directory {} holds only \
                         {wanted}: it is a stale copy, or a second process uses this identity; start with an empty \
                         data directory to join as a new node",
                        node.config.data_dir.display()
                    ));
                    return;
                }
                _ => propose_node_up(&node, wanted).await,
            }
        }
        drop(node);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn propose_node_up(node: &Inner, incarnation: Incarnation) {
    let Some((leader, addr)) = node.leader() else { return };
    let command = Command::NodeUp { incarnation, info: crate::start::node_info(node) };
    let body = encode_proposal(&Proposal { origin: Origin::System, commands: vec![command] });
    if leader == node.local.node_id() {
        if let Ok(SystemReply::NotLeader) | Err(_) =
            tokio::time::timeout(PROPOSE_TIMEOUT, node.propose_system_here(body)).await
        {
            tracing::debug!("this node's start was not committed yet");
        }
        return;
    }
    match node.endpoint.peer(&addr, Some(leader)).request(kind::PROPOSE_SYSTEM, body, PROPOSE_TIMEOUT).await {
        Ok(reply) => match wire::decode::<SystemReply>("system reply", &reply) {
            // The own replica shows it a moment later.
            Ok(SystemReply::Committed) => {}
            Ok(SystemReply::NotLeader) => tracing::debug!("the leader moved; asking again"),
            Err(error) => tracing::warn!(%error, "the leader's answer does not decode"),
        },
        Err(error) => tracing::debug!(%error, "the leader did not answer"),
    }
}
