//! What earlier releases said to each other and wrote down stays readable: recorded bodies of requests, answers and
//! streams, log entries and the node's own records.
//!
//! A fixture is recorded once, by the release that first writes a format, and never changed:
//! `cargo test -p vedfolnir-cluster record_fixtures -- --ignored` writes `fixtures/format-N/` for the newest format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::impls::BasicNode;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::vote::RaftLeaderIdExt;
use openraft::{EntryPayload, Membership};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vedfolnir_state::{Format, KeyHash, Payload, Record, TokenHash};
use vedfolnir_storage::SnapshotId;

use crate::identity::IdentityRecord;
use crate::question::{Answer, Question};
use crate::snapshot_transfer::{SnapshotAnswer, SnapshotOffer};
use crate::type_config::{EntryBytes, LogId, SnapshotMeta, StoredMembership, TypeConfig, Vote};
use crate::wire::{
    self, Contact, EnrolReply, EnrolRequest, FormationPlan, JoinReply, JoinRequest, MembershipReply, MembershipRequest,
    PeerStatus, PromiseReply, ReadIndexReply, SignRequest, SystemReply,
};

type Entry = openraft::alias::EntryOf<TypeConfig>;

/// Where the fixtures of a format are: tests run in their package's directory.
pub(crate) fn directory(format: u8) -> PathBuf {
    PathBuf::from(format!("fixtures/format-{format}"))
}

/// Reads a file of one line for each name: the name, a space, hexadecimal digits.
pub(crate) fn read(format: u8, file: &str) -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(directory(format).join(file)).unwrap();
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    text.lines()
        .map(|line| {
            let (name, hex) = line.split_once(' ').expect("a name and digits");
            (name.to_owned(), (0..hex.len()).step_by(2).map(|at| byte(hex, at)).collect())
        })
        .collect()
}

/// Writes such a file.
pub(crate) fn write(format: u8, file: &str, bodies: &[(&str, Bytes)]) {
    let mut text = String::new();
    for (name, bytes) in bodies {
        let _ = writeln!(text, "{name} {}", crate::hex(bytes));
    }
    std::fs::create_dir_all(directory(format)).unwrap();
    std::fs::write(directory(format).join(file), text).unwrap();
}

/// A body as it is written now, and what becomes of a recorded one that is read and written again.
struct Case {
    name: &'static str,
    bytes: Bytes,
    again: fn(&[u8]) -> Bytes,
}

fn case<T: Serialize + DeserializeOwned>(name: &'static str, value: &T) -> Case {
    let again = |bytes: &[u8]| wire::encode("body", &wire::decode::<T>("body", bytes).unwrap()).unwrap();
    Case { name, bytes: wire::encode("body", value).unwrap(), again }
}

fn log_id(index: u64) -> LogId {
    LogId::new(openraft::alias::LeaderIdOf::<TypeConfig>::new_committed(3, 10), index)
}

fn membership() -> Membership<u64, BasicNode> {
    let nodes = [(10, "a:5001"), (11, "b:5001"), (12, "c:5001")];
    let nodes: BTreeMap<u64, BasicNode> =
        nodes.into_iter().map(|(id, addr)| (id, BasicNode { addr: addr.to_owned() })).collect();
    Membership::new(vec![BTreeSet::from([10, 11]), BTreeSet::from([10, 12])], nodes).unwrap()
}

fn meta() -> SnapshotMeta {
    SnapshotMeta { last_log_id: Some(log_id(7)), last_membership: StoredMembership::new(Some(log_id(2)), membership()) }
}

fn raft_cases() -> Vec<Case> {
    let vote = Vote::new_committed(3, 10);
    let entries = vec![
        Entry::new_blank(log_id(5)),
        Entry::new_normal(log_id(6), EntryBytes(Bytes::from_static(b"\x01\x92\x00"))),
        Entry::new_membership(log_id(7), membership()),
    ];
    let [blank, normal, change] = [&entries[0], &entries[1], &entries[2]];
    let append = AppendEntriesRequest::<TypeConfig> {
        vote,
        prev_log_id: Some(log_id(4)),
        entries: entries.clone(),
        leader_commit: Some(log_id(4)),
    };
    let ask =
        VoteRequest::<TypeConfig> { vote: Vote::new(4, 11), last_log_id: Some(log_id(7)), leadership_transfer: true };
    let answer =
        VoteResponse::<TypeConfig> { vote: Vote::new(4, 11), vote_granted: true, last_log_id: Some(log_id(7)) };
    let refused: StreamAppendResult<TypeConfig> = Err(StreamAppendError::HigherVote(Vote::new(9, 12)));
    let conflict: StreamAppendResult<TypeConfig> = Err(StreamAppendError::Conflict(log_id(4)));
    let taken: StreamAppendResult<TypeConfig> = Ok(Some(log_id(7)));
    vec![
        case("entry_blank", blank),
        case("entry_normal", normal),
        case("entry_membership", change),
        case("vote", &vote),
        case("log_id", &log_id(7)),
        case("snapshot_meta", &meta()),
        case("append", &append),
        case("append_success", &AppendEntriesResponse::<TypeConfig>::Success),
        case("append_conflict", &AppendEntriesResponse::<TypeConfig>::Conflict),
        case("append_result", &taken),
        case("append_result_conflict", &conflict),
        case("append_result_higher_vote", &refused),
        case("vote_request", &ask),
        case("vote_answer", &answer),
        case("transfer_leader", &TransferLeaderRequest::<TypeConfig>::new(vote, 11, Some(log_id(7)))),
        case("snapshot_header", &(vote, meta())),
        case("snapshot_answer", &SnapshotResponse::<TypeConfig>::new(vote)),
    ]
}

fn cluster_cases() -> Vec<Case> {
    let plan = FormationPlan {
        cluster_id: [9; 16],
        coordinator: 10,
        members: BTreeMap::from([(10, "a:5001".to_owned()), (11, "b:5001".to_owned())]),
    };
    let status = PeerStatus {
        node_id: 10,
        cluster_addr: "a:5001".to_owned(),
        member_of: Some([9; 16]),
        promised: Some(plan.clone()),
        leader: Some((11, "b:5001".to_owned())),
    };
    let join = JoinRequest { node_id: 12, cluster_addr: "c:5001".to_owned(), generation: 3, process: u64::MAX };
    let (token, key) = (TokenHash([1; 32]), KeyHash([2; 32]));
    let contact = Contact { node: 10, matched_index: Some(70_000), last_contact_ms: Some(12) };
    let enrol = EnrolRequest { node_id: 12, secret: [4; 32], request: vec![0x30, 0x82, 0xff] };
    let certificate = EnrolReply::Certificate {
        certificate: serde_bytes::ByteBuf::from([0x30, 0x82]),
        authorities: vec![serde_bytes::ByteBuf::from([0x30, 0x83])],
    };
    let record = Record {
        namespace: "/".into(),
        rooms: vec!["room".into()],
        except: vec!["sid".into()],
        payload: Payload { text: Bytes::from_static(b"[\"v\"]"), attachments: vec![Bytes::from_static(&[0, 0xff])] },
    };
    let identity = IdentityRecord {
        version: 1,
        node_id: 10,
        generation: 4,
        cluster_id: Some([9; 16]),
        plan: Some(plan.clone()),
        removed: false,
    };
    vec![
        case("identity", &identity),
        case("formation_plan", &plan),
        case("peer_status", &status),
        case("promised", &PromiseReply::Promised),
        case("promise_bound", &PromiseReply::BoundTo(plan)),
        case("promise_member", &PromiseReply::MemberOf([9; 16])),
        case("join", &join),
        case("join_welcome", &JoinReply::Welcome([9; 16])),
        case("join_ask_leader", &JoinReply::AskLeader("b:5001".to_owned())),
        case("join_no_leader", &JoinReply::NoLeader),
        case("join_refused", &JoinReply::Refused("no".to_owned())),
        case("membership_add_token", &MembershipRequest::AddToken { token, ttl_ms: 3_600_000 }),
        case("membership_use_token", &MembershipRequest::UseToken { token, node: 12, key }),
        case("membership_remove", &MembershipRequest::Remove { node: 12, force: true, check_only: false }),
        case("membership_transfer", &MembershipRequest::Transfer { to: Some(11) }),
        case("membership_contacts", &MembershipRequest::Contacts),
        case("membership_done", &MembershipReply::Done),
        case("membership_refused", &MembershipReply::Refused("no".to_owned())),
        case("membership_not_leader", &MembershipReply::NotLeader),
        case("membership_led_by", &MembershipReply::LedBy(11)),
        case("membership_contacts_answer", &MembershipReply::Contacts(vec![contact])),
        case("enrol", &enrol),
        case("sign", &SignRequest { node_id: 12, token, request: vec![0x30, 0x82, 0xff] }),
        case("enrol_certificate", &certificate),
        case("enrol_refused", &EnrolReply::Refused("no".to_owned())),
        case("enrol_not_now", &EnrolReply::NotNow("later".to_owned())),
        case("system_committed", &SystemReply::Committed),
        case("system_not_leader", &SystemReply::NotLeader),
        case("read_index", &ReadIndexReply::Index(70_000)),
        case("read_index_not_confirmed", &ReadIndexReply::NotConfirmed),
        case("volatile", &record),
    ]
}

/// What format 2 adds.
fn added_by_format_2() -> Vec<Case> {
    let id = SnapshotId { position: 7, bytes: 70_000, check: 0xdead_beef };
    let installed = SnapshotResponse::<TypeConfig>::new(Vote::new_committed(3, 10));
    let identity = IdentityRecord {
        version: 2,
        node_id: 10,
        generation: 5,
        cluster_id: Some([9; 16]),
        plan: None,
        removed: false,
    };
    vec![
        case("identity_2", &identity),
        case("snapshot_offer", &SnapshotOffer { vote: Vote::new_committed(3, 10), meta: meta(), id }),
        case("snapshot_from", &SnapshotAnswer::From(1 << 20)),
        case("snapshot_installed", &SnapshotAnswer::Installed(installed)),
        case("snapshot_refused", &SnapshotAnswer::Refused("no".to_owned())),
        case("system_refused", &SystemReply::Refused("no".to_owned())),
        case("server_id", &"web-1".to_owned()),
        case("server_id_refused", &Some("no".to_owned())),
        case("server_id_free", &None::<String>),
        case("clock", &1_795_681_020_000_i64),
    ]
}

/// What nodes of format 4 ask each other; one that does not know it is a node that does not answer.
fn added_by_format_4() -> Vec<Case> {
    let event = Payload { text: Bytes::from_static(b"[\"e\",1]"), attachments: vec![Bytes::from_static(&[0, 0xff])] };
    let record =
        Record { namespace: "/".into(), rooms: vec!["room".into()], except: Vec::new(), payload: event.clone() };
    let acks = vec![("sid".into(), Payload { text: Bytes::from_static(b"[2]"), attachments: Vec::new() })];
    vec![
        case("question_clients", &Question::Clients { record, within_ms: 10_000 }),
        case("question_application", &Question::Application { event: event.clone(), within_ms: Some(10_000) }),
        case("question_application_told", &Question::Application { event: event.clone(), within_ms: None }),
        case("answer_clients", &Answer::Clients { acks, silent: vec!["gone".into()] }),
        case("answer_application", &Answer::Application(Some(event))),
        case("answer_application_none", &Answer::Application(None)),
        case("answer_refused", &Answer::Refused("no".to_owned())),
    ]
}

fn cases(format: u8) -> Vec<Case> {
    let added_2 = if format >= 2 { added_by_format_2() } else { Vec::new() };
    let added_4 = if format >= 4 { added_by_format_4() } else { Vec::new() };
    raft_cases().into_iter().chain(cluster_cases()).chain(added_2).chain(added_4).collect()
}

#[test]
fn recorded_bodies_stay_readable_and_are_written_the_same() {
    for format in [1, 2, 3, 4] {
        let recorded = read(format, "bodies.txt");
        let cases = cases(format);
        assert_eq!(recorded.len(), cases.len());
        for Case { name, bytes, again } in cases {
            let (now, then) = (crate::hex(&bytes), crate::hex(&recorded[name]));
            assert_eq!(now, then, "{name}: a node of format {format} must be able to read it");
            assert_eq!(again(&recorded[name]), recorded[name], "{name} of format {format}");
        }
        let normal: Entry = wire::decode("entry", &recorded["entry_normal"]).unwrap();
        assert!(matches!(normal.payload, EntryPayload::Normal(EntryBytes(bytes)) if bytes == b"\x01\x92\x00"[..]));
    }
}

#[test]
#[ignore = "records anew what must stay as it was recorded"]
fn record_fixtures() {
    let format = Format::NEWEST.number();
    let bodies: Vec<(&str, Bytes)> = cases(format).into_iter().map(|Case { name, bytes, .. }| (name, bytes)).collect();
    write(format, "bodies.txt", &bodies);
}
