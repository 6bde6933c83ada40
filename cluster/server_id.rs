//! No two nodes of a cluster go by one server id: the second is refused before it joins, and once more as its start is
//! committed.
//!
//! The leader decides, not `apply`: a decision there would need a format of its own, so that replicas of two releases
//! never differ about it. So the leader commits starts one at a time, each against a replica that has everything of its
//! log, and only while it leads without a break: of two nodes that come at the same moment one is first. A leader of a
//! release before this one does not look: until the last node is upgraded two can share a name.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use vedfolnir_state::{Command, NodeId, Proposal, State, decode_proposal};

use crate::handle::{Inner, StartError};
use crate::type_config::EntryBytes;
use crate::wire::{self, SystemReply, kind};

/// Whoever is asked before a join answers within this time, or is not waited for: the leader looks again.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// The leader has everything of its log applied within this time, or the node asks again.
const APPLIED_TIMEOUT: Duration = Duration::from_millis(500);

/// Why the node must not go by this server id; `None`: it may.
pub(crate) fn objection(state: &State, node: NodeId, server_id: &str) -> Option<String> {
    let holder = state.node_by_server_id(server_id, node)?;
    let (live, info) = state.node_info(holder)?;
    let (down, or_remove) = if live {
        ("", String::new())
    } else {
        (", which is down,", format!(", or, if that one is gone for good, run `vedfolnir remove {holder:016x}` first"))
    };
    Some(format!(
        "--server-id (WEBSOCKET_SERVER_ID) = {server_id:?} is the name of node {holder:016x} at {}{down} already: \
         give this node a name of its own{or_remove}",
        info.cluster_addr
    ))
}

/// Asks the node at this address, before joining through it; a node without a name (embedded, without a service) does not.
pub(crate) async fn ask(node: &Inner, addr: &str) -> Result<(), StartError> {
    let server_id = &node.config.node_info.server_id;
    if server_id.is_empty() {
        return Ok(());
    }
    let Ok(body) = wire::encode("server id", server_id) else { return Ok(()) };
    // A release before this one does not know the question. Whoever does not answer is asked again at the start's commit.
    let Ok(reply) = node.endpoint.peer(addr, None).request(kind::SERVER_ID, body, ASK_TIMEOUT).await else {
        return Ok(());
    };
    match wire::decode::<Option<String>>("answer about a server id", &reply) {
        Ok(Some(reason)) => Err(StartError::Refused(reason)),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// The answer; nobody but the leader, and it only when it has all of its log applied, knows whom the cluster removed.
pub(crate) async fn answer(node: &Inner, from: NodeId, body: &[u8]) -> Result<Bytes, wire::WireError> {
    let server_id: String = wire::decode("server id", body)?;
    let reason = match node.raft.leadership() {
        Some(_) => judge(node, from, &server_id).await.and_then(Result::err),
        None => None,
    };
    wire::encode("answer about a server id", &reason)
}

/// Against everything of the leader's log; `None`: that is not applied yet.
async fn judge(leader: &Inner, node: NodeId, server_id: &str) -> Option<Result<(), String>> {
    let last = leader.raft.metrics().borrow_watched().last_log_index.unwrap_or(0);
    tokio::time::timeout(APPLIED_TIMEOUT, leader.replica.applied(last)).await.ok().filter(|applied| *applied)?;
    Some(leader.replica.read(|state| objection(state, node, server_id)).map_or(Ok(()), Err))
}

/// The start of a node that has a name, if the system proposal is one.
pub(crate) fn start_in(body: &[u8]) -> Option<(NodeId, String)> {
    let Ok(Proposal { commands, .. }) = decode_proposal(body) else { return None };
    commands.into_iter().find_map(|command| match command {
        Command::NodeUp { incarnation, info } if !info.server_id.is_empty() => Some((incarnation.node, info.server_id)),
        _ => None,
    })
}

/// Commits a node's start, if this node leads and the name is free.
pub(crate) async fn commit_start(leader: &Inner, node: NodeId, server_id: &str, body: Bytes) -> SystemReply {
    // Whoever finds another start under way asks again: nobody queues here while there is no quorum.
    let Ok(turn) = Arc::clone(&leader.starting).try_lock_owned() else { return SystemReply::NotLeader };
    let Some(leadership) = leader.raft.leadership() else { return SystemReply::NotLeader };
    match judge(leader, node, server_id).await {
        None => return SystemReply::NotLeader,
        Some(Err(reason)) => {
            tracing::warn!(node = format!("{node:016x}"), "a node was refused: {reason}");
            return SystemReply::Refused(reason);
        }
        Some(Ok(())) => {}
    }
    match leader.raft.client_write_under(leadership, EntryBytes(body), turn).await {
        Ok(_) => SystemReply::Committed,
        Err(_) => SystemReply::NotLeader,
    }
}

#[cfg(test)]
mod tests {
    use vedfolnir_state::{Format, Incarnation, NodeInfo, Origin, encode_proposal};

    use super::*;

    fn apply(state: &mut State, command: Command) {
        let index = state.applied().index + 1;
        let proposal = Proposal { origin: Origin::System, commands: vec![command] };
        state.apply(index, &encode_proposal(Format::NEWEST, &proposal));
    }

    fn up(node: NodeId, generation: u64, server_id: &str) -> Command {
        let info =
            NodeInfo { server_id: server_id.to_owned(), cluster_addr: "a:5001".to_owned(), ..NodeInfo::default() };
        Command::NodeUp { incarnation: Incarnation { node, generation }, info }
    }

    #[test]
    fn a_name_is_its_nodes_own_until_that_is_renamed_or_removed() {
        let mut state = State::default();
        apply(&mut state, up(1, 1, "web"));
        assert_eq!(objection(&state, 1, "web"), None, "its own, at a restart");
        assert_eq!(objection(&state, 2, "other"), None);
        assert_eq!(
            objection(&state, 2, "web").as_deref(),
            Some(
                "--server-id (WEBSOCKET_SERVER_ID) = \"web\" is the name of node 0000000000000001 at a:5001 already: \
                 give this node a name of its own"
            )
        );
        apply(&mut state, Command::NodeDown { incarnation: Incarnation { node: 1, generation: 1 } });
        assert_eq!(
            objection(&state, 2, "web").as_deref(),
            Some(
                "--server-id (WEBSOCKET_SERVER_ID) = \"web\" is the name of node 0000000000000001 at a:5001, which is down, \
                 already: give this node a name of its own, or, if that one is gone for good, run \
                 `vedfolnir remove 0000000000000001` first"
            )
        );
        apply(&mut state, up(1, 2, "renamed"));
        assert_eq!(objection(&state, 2, "web"), None);
        assert!(objection(&state, 2, "renamed").is_some());
        apply(&mut state, Command::RemoveNode { node: 1 });
        assert_eq!(objection(&state, 2, "renamed"), None);
    }

    #[test]
    fn only_starts_of_nodes_with_a_name_are_judged() {
        let body =
            |command| encode_proposal(Format::NEWEST, &Proposal { origin: Origin::System, commands: vec![command] });
        assert_eq!(start_in(&body(up(7, 1, "web"))), Some((7, "web".to_owned())));
        assert_eq!(start_in(&body(up(7, 1, ""))), None);
        assert_eq!(start_in(&body(Command::NodeDown { incarnation: Incarnation { node: 7, generation: 1 } })), None);
        assert_eq!(start_in(b"no proposal"), None);
    }
}
