//! Keeps this node's life committed: `NodeUp` at the start and after every fencing, `NodeDown` at an orderly stop.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;
use vedfolnir_state::{Command, Incarnation, NodeId, Origin, Proposal, State, decode_proposal, encode_proposal};

use crate::handle::{Inner, Notice};
use crate::wire::{self, SystemReply, kind};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A leader commits a `NodeUp` within this time or is asked again.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A start that was committed shows in the node's own replica once that has caught up, which may take a snapshot. Asked again
/// at every look, the log would grow by twenty entries a second meanwhile, and the leader's snapshots with it.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A stop is not held up longer than this by saying goodbye.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(300);

/// Runs for as long as the node lives.
pub(crate) async fn run(node: Weak<Inner>) {
    let mut first_life = true;
    let mut committed: Option<(Incarnation, Instant)> = None;
    loop {
        let Some(node) = node.upgrade() else { return };
        if !node.proposer.is_live() {
            let wanted = node.local.incarnation();
            let (known, process, removed) = node.replica.read(|state| {
                let process = state.node_info(wanted.node).map(|(_, info)| info.process);
                (state.node_incarnation(wanted.node), process, state.is_removed(wanted.node))
            });
            match known {
                // Its peers tell it when its vote is needed no more.
                _ if removed => {}
                Some((incarnation, true))
                    if incarnation == wanted && process != Some(node.config.node_info.process) =>
                {
                    node.fail(format!(
                        "another process lives as {wanted}: the data directory {} is a copy of one that is in use; \
                         start with an empty data directory to join as a new node",
                        node.config.data_dir.display()
                    ));
                    return;
                }
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
                    match node.local.next_generation() {
                        Ok(next) => node.hello.set_generation(next.generation),
                        Err(error) => {
                            node.fail(error.to_string());
                            return;
                        }
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
                _ if committed.is_some_and(|(life, at)| life == wanted && at.elapsed() < ASK_AGAIN_AFTER) => {}
                _ => {
                    let info = crate::start::node_info(&node);
                    match propose(&node, Command::NodeUp { incarnation: wanted, info }, PROPOSE_TIMEOUT).await {
                        SystemReply::Committed => committed = Some((wanted, Instant::now())),
                        SystemReply::NotLeader => {
                            tracing::debug!("this node's start is not committed yet; asking again");
                        }
                        SystemReply::Refused(reason) => {
                            node.fail(reason);
                            return;
                        }
                    }
                }
            }
        }
        drop(node);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The node stops in good order: the cluster need not wait until it notices by itself.
pub(crate) async fn farewell(node: &Inner) {
    let incarnation = node.local.incarnation();
    let own = node.replica.read(|state| {
        state.node_info(incarnation.node).is_some_and(|(_, info)| info.process == node.config.node_info.process)
    });
    // A copy of a data directory that was found out must not speak for the node that it is a copy of.
    if !own {
        return;
    }
    let told = propose(node, Command::NodeDown { incarnation }, FAREWELL_TIMEOUT).await;
    if !matches!(told, SystemReply::Committed) {
        tracing::debug!("the cluster was not told that this node stops; it will notice by itself");
    }
}

/// Has the leader commit what this node says of itself. Whoever does not answer may not lead any more.
async fn propose(node: &Inner, command: Command, limit: Duration) -> SystemReply {
    let Some((leader, addr)) = node.leader() else { return SystemReply::NotLeader };
    let format = node.replica.read(State::format);
    let body = encode_proposal(format, &Proposal { origin: Origin::System, commands: vec![command] });
    if leader == node.local.node_id() {
        let reply = tokio::time::timeout(limit, node.propose_system_here(body)).await;
        return reply.unwrap_or(SystemReply::NotLeader);
    }
    match node.endpoint.peer(&addr, Some(leader)).request(kind::PROPOSE_SYSTEM, body, limit).await {
        // The own replica shows it a moment later.
        Ok(reply) => wire::decode::<SystemReply>("system reply", &reply).unwrap_or_else(|error| {
            tracing::warn!(%error, "the leader's answer does not decode");
            SystemReply::NotLeader
        }),
        Err(error) => {
            tracing::debug!(%error, "the leader did not answer");
            SystemReply::NotLeader
        }
    }
}

/// A peer may only speak of itself.
pub(crate) fn is_about(body: &[u8], node: NodeId) -> bool {
    let Ok(Proposal { origin: Origin::System, commands }) = decode_proposal(body) else { return false };
    let [command] = commands.as_slice() else { return false };
    match command {
        Command::NodeUp { incarnation, .. } | Command::NodeDown { incarnation } => incarnation.node == node,
        _ => false,
    }
}
