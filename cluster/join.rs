//! Joining a living cluster through any of its nodes, and telling it a new address after a restart.

use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::impls::BasicNode;
use vedfolnir_state::NodeId;

use crate::handle::{Inner, StartError, StartKind};
use crate::hex;
use crate::network::{Life, PeerIdentity};
use crate::wire::{self, JoinReply, JoinRequest, kind};
use crate::{admission, remove, server_id};

/// One request to join may take this long at the leader.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A process that lives answers within this time.
const IN_USE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Between two attempts.
const JOIN_EVERY: Duration = Duration::from_millis(200);
/// How many times a request follows "ask the leader" before it starts over.
const REDIRECTS_MAX: usize = 3;
/// While nothing happens, what is awaited is said this often.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Joins through any live node of the list; never initialises.
pub(crate) async fn join(node: &Arc<Inner>) -> Result<StartKind, StartError> {
    let mut said_at = tokio::time::Instant::now();
    loop {
        for status in crate::bootstrap::look_around(node).await {
            if status.member_of.is_some()
                && let Some(kind) = join_through(node, &status.cluster_addr).await?
            {
                return Ok(kind);
            }
        }
        if said_at.elapsed() > SAID_EVERY {
            said_at = tokio::time::Instant::now();
            let refusals = node.last_refusal.lock();
            let silent: Vec<String> = refusals.iter().map(|(addr, reason)| format!("{addr} ({reason})")).collect();
            tracing::warn!(
                "no node of --bootstrap (WEBSOCKET_CLUSTER_BOOTSTRAP) is a member of a cluster yet: {}; \
                 to form a new cluster add --bootstrap-expect N on its first nodes",
                silent.join(", ")
            );
        }
        tokio::time::sleep(JOIN_EVERY).await;
    }
}

/// Asks one node, and whoever it names as the leader. `None`: nobody could say yes, look again.
pub(crate) async fn join_through(node: &Arc<Inner>, addr: &str) -> Result<Option<StartKind>, StartError> {
    let incarnation = node.local.incarnation();
    let request = JoinRequest {
        node_id: incarnation.node,
        cluster_addr: node.cluster_addr.clone(),
        generation: incarnation.generation,
        process: node.config.node_info.process,
    };
    let body = wire::encode("join", &request).map_err(|error| StartError::Refused(error.to_string()))?;
    let mut addr = addr.to_owned();
    for _ in 0..REDIRECTS_MAX {
        server_id::ask(node, &addr).await?;
        let reply = match node.endpoint.peer(&addr, None).request(kind::JOIN, body.clone(), JOIN_TIMEOUT).await {
            Ok(reply) => reply,
            Err(error) => {
                node.last_refusal.lock().insert(addr, error.to_string());
                return Ok(None);
            }
        };
        match wire::decode("join", &reply).map_err(|error| StartError::Refused(error.to_string()))? {
            JoinReply::Welcome(cluster_id) => {
                if let Some(known) = node.local.cluster_id()
                    && known != cluster_id
                {
                    return Err(StartError::Refused(format!(
                        "the data directory {} belongs to cluster {}, but --bootstrap leads to cluster {}: \
                         use the right addresses, or an empty data directory for a new node",
                        node.config.data_dir.display(),
                        hex(&known),
                        hex(&cluster_id)
                    )));
                }
                if node.local.cluster_id() != Some(cluster_id) {
                    node.adopt(cluster_id)?;
                }
                return Ok(Some(StartKind::Joined));
            }
            JoinReply::AskLeader(leader) => addr = leader,
            JoinReply::NoLeader => return Ok(None),
            JoinReply::Refused(reason) => return Err(StartError::Refused(reason)),
        }
    }
    Ok(None)
}

/// A node asks to become a member: as a learner at first, the leader's duties make it a voter.
pub(crate) async fn answer_join(node: &Inner, from: &PeerIdentity, request: &JoinRequest) -> Result<JoinReply, String> {
    if from.node_id != request.node_id {
        return Err(format!("node {:016x} may not join as {:016x}", from.node_id, request.node_id));
    }
    let Some(cluster_id) = node.local.cluster_id() else { return Ok(JoinReply::NoLeader) };
    if !node.leads() {
        return Ok(match node.leader() {
            Some((_, addr)) => JoinReply::AskLeader(addr),
            None => JoinReply::NoLeader,
        });
    }
    let life = Life { generation: request.generation, process: request.process };
    if let Some(seen) = admission::lived_already(node, request.node_id, life) {
        return Ok(JoinReply::Refused(admission::copy_line(seen, life.generation)));
    }
    if let Some(known) = member_addr(node, request.node_id)
        && known != request.cluster_addr
        && is_in_use(node, request.node_id, &known).await
    {
        return Ok(JoinReply::Refused(format!(
            "node {:016x} is running at {known} already: this data directory is a copy of its own; \
             start with an empty data directory to join as a new node",
            request.node_id
        )));
    }
    let _serial = node.membership_change.lock().await;
    if node.replica.read(|state| state.is_removed(request.node_id)) {
        return Ok(JoinReply::Refused(remove::removed_line(node, request.node_id)));
    }
    let known = member_addr(node, request.node_id);
    let member = BasicNode { addr: request.cluster_addr.clone() };
    let changed = match known {
        Some(addr) if addr == request.cluster_addr => return Ok(JoinReply::Welcome(cluster_id)),
        Some(_) => {
            let nodes = BTreeMap::from([(request.node_id, member)]);
            node.raft.change_membership(ChangeMembers::SetNodes(nodes), true).await
        }
        None => node.raft.add_learner(request.node_id, member).await,
    };
    match changed {
        Ok(_) => {
            tracing::info!(node = format!("{:016x}", request.node_id), addr = request.cluster_addr, "a node joins");
            Ok(JoinReply::Welcome(cluster_id))
        }
        Err(error) => {
            tracing::debug!(%error, "a join was not committed by this leader");
            Ok(JoinReply::NoLeader)
        }
    }
}

/// A leader whose own address in the membership is not the one that it has.
pub(crate) async fn tell_own_address(node: &Inner) {
    let _serial = node.membership_change.lock().await;
    let me = node.local.node_id();
    let nodes = BTreeMap::from([(me, BasicNode { addr: node.cluster_addr.clone() })]);
    if let Err(error) = node.raft.change_membership(ChangeMembers::SetNodes(nodes), true).await {
        tracing::debug!(%error, "the own address was not committed by this leader");
    }
}

/// Whether the node still answers at the address that the cluster knows.
async fn is_in_use(node: &Inner, id: NodeId, addr: &str) -> bool {
    let peer = node.endpoint.peer(addr, Some(id));
    peer.request(kind::PEER_STATUS, bytes::Bytes::new(), IN_USE_TIMEOUT).await.is_ok()
}

fn member_addr(node: &Inner, id: NodeId) -> Option<String> {
    let metrics = node.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.get_node(&id).map(|member| member.addr.clone())
}
