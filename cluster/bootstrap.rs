//! Forming a new cluster: exactly the promised nodes, exactly once, none of them special.
//!
//! Every node that starts empty with `--bootstrap-expect N` looks at the listed addresses. When N empty nodes are
//! seen, the one with the lowest id coordinates: it draws a cluster id, writes down the plan (id, members), asks each
//! member for a durable promise of exactly this plan, and only when all N promised does it initialise Raft with that
//! set. A member holds one promise at a time and gives it back only when the coordinator says that it gave the plan
//! up. Only the coordinator can initialise, so a plan is either initialised or given up, never both. Of two plans
//! that want the same member, the one whose coordinator has the higher id is given up.
//! Any reachable initialised peer wins over forming: the node joins it, unless it is bound by a promise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::impls::BasicNode;
use vedfolnir_state::NodeId;

use crate::handle::{Inner, StartError, StartKind};
use crate::identity::random_bytes;
use crate::network::{PeerIdentity, RpcError};
use crate::wire::{self, FormationPlan, PeerStatus, PromiseReply, kind};
use crate::{hex, join};

/// Between two looks at the listed addresses.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// A listed address answers within this time or counts as absent for this look.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1_000);
/// While nothing happens, what is awaited is said this often.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Forms a cluster of this node alone.
pub(crate) async fn form_alone(node: &Inner) -> Result<(), StartError> {
    let plan = match node.local.plan() {
        Some(plan) => plan,
        None => draw_plan(node.local.node_id(), BTreeMap::from([(node.local.node_id(), node.cluster_addr.clone())]))?,
    };
    let bound = node.local.promise(&plan)?;
    recover_first(node)?;
    initialise(node, &bound).await
}

/// Here, and nowhere else, a cluster comes to be out of nothing: every node of the plan is empty, has promised, and knows of
/// no member. Only now a backup may be restored in its place. A member that lost its disk never comes here while the others
/// live: they answer that they are members.
fn recover_first(node: &Inner) -> Result<(), StartError> {
    if node.config.recovers { Err(StartError::RecoveryDue) } else { Ok(()) }
}

/// Forms a cluster with the listed nodes, or joins one that is already there.
pub(crate) async fn form_or_join(node: &Arc<Inner>, expect: usize) -> Result<StartKind, StartError> {
    let mut said_at = tokio::time::Instant::now();
    loop {
        if let Some(kind) = step(node, expect).await? {
            return Ok(kind);
        }
        if said_at.elapsed() > SAID_EVERY {
            said_at = tokio::time::Instant::now();
            tracing::info!("{}", awaited(node, expect));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One look at the others, and what follows from it.
async fn step(node: &Arc<Inner>, expect: usize) -> Result<Option<StartKind>, StartError> {
    let me = node.local.node_id();
    let bound_before = node.local.plan();
    let statuses = look_around(node).await;
    if let Some(plan) = node.local.plan() {
        let formed = statuses.iter().any(|status| status.member_of == Some(plan.cluster_id));
        if formed {
            // The coordinator initialised it with this node as a member: its log arrives by itself.
            node.adopt(plan.cluster_id)?;
            return Ok(Some(StartKind::Initialized));
        }
        if plan.coordinator == me {
            return coordinate(node, &plan).await;
        }
        // Bound before the coordinator was asked, and the coordinator no longer knows the plan: it gave it up and
        // the message was lost. A status from before the promise would prove nothing.
        let coordinator = statuses.iter().find(|status| status.node_id == plan.coordinator);
        let given_up = coordinator.is_some_and(|status| {
            status.promised.as_ref().is_none_or(|promised| promised.cluster_id != plan.cluster_id)
        });
        if given_up && bound_before.as_ref() == Some(&plan) {
            node.local.release(plan.cluster_id)?;
        }
        return Ok(None);
    }
    if let Some(member) = statuses.iter().find(|status| status.member_of.is_some()) {
        let through = member.cluster_addr.clone();
        return join::join_through(node, &through).await;
    }
    let mut members: BTreeMap<NodeId, String> =
        statuses.iter().map(|status| (status.node_id, status.cluster_addr.clone())).collect();
    members.insert(me, node.cluster_addr.clone());
    if members.len() < expect {
        return Ok(None);
    }
    let members: BTreeMap<NodeId, String> = members.into_iter().take(expect).collect();
    if members.keys().next() != Some(&me) {
        return Ok(None);
    }
    let plan = node.local.promise(&draw_plan(me, members)?)?;
    coordinate(node, &plan).await
}

/// Asks every member for its promise; initialises when all have given it.
async fn coordinate(node: &Arc<Inner>, plan: &FormationPlan) -> Result<Option<StartKind>, StartError> {
    let me = node.local.node_id();
    let body = wire::encode("plan", plan).map_err(|error| StartError::Refused(error.to_string()))?;
    for (member, addr) in plan.members.iter().filter(|(member, _)| **member != me) {
        let peer = node.endpoint.peer(addr, Some(*member));
        let Ok(reply) = peer.request(kind::PROMISE, body.clone(), LOOK_TIMEOUT).await else {
            return Ok(None);
        };
        let reply: PromiseReply =
            wire::decode("promise", &reply).map_err(|error| StartError::Refused(error.to_string()))?;
        match reply {
            PromiseReply::Promised => {}
            PromiseReply::BoundTo(other) if other.coordinator > me => return Ok(None),
            PromiseReply::BoundTo(_) | PromiseReply::MemberOf(_) => {
                tracing::info!(
                    plan = hex(&plan.cluster_id),
                    member = format!("{member:016x}"),
                    "this plan is given up: a member is bound elsewhere"
                );
                give_up(node, plan).await?;
                return Ok(None);
            }
        }
    }
    recover_first(node)?;
    initialise(node, plan).await?;
    Ok(Some(StartKind::Initialized))
}

/// Gives a plan up: its coordinator first, durably, then the members; one that does not hear of it asks again.
async fn give_up(node: &Inner, plan: &FormationPlan) -> Result<(), StartError> {
    node.local.release(plan.cluster_id)?;
    let body = wire::encode("plan", plan).map_err(|error| StartError::Refused(error.to_string()))?;
    for (member, addr) in plan.members.iter().filter(|(member, _)| **member != node.local.node_id()) {
        let peer = node.endpoint.peer(addr, Some(*member));
        if let Err(error) = peer.request(kind::RELEASE, body.clone(), LOOK_TIMEOUT).await {
            tracing::debug!(%error, "a member did not hear that the plan was given up");
        }
    }
    Ok(())
}

/// Writes the one membership entry. Repeating it after a crash in between is harmless: the set is the same.
async fn initialise(node: &Inner, plan: &FormationPlan) -> Result<(), StartError> {
    node.adopt(plan.cluster_id)?;
    let members: BTreeMap<NodeId, BasicNode> =
        plan.members.iter().map(|(id, addr)| (*id, BasicNode { addr: addr.clone() })).collect();
    if node.is_initialized().await? {
        return Ok(());
    }
    match node.raft.initialize(members).await {
        Ok(()) => Ok(()),
        // A member that was promised earlier may already have been elected and have replicated the same set here.
        Err(_) if node.is_initialized().await? => Ok(()),
        Err(error) => Err(StartError::Refused(format!("the cluster could not be initialised: {error}"))),
    }
}

/// Asks every listed address, but this node itself, how far it is.
pub(crate) async fn look_around(node: &Inner) -> Vec<PeerStatus> {
    let planned = node.local.plan().map(|plan| plan.members.into_values().collect::<Vec<_>>()).unwrap_or_default();
    let mut addresses = node.config.bootstrap.clone();
    addresses.extend(planned);
    addresses.sort_unstable();
    addresses.dedup();
    let looks = addresses.into_iter().filter(|addr| *addr != node.cluster_addr).map(|addr| async move {
        let peer = node.endpoint.peer(&addr, None);
        let body = peer.request(kind::PEER_STATUS, bytes::Bytes::new(), LOOK_TIMEOUT).await;
        match body {
            Ok(body) => wire::decode::<PeerStatus>("peer status", &body).ok(),
            Err(error) => {
                tracing::debug!(peer = %addr, %error, "a listed address does not answer");
                node.last_refusal.lock().insert(addr, error.to_string());
                None
            }
        }
    });
    let mut statuses: Vec<PeerStatus> = futures_util::future::join_all(looks).await.into_iter().flatten().collect();
    // One node under two names counts once, and never this node itself.
    statuses.sort_by_key(|status| status.node_id);
    statuses.dedup_by_key(|status| status.node_id);
    statuses.retain(|status| status.node_id != node.local.node_id());
    statuses
}

/// A node that finds its state again, but whose listed addresses belong to another cluster, was started on the wrong
/// data directory or with the wrong list: it must not go on as if nothing were.
pub(crate) async fn refuse_foreign_peers(node: &Inner) -> Result<(), StartError> {
    let Some(own) = node.local.cluster_id() else { return Ok(()) };
    let asks = node.config.bootstrap.iter().filter(|addr| **addr != node.cluster_addr).map(|addr| async move {
        let refused =
            node.endpoint.peer(addr, None).request(kind::PEER_STATUS, bytes::Bytes::new(), LOOK_TIMEOUT).await;
        matches!(refused, Err(RpcError::WrongCluster { .. })).then_some(addr)
    });
    match futures_util::future::join_all(asks).await.into_iter().flatten().next() {
        None => Ok(()),
        Some(addr) => Err(StartError::Refused(format!(
            "the data directory {} belongs to cluster {}, but {addr} of --bootstrap (WEBSOCKET_CLUSTER_BOOTSTRAP) is a \
             member of another cluster: use the right addresses, or an empty data directory for a new node",
            node.config.data_dir.display(),
            hex(&own)
        ))),
    }
}

/// A coordinator asks for this node's promise.
pub(crate) fn answer_promise(node: &Inner, plan: &FormationPlan) -> Result<PromiseReply, StartError> {
    let me = node.local.node_id();
    if let Some(cluster_id) = node.local.cluster_id()
        && cluster_id != plan.cluster_id
    {
        return Ok(PromiseReply::MemberOf(cluster_id));
    }
    let well_formed = plan.members.contains_key(&me) && plan.members.keys().next() == Some(&plan.coordinator);
    let willing = node.config.bootstrap_expect == Some(plan.members.len());
    if !well_formed || !willing {
        return Err(StartError::Refused(format!(
            "node {me:016x} does not form a cluster of these {} nodes: its own --bootstrap-expect is {:?}",
            plan.members.len(),
            node.config.bootstrap_expect
        )));
    }
    let bound = node.local.promise(plan)?;
    Ok(if bound == *plan { PromiseReply::Promised } else { PromiseReply::BoundTo(bound) })
}

/// A coordinator gave its plan up.
pub(crate) fn answer_release(node: &Inner, from: &PeerIdentity, plan: &FormationPlan) -> Result<(), StartError> {
    if from.node_id == plan.coordinator { node.local.release(plan.cluster_id) } else { Ok(()) }
}

fn draw_plan(coordinator: NodeId, members: BTreeMap<NodeId, String>) -> Result<FormationPlan, StartError> {
    Ok(FormationPlan { cluster_id: random_bytes()?, coordinator, members })
}

fn awaited(node: &Inner, expect: usize) -> String {
    let refusals = node.last_refusal.lock();
    let silent: Vec<String> = refusals.iter().map(|(addr, reason)| format!("{addr} ({reason})")).collect();
    let silent = if silent.is_empty() { "none silent".to_owned() } else { silent.join(", ") };
    match node.local.plan() {
        Some(plan) => format!(
            "forming cluster {}: waiting for node {:016x}, which coordinates, or for the promise of a member; {silent}",
            hex(&plan.cluster_id),
            plan.coordinator
        ),
        None => format!("waiting until {expect} nodes of the bootstrap list are there; {silent}"),
    }
}
