//! What peers say to each other: the kinds of requests and streams, and their bodies.
//!
//! Bodies are MessagePack behind the frame's version and group; a body that does not decode ends the request.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vedfolnir_state::{KeyHash, NodeId, TokenHash};

/// Kinds of requests and streams; the numbers are on the wire and are never reused.
pub(crate) mod kind {
    pub(crate) const VOTE: u8 = 1;
    pub(crate) const PRE_VOTE: u8 = 2;
    pub(crate) const APPEND: u8 = 3;
    pub(crate) const APPEND_STREAM: u8 = 4;
    pub(crate) const SNAPSHOT_STREAM: u8 = 5;
    pub(crate) const TRANSFER_LEADER: u8 = 6;
    pub(crate) const PROPOSE_STREAM: u8 = 7;
    pub(crate) const PROPOSE_SYSTEM: u8 = 8;
    pub(crate) const PEER_STATUS: u8 = 9;
    pub(crate) const PROMISE: u8 = 10;
    pub(crate) const RELEASE: u8 = 11;
    pub(crate) const JOIN: u8 = 12;
    pub(crate) const READ_INDEX: u8 = 13;
    pub(crate) const MEMBERSHIP: u8 = 14;
    pub(crate) const SIGN: u8 = 15;
    /// From format 2 on.
    pub(crate) const SNAPSHOT_OFFER_STREAM: u8 = 16;
    /// May be unknown to a node of the same format.
    pub(crate) const SERVER_ID: u8 = 17;
    /// The same; Unix time in milliseconds, for people to compare.
    pub(crate) const CLOCK: u8 = 18;
    pub(crate) const SERVICE_STREAM: u8 = 32;
    /// May be unknown to a node of the same format.
    pub(crate) const QUESTION: u8 = 33;
}

/// A body that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("a {what} that cannot be {verb}: {reason}")]
pub(crate) struct WireError {
    what: &'static str,
    verb: &'static str,
    reason: String,
}

pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Bytes, WireError> {
    rmp_serde::to_vec(value).map(Bytes::from).map_err(|error| WireError {
        what,
        verb: "written",
        reason: error.to_string(),
    })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, WireError> {
    rmp_serde::from_slice(body).map_err(|error| WireError { what, verb: "read", reason: error.to_string() })
}

/// 16 random bytes, drawn by whoever coordinates the forming of a cluster.
pub(crate) type ClusterId = [u8; 16];

/// The exact cluster that a node has promised to form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FormationPlan {
    pub(crate) cluster_id: ClusterId,
    /// The member with the lowest id: it alone initialises, or gives the plan up.
    pub(crate) coordinator: NodeId,
    /// Every member and its HOST:PORT.
    pub(crate) members: BTreeMap<NodeId, String>,
}

/// How far a node is, as it tells others that look for a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PeerStatus {
    pub(crate) node_id: NodeId,
    pub(crate) cluster_addr: String,
    /// The cluster it is an initialised member of.
    pub(crate) member_of: Option<ClusterId>,
    /// The plan it has promised, while the cluster is not formed yet.
    pub(crate) promised: Option<FormationPlan>,
    pub(crate) leader: Option<(NodeId, String)>,
}

/// The answer to a request for a promise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PromiseReply {
    /// Durably promised.
    Promised,
    /// Already bound to another plan.
    BoundTo(FormationPlan),
    /// Already a member of a cluster.
    MemberOf(ClusterId),
}

/// A node asks to become a member, or tells its new address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinRequest {
    pub(crate) node_id: NodeId,
    pub(crate) cluster_addr: String,
    /// Which life of the node asks: a copy of its data directory holds an older one.
    pub(crate) generation: u64,
    /// As in its `NodeInfo`: two processes may claim the same life.
    pub(crate) process: u64,
}

/// The answer to a [`JoinRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum JoinReply {
    /// A member now, a learner at first.
    Welcome(ClusterId),
    /// Ask this one.
    AskLeader(String),
    /// Nobody leads at the moment; ask again.
    NoLeader,
    /// It must not, and asking again will not help.
    Refused(String),
}

/// What a member asks the leader to do about the membership.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum MembershipRequest {
    /// Commit a new join token.
    AddToken { token: TokenHash, ttl_ms: u64 },
    /// Commit that a node uses a join token.
    UseToken { token: TokenHash, node: NodeId, key: KeyHash },
    /// Remove a node; with `check_only` say whether it may be done.
    Remove { node: NodeId, force: bool, check_only: bool },
    /// Hand the leadership to a voter, any if none is named.
    Transfer { to: Option<NodeId> },
    /// Tell what only the leader knows of the members.
    Contacts,
}

/// The answer to a [`MembershipRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum MembershipReply {
    /// Done, or nothing was left to do.
    Done,
    /// It must not be done; why, in one line.
    Refused(String),
    /// This node does not lead, or leads no more: ask again.
    NotLeader,
    /// The leadership went to this node.
    LedBy(NodeId),
    /// What the leader knows.
    Contacts(Vec<Contact>),
}

/// What only the leader knows of a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Contact {
    pub(crate) node: NodeId,
    /// Highest log index known to be on it.
    pub(crate) matched_index: Option<u64>,
    /// Since it last answered; the leader itself has none.
    pub(crate) last_contact_ms: Option<u64>,
}

/// A node that has no certificate yet asks for one.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct EnrolRequest {
    pub(crate) node_id: NodeId,
    /// The join token's.
    pub(crate) secret: [u8; 32],
    /// PKCS #10, DER.
    #[serde(with = "serde_bytes")]
    pub(crate) request: Vec<u8>,
}

/// The same, handed on to a member that can sign: the secret stays where it was heard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SignRequest {
    pub(crate) node_id: NodeId,
    pub(crate) token: TokenHash,
    #[serde(with = "serde_bytes")]
    pub(crate) request: Vec<u8>,
}

/// The answer to both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum EnrolReply {
    /// The certificate and the authorities that all nodes trust, DER.
    Certificate { certificate: serde_bytes::ByteBuf, authorities: Vec<serde_bytes::ByteBuf> },
    /// Asking again will not help.
    Refused(String),
    /// Nobody can sign at the moment; ask again.
    NotNow(String),
}

/// The answer to a system proposal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum SystemReply {
    /// Committed.
    Committed,
    /// This node does not lead, or cannot take it just now: ask again.
    NotLeader,
    /// Asking again will not help; why, in one line. A release before this one cannot read it, and asks again for ever.
    Refused(String),
}

/// The answer to a question for the read index.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum ReadIndexReply {
    /// Everything committed when the question came is at or below this log index.
    Index(u64),
    /// This node does not lead, or no quorum confirmed in time that it does.
    NotConfirmed,
}
