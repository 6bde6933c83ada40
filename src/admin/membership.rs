//! The operators' doors to the membership: who is in, join tokens, removing, leaving, the leadership.
//!
//! A browser on this machine must not get through them: every request that changes something is JSON, which a foreign
//! page may not send without asking first, and whatever names an origin is refused.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use vedfolnir_cluster::state::NodeId;
use vedfolnir_cluster::{Cluster, MembershipError, NodeStatus};

use super::drain::{self, MemberStatus};
use crate::observability::{LeaveRequest, Node, Parts, readiness_reason};

/// The leader is asked for what only it knows, no longer than this.
const CONTACTS_TIMEOUT: Duration = Duration::from_secs(2);

/// What `GET /members` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Members<N> {
    /// Cluster id.
    pub cluster_id: String,
    /// The asked node.
    pub node_id: String,
    /// The leader, when known.
    pub leader: Option<String>,
    /// The format that the cluster writes; 0: a node that does not say.
    #[serde(default)]
    pub format: u8,
    /// Members, sorted by id.
    pub members: Vec<N>,
}

/// The body of `POST /members/remove`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemoveBody {
    /// Id, unique prefix of it, or address.
    pub node: String,
    /// Remove it also when it is alive.
    pub force: bool,
}

/// The body of `POST /leadership/transfer`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TransferBody {
    /// Id, unique prefix of it, or address; `None`: any other voter.
    pub node: Option<String>,
}

/// The body of `POST /tokens/join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenBody {
    /// How long the token is good, in cluster time.
    pub ttl_ms: u64,
}

/// What a change answers: one field that names what was done, or `error`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// The node that was removed, or that left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<String>,
    /// Who leads now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The join token; shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Done { error: Some(self.1), ..Done::default() })).into_response()
    }
}

impl From<MembershipError> for Refused {
    fn from(error: MembershipError) -> Self {
        let status = match error {
            MembershipError::Refused(_) | MembershipError::Removed => StatusCode::CONFLICT,
            MembershipError::NoLeader { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/members", get(members))
        .route("/members/remove", post(remove))
        .route("/leave", post(leave))
        .route("/leadership/transfer", post(transfer))
        .route("/tokens/join", post(create_token))
        .layer(middleware::from_fn(refuse_browsers))
        .with_state(node)
}

pub(super) async fn refuse_browsers(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return Refused(StatusCode::FORBIDDEN, "the operators' listener does not answer web pages".to_owned())
            .into_response();
    }
    next.run(request).await
}

pub(super) fn parts(node: &Node) -> Result<&Parts, Refused> {
    node.parts().ok_or_else(|| Refused(StatusCode::SERVICE_UNAVAILABLE, readiness_reason(node).unwrap_or_default()))
}

async fn members(State(node): State<Arc<Node>>) -> Result<Json<Members<MemberStatus>>, Refused> {
    let Parts { cluster, service, .. } = parts(&node)?;
    let members = drain::asked(service, cluster.members(CONTACTS_TIMEOUT).await).await;
    let status = cluster.status();
    Ok(Json(Members {
        cluster_id: status.cluster_id,
        node_id: status.node_id,
        leader: status.leader,
        format: status.format,
        members,
    }))
}

async fn remove(State(node): State<Arc<Node>>, Json(body): Json<RemoveBody>) -> Result<Json<Done>, Refused> {
    let cluster = &parts(&node)?.cluster;
    let target = resolve(cluster, &body.node)?;
    cluster.remove(target, body.force).await?;
    Ok(Json(Done { removed: Some(format!("{target:016x}")), ..Done::default() }))
}

async fn transfer(State(node): State<Arc<Node>>, Json(body): Json<TransferBody>) -> Result<Json<Done>, Refused> {
    let cluster = &parts(&node)?.cluster;
    let target = body.node.map(|name| resolve(cluster, &name)).transpose()?;
    let leader = cluster.transfer_leadership_to(target).await?;
    Ok(Json(Done { leader: leader.map(|id| format!("{id:016x}")), ..Done::default() }))
}

async fn create_token(State(node): State<Arc<Node>>, Json(body): Json<TokenBody>) -> Result<Json<Done>, Refused> {
    let token = parts(&node)?.cluster.create_join_token(Duration::from_millis(body.ttl_ms)).await?;
    tracing::info!(event_type = "join_token_created", ttl_ms = body.ttl_ms, "a join token was made");
    Ok(Json(Done { token: Some(token.reveal()), ..Done::default() }))
}

async fn leave(State(node): State<Arc<Node>>, Json(_): Json<serde_json::Value>) -> Result<Json<Done>, Refused> {
    let parts = parts(&node)?;
    parts.cluster.may_leave().await?;
    let (done, left) = oneshot::channel();
    let busy = || Refused(StatusCode::CONFLICT, "the node is leaving or stopping already".to_owned());
    parts.leave.try_send(LeaveRequest { done }).map_err(|_| busy())?;
    match left.await {
        Ok(Ok(())) => {
            let removed = Some(format!("{:016x}", parts.cluster.identity().node_id));
            Ok(Json(Done { removed, ..Done::default() }))
        }
        Ok(Err(reason)) => Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, reason)),
        Err(_) => Err(busy()),
    }
}

fn resolve(cluster: &Cluster, text: &str) -> Result<NodeId, Refused> {
    find(&cluster.status().nodes, text).map_err(|reason| Refused(StatusCode::CONFLICT, reason))
}

/// A node by its id, a unique prefix of it, or an address. A whole id need not be a member's: it may be one's that was
/// removed before.
fn find(nodes: &[NodeStatus], text: &str) -> Result<NodeId, String> {
    let text = text.trim();
    let id_of = |text: &str| u64::from_str_radix(text, 16).map_err(|_| format!("{text:?} is no node id"));
    if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return id_of(text);
    }
    let bare = |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/').to_owned();
    let wanted = bare(text);
    let has_address = |node: &&NodeStatus| {
        [&node.cluster_addr, &node.url, &node.admin_url].into_iter().any(|addr| bare(addr) == wanted)
    };
    let has_prefix = |node: &&NodeStatus| !text.is_empty() && node.id.starts_with(&text.to_ascii_lowercase());
    let mut found: Vec<&NodeStatus> = nodes.iter().filter(has_address).collect();
    if found.is_empty() {
        found = nodes.iter().filter(has_prefix).collect();
    }
    match found.as_slice() {
        [node] => id_of(&node.id),
        [] => Err(format!(
            "no member is called {text:?}; accepted: an id or a unique prefix of it, or an address, as `vedfolnir members` shows them"
        )),
        several => Err(format!(
            "{text:?} means {} members ({}); give more of the id",
            several.len(),
            several.iter().map(|node| node.id.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, port: u16) -> NodeStatus {
        NodeStatus {
            id: id.to_owned(),
            role: vedfolnir_cluster::Role::Voter,
            live: true,
            url: format!("http://127.0.0.1:{port}"),
            admin_url: format!("http://127.0.0.1:{}", port + 2),
            cluster_addr: format!("127.0.0.1:{}", port + 1),
            server_id: String::new(),
            version: String::new(),
            format: None,
            sessions: 0,
            matched_index: None,
            last_contact_ms: None,
        }
    }

    #[test]
    fn a_node_has_an_id_prefixes_and_addresses() {
        let nodes = [node("00ab000000000001", 5000), node("00ac000000000002", 6000)];
        for name in ["00ab000000000001", "00ab", "00AB", "127.0.0.1:5001", "http://127.0.0.1:5002/", "127.0.0.1:5000"] {
            assert_eq!(find(&nodes, name), Ok(0x00ab_0000_0000_0001), "{name}");
        }
        assert_eq!(find(&nodes, "00000000000000ff"), Ok(0xff), "a whole id may be one's that is gone");
        for (name, part) in
            [("00a", "means 2 members"), ("", "no member"), ("zz", "no member"), ("127.0.0.1:1", "no member")]
        {
            assert!(find(&nodes, name).is_err_and(|reason| reason.contains(part)), "{name}");
        }
    }
}
