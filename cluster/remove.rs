//! Removing a node for good: on its own wish (leave), or because an operator says that it is gone.
//!
//! `RemoveNode` is committed first: from there on the node's life is over, and the cluster remembers that it must not
//! come back. Then it leaves Raft's membership, in one joint change. A leader that dies in between leaves the second
//! half to the next one (`finish`). The removed node is refused by its peers only once it is out of the membership:
//! until then its vote may be needed.

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vedfolnir_state::{Command, NodeId};

use crate::autopilot::{HEALTHY_WITHIN, majority};
use crate::handle::Inner;
use crate::leader::propose;
use crate::membership::{self, MembershipError};
use crate::transfer;
use crate::wire::{MembershipReply, MembershipRequest};

/// Leaving is given this long, a change of leadership included.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether this node may leave; nothing is changed.
pub(crate) async fn may_leave(node: &Arc<Inner>) -> Result<(), MembershipError> {
    let request = MembershipRequest::Remove { node: node.local.node_id(), force: true, check_only: true };
    membership::ask(node, request, LEAVE_TIMEOUT).await.map(drop)
}

/// Leaves: hands the leadership over, is removed, and remembers it in the data directory.
pub(crate) async fn leave(node: &Arc<Inner>) -> Result<(), MembershipError> {
    transfer::transfer_leadership(node).await;
    let request = MembershipRequest::Remove { node: node.local.node_id(), force: true, check_only: false };
    match membership::ask(node, request, LEAVE_TIMEOUT).await {
        // The answer may be overtaken by the peers' refusal, which says the same.
        Ok(_) | Err(MembershipError::Removed) => {}
        Err(error) => return Err(error),
    }
    // What its peers say from here on is no fault.
    node.proposer.close();
    node.local.mark_removed().map_err(|error| MembershipError::Refused(error.to_string()))
}

/// The leader's answer.
pub(crate) async fn answer(node: &Inner, target: NodeId, force: bool, check_only: bool) -> MembershipReply {
    let _serial = node.membership_change.lock().await;
    if node.replica.read(|state| state.is_removed(target)) && !is_member(node, target) {
        return MembershipReply::Done;
    }
    if let Err(reason) = judge(node, target, force) {
        return MembershipReply::Refused(reason);
    }
    if check_only {
        return MembershipReply::Done;
    }
    if target == node.local.node_id() {
        // Another leader removes this one.
        transfer::transfer_leadership(node).await;
        return MembershipReply::NotLeader;
    }
    if !propose(node, Command::RemoveNode { node: target }).await {
        return MembershipReply::NotLeader;
    }
    match drop_from_membership(node, target).await {
        Ok(()) => {
            node.metrics.nodes_removed_total.fetch_add(1, Relaxed);
            tracing::info!(node = format!("{target:016x}"), "a node was removed from the cluster");
            MembershipReply::Done
        }
        Err(reason) => {
            tracing::warn!(node = format!("{target:016x}"), reason, "a removal is not finished yet");
            MembershipReply::NotLeader
        }
    }
}

/// Whether the removal leaves a cluster that works.
fn judge(node: &Inner, target: NodeId, force: bool) -> Result<(), String> {
    let me = node.local.node_id();
    if !is_member(node, target) {
        return Err(format!("there is no member {target:016x}"));
    }
    let heard = node.last_heard();
    let answers = |id: &NodeId| *id == me || heard.get(id).is_some_and(|age| *age <= HEALTHY_WITHIN);
    let live = node.replica.read(|state| state.node_info(target).is_some_and(|(live, _)| live));
    if !force && (live || answers(&target)) {
        return Err(format!(
            "node {target:016x} is alive: run `vedfolnir leave` on it, or add --force to remove it all the same"
        ));
    }
    let voters = voters(node);
    let left: BTreeSet<NodeId> = voters.iter().copied().filter(|id| *id != target).collect();
    if left.is_empty() {
        return Err(format!("node {target:016x} is the only voter: without it there is no cluster; stop it instead"));
    }
    if !voters.contains(&target) {
        return Ok(());
    }
    let healthy = left.iter().filter(|id| answers(id)).count();
    if healthy < majority(left.len()) {
        return Err(format!(
            "without node {target:016x} only {healthy} of {} voters would be healthy, {} are needed: \
             bring back or remove the dead ones first",
            left.len(),
            majority(left.len())
        ));
    }
    Ok(())
}

/// What a leader before this one began.
pub(crate) async fn finish(node: &Inner) {
    let mut begun: Vec<NodeId> = {
        let metrics = node.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.nodes().map(|(id, _)| *id).collect()
    };
    node.replica.read(|state| begun.retain(|id| state.is_removed(*id)));
    for target in begun {
        if target == node.local.node_id() {
            transfer::transfer_leadership(node).await;
            return;
        }
        // Whoever holds it is removing, or about to look again.
        let Ok(_serial) = node.membership_change.try_lock() else { return };
        if let Err(reason) = drop_from_membership(node, target).await {
            tracing::debug!(node = format!("{target:016x}"), reason, "a removal could not be finished");
        }
    }
}

/// Takes the node out of Raft's membership, as a voter in one joint change. The caller holds `membership_change`.
async fn drop_from_membership(node: &Inner, target: NodeId) -> Result<(), String> {
    let ids = BTreeSet::from([target]);
    if voters(node).contains(&target) {
        node.raft
            .change_membership(ChangeMembers::RemoveVoters(ids.clone()), false)
            .await
            .map_err(|error| error.to_string())?;
    }
    if is_member(node, target) {
        node.raft.change_membership(ChangeMembers::RemoveNodes(ids), false).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

pub(crate) fn is_member(node: &Inner, id: NodeId) -> bool {
    let metrics = node.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.get_node(&id).is_some()
}

fn voters(node: &Inner) -> BTreeSet<NodeId> {
    let metrics = node.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.membership().voter_ids().collect()
}

/// What a removed node is told, and says itself.
pub(crate) fn removed_line(node: &Inner, id: NodeId) -> String {
    let cluster = node.local.cluster_id().map(|id| crate::hex(&id)).unwrap_or_default();
    format!("node {id:016x} left or was removed from cluster {cluster} and does not come back under that identity")
}
