//! Doors for the package fuzz: every body that peers send each other, and what is read out of snapshots and certificate
//! requests.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vedfolnir_state::{NodeId, Record};
use vedfolnir_storage::fuzzing::record_again;

use crate::question::{Answer, Question};
use crate::snapshot_transfer::{SnapshotAnswer, SnapshotOffer};
use crate::type_config::{LogId, SnapshotMeta, StoredMembership, TypeConfig, Vote};
use crate::wire::{
    self, EnrolReply, EnrolRequest, FormationPlan, JoinReply, JoinRequest, MembershipReply, MembershipRequest,
    PeerStatus, PromiseReply, ReadIndexReply, SignRequest, SystemReply,
};
use crate::{incarnation, server_id, signer};

/// Reads bytes as one thing and writes it again; `None`: they are refused.
pub type Again = fn(&[u8]) -> Option<Bytes>;

fn again<T: DeserializeOwned + Serialize>(body: &[u8]) -> Option<Bytes> {
    let value: T = wire::decode("body", body).ok()?;
    wire::encode("body", &value).ok()
}

fn stored<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<Bytes> {
    record_again::<T>(bytes).map(Bytes::from)
}

/// What nodes ask and answer about the cluster, and what strangers ask.
pub const BODIES: &[Again] = &[
    again::<PeerStatus>,
    again::<FormationPlan>,
    again::<PromiseReply>,
    again::<JoinRequest>,
    again::<JoinReply>,
    again::<MembershipRequest>,
    again::<MembershipReply>,
    again::<EnrolRequest>,
    again::<SignRequest>,
    again::<EnrolReply>,
    again::<SystemReply>,
    again::<ReadIndexReply>,
    again::<String>,
    again::<Option<String>>,
    again::<u64>,
    again::<Record>,
    again::<Question>,
    again::<Answer>,
];

/// What Raft asks and answers, and what stands around its snapshots.
pub const RAFT_BODIES: &[Again] = &[
    again::<VoteRequest<TypeConfig>>,
    again::<VoteResponse<TypeConfig>>,
    again::<AppendEntriesRequest<TypeConfig>>,
    again::<AppendEntriesResponse<TypeConfig>>,
    again::<StreamAppendResult<TypeConfig>>,
    again::<TransferLeaderRequest<TypeConfig>>,
    again::<TransferLeaderResponse<TypeConfig>>,
    again::<(Vote, SnapshotMeta)>,
    again::<SnapshotOffer>,
    again::<SnapshotAnswer>,
    again::<SnapshotResponse<TypeConfig>>,
    again::<SnapshotMeta>,
];

/// What is in a node's database.
pub const RECORDS: &[Again] = &[
    stored::<openraft::alias::EntryOf<TypeConfig>>,
    stored::<Vote>,
    stored::<LogId>,
    stored::<Option<LogId>>,
    stored::<StoredMembership>,
];

/// Whether a system proposal is only about this node, and whose named start it holds.
#[must_use]
pub fn system_proposal(body: &[u8], node: NodeId) -> (bool, Option<(NodeId, String)>) {
    (incarnation::is_about(body, node), server_id::start_in(body))
}

/// The hash of the key in a certificate request that may be signed.
#[must_use]
pub fn certificate_request(der: &[u8]) -> Option<[u8; 32]> {
    signer::CheckedRequest::read(der).ok().map(|checked| checked.key.0)
}
