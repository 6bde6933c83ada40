//! What members ask the leader to do about the membership, and how it answers.

use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vedfolnir_state::{Command, JoinTokenView, KeyHash, NodeId, TokenHash, limits};

use crate::handle::Inner;
use crate::leader::propose;
use crate::network::RpcError;
use crate::wire::{self, Contact, MembershipReply, MembershipRequest, kind};
use crate::{remove, transfer};

/// One question to the leader; a change of the membership waits for two commits.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two questions while nobody leads.
const RETRY_EVERY: Duration = Duration::from_millis(50);

/// Why the membership was not changed, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// It must not be done.
    #[error("{0}")]
    Refused(String),
    /// Nobody could do it; whether it was done is unknown.
    #[error(
        "no leader did it within {limit:?} ({last}): is there a quorum, and does this node have contact with it? \
         it is safe to ask again"
    )]
    NoLeader {
        /// How long was tried.
        limit: Duration,
        /// What happened last.
        last: String,
    },
    /// The cluster has removed the node that was asked.
    #[error("this node was removed from its cluster")]
    Removed,
}

/// Asks whoever leads until there is an answer. Every request may be repeated: doing it twice is doing it once.
pub(crate) async fn ask(
    node: &Arc<Inner>,
    request: MembershipRequest,
    limit: Duration,
) -> Result<MembershipReply, MembershipError> {
    let deadline = Instant::now() + limit;
    let mut last = "none is elected".to_owned();
    loop {
        match ask_once(node, &request).await {
            Ok(MembershipReply::Refused(reason)) => return Err(MembershipError::Refused(reason)),
            Ok(MembershipReply::NotLeader) => {}
            Ok(reply) => return Ok(reply),
            Err(RpcError::Removed { .. }) => return Err(MembershipError::Removed),
            Err(error) => last = error.to_string(),
        }
        if Instant::now() >= deadline {
            return Err(MembershipError::NoLeader { limit, last });
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

async fn ask_once(node: &Arc<Inner>, request: &MembershipRequest) -> Result<MembershipReply, RpcError> {
    let Some((leader, addr)) = node.leader() else { return Ok(MembershipReply::NotLeader) };
    if leader == node.local.node_id() {
        let (node, request) = (Arc::clone(node), request.clone());
        // A task of its own: a caller that gives up must not leave a change half made.
        let answered = tokio::spawn(async move { answer(&node, request).await }).await;
        return Ok(answered.unwrap_or(MembershipReply::NotLeader));
    }
    let body = match wire::encode("membership request", request) {
        Ok(body) => body,
        Err(error) => return Ok(MembershipReply::Refused(error.to_string())),
    };
    let reply = node.endpoint.peer(&addr, Some(leader)).request(kind::MEMBERSHIP, body, REQUEST_TIMEOUT).await?;
    wire::decode("membership reply", &reply).map_err(|error| RpcError::Remote(error.to_string()))
}

/// The leader's answer.
pub(crate) async fn answer(node: &Inner, request: MembershipRequest) -> MembershipReply {
    if !node.leads() {
        return MembershipReply::NotLeader;
    }
    match request {
        MembershipRequest::AddToken { token, ttl_ms } => add_token(node, token, ttl_ms).await,
        MembershipRequest::UseToken { token, node: by, key } => use_token(node, token, by, key).await,
        MembershipRequest::Remove { node: target, force, check_only } => {
            remove::answer(node, target, force, check_only).await
        }
        MembershipRequest::Transfer { to } => transfer::answer(node, to).await,
        MembershipRequest::Contacts => MembershipReply::Contacts(contacts(node)),
    }
}

async fn add_token(node: &Inner, token: TokenHash, ttl_ms: u64) -> MembershipReply {
    if !propose(node, Command::AddJoinToken { token, ttl_ms }).await {
        return MembershipReply::NotLeader;
    }
    // What was committed is applied here before the proposal returns.
    match node.replica.read(|state| state.join_token(&token)) {
        Some(_) => MembershipReply::Done,
        None => MembershipReply::Refused(format!(
            "the join token was not taken: at most {} are kept at once, each for at most {} days; let some expire",
            limits::JOIN_TOKENS_MAX,
            limits::JOIN_TOKEN_TTL_MS_MAX / 86_400_000
        )),
    }
}

/// Nothing is proposed for a token that is worth nothing: strangers do not write the log.
async fn use_token(node: &Inner, token: TokenHash, by: NodeId, key: KeyHash) -> MembershipReply {
    const AGAIN: &str = "make a new one with `vedfolnir token create --join`";
    if node.raft.ensure_linearizable().await.is_err() {
        return MembershipReply::NotLeader;
    }
    let mut proposed = false;
    loop {
        let (worth, removed) = node.replica.read(|state| (state.join_token(&token), state.is_removed(by)));
        let refusal = match worth {
            Some(JoinTokenView::UsedBy { node: used, key: with }) if used == by && with == key => {
                return MembershipReply::Done;
            }
            Some(JoinTokenView::Unused) if removed => remove::removed_line(node, by),
            Some(JoinTokenView::Unused) if !proposed => {
                proposed = true;
                if !propose(node, Command::UseJoinToken { token, node: by, key }).await {
                    return MembershipReply::NotLeader;
                }
                continue;
            }
            Some(JoinTokenView::Unused) => "the join token could not be used".to_owned(),
            Some(JoinTokenView::UsedBy { .. }) => {
                format!("the join token was used by another node, each lets in one node only; {AGAIN}")
            }
            Some(JoinTokenView::Expired) => format!("the join token has expired; {AGAIN}"),
            None => format!("this cluster does not know the join token, or it expired long ago; {AGAIN}"),
        };
        return MembershipReply::Refused(refusal);
    }
}

/// What the leader knows of each member.
pub(crate) fn contacts(node: &Inner) -> Vec<Contact> {
    let me = node.local.node_id();
    let heard = node.last_heard();
    let metrics = node.raft.metrics();
    let metrics = metrics.borrow_watched();
    let replication = metrics.replication.as_ref();
    metrics
        .membership_config
        .nodes()
        .map(|(id, _)| Contact {
            node: *id,
            matched_index: if *id == me {
                metrics.last_log_index
            } else {
                replication.and_then(|replication| replication.get(id)?.as_ref()).map(|log_id| log_id.index)
            },
            last_contact_ms: heard.get(id).filter(|_| *id != me).map(|age| age.as_millis() as u64),
        })
        .collect()
}
