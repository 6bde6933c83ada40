//! Handing the leadership over: to the voter that has the most of the log, or to a named one.

use openraft::async_runtime::WatchReceiver;
use std::time::Duration;

use vedfolnir_state::NodeId;

use crate::autopilot::HEALTHY_WITHIN;
use crate::handle::Inner;
use crate::wire::MembershipReply;

/// A transfer of leadership is given this long; then an election follows.
const TRANSFER_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Hands it to the voter that has the most of the log, if this node leads.
pub(crate) async fn transfer_leadership(node: &Inner) {
    if !node.leads() {
        return;
    }
    if let Some(heir) = heir(node)
        && hand_to(node, heir).await.is_none()
    {
        tracing::warn!(heir = format!("{heir:016x}"), "leadership was not taken over in time; an election will follow");
    }
}

/// The leader's answer to a member that asks for it.
pub(crate) async fn answer(node: &Inner, to: Option<NodeId>) -> MembershipReply {
    let me = node.local.node_id();
    if to == Some(me) {
        return MembershipReply::LedBy(me);
    }
    let heir = match to {
        Some(to) if !is_voter(node, to) => {
            return MembershipReply::Refused(format!("node {to:016x} is no voter: only a voter can lead"));
        }
        Some(to) if node.last_heard().get(&to).is_none_or(|age| *age > HEALTHY_WITHIN) => {
            return MembershipReply::Refused(format!("node {to:016x} does not answer: it cannot take the leadership"));
        }
        Some(to) => to,
        None => match heir(node) {
            Some(heir) => heir,
            None => return MembershipReply::Refused("there is no other voter to lead".to_owned()),
        },
    };
    match hand_to(node, heir).await {
        Some(leader) => MembershipReply::LedBy(leader),
        None => MembershipReply::Refused(format!(
            "node {heir:016x} did not take the leadership within {TRANSFER_TIMEOUT:?}; look at `vedfolnir members`"
        )),
    }
}

fn is_voter(node: &Inner, id: NodeId) -> bool {
    let metrics = node.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.membership().voter_ids().any(|voter| voter == id)
}

/// The other voter that has the most of the log.
fn heir(node: &Inner) -> Option<NodeId> {
    let me = node.local.node_id();
    let metrics = node.raft.metrics();
    let metrics = metrics.borrow_watched();
    let replication = metrics.replication.as_ref()?;
    metrics
        .membership_config
        .membership()
        .voter_ids()
        .filter(|id| *id != me)
        .filter_map(|id| Some((replication.get(&id)?.as_ref().map(|log_id| log_id.index)?, id)))
        .max()
        .map(|(_, id)| id)
}

/// Who leads afterwards; `None` when this node still does, or nobody.
async fn hand_to(node: &Inner, heir: NodeId) -> Option<NodeId> {
    let me = node.local.node_id();
    node.raft.transfer_leader(heir).await.ok()?;
    let mut metrics = node.raft.server_metrics();
    let moved = async {
        loop {
            match metrics.borrow_watched().current_leader {
                Some(leader) if leader != me => return Some(leader),
                _ => {}
            }
            metrics.changed().await.ok()?;
        }
    };
    tokio::time::timeout(TRANSFER_TIMEOUT, moved).await.ok().flatten()
}
