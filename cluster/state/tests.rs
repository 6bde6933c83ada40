//! The state against golden scenarios, against itself through a snapshot, and against a brute-force model.

#[path = "event_tests.rs"]
mod event;
#[path = "fixture_tests.rs"]
mod fixture;
#[path = "kv_tests.rs"]
mod kv;
#[path = "manage_tests.rs"]
mod manage;
#[path = "model_tests.rs"]
mod model;
#[path = "once_tests.rs"]
mod once;
#[path = "restored_tests.rs"]
mod restored;
#[path = "retention_tests.rs"]
mod retention;
#[path = "scenario_tests.rs"]
mod scenario;
#[path = "snapshot_tests.rs"]
mod snapshot;

use crate::{
    Command, Format, Incarnation, Origin, Outcome, PidHash, Proposal, Register, Response, State, encode_proposal,
};

fn raise(written_in: Format) -> bytes::Bytes {
    let command = Command::RaiseFormat { format: Format::NEWEST };
    encode_proposal(written_in, &Proposal { origin: Origin::System, commands: vec![command] })
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused_by_name() {
    let mut state = State::default();
    state.apply(1, &raise(Format::NEWEST));
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    assert_eq!(State::decode_snapshot(bytes.as_slice()).unwrap(), state);
    bytes[0] += 1;
    let refused = State::decode_snapshot(bytes.as_slice()).unwrap_err();
    assert_eq!(refused.to_string(), "format 5, this binary reads formats 1 to 4");
    // Nor does one say that it is older than it is.
    bytes[0] = 1;
    let refused = State::decode_snapshot(bytes.as_slice()).unwrap_err();
    assert!(refused.to_string().contains("a state of format 4 written in format 1"), "{refused}");
}

#[test]
fn the_format_rises_and_never_goes_back() {
    let mut state = State::default();
    assert_eq!(state.format(), Format::FIRST);
    // Whoever does not know the command finds the same: an entry that is none.
    assert_eq!(state.apply(1, &raise(Format::FIRST)).outcome, Outcome::Malformed);
    assert_eq!(state.format(), Format::FIRST);
    state.apply(2, &raise(Format::NEWEST));
    assert_eq!(state.format(), Format::NEWEST);
    let lower = Command::RaiseFormat { format: Format::FIRST };
    state.apply(3, &encode_proposal(Format::NEWEST, &Proposal { origin: Origin::System, commands: vec![lower] }));
    assert_eq!(state.format(), Format::NEWEST);
    let mut newer = raise(Format::NEWEST).to_vec();
    newer[0] += 1;
    assert_eq!(state.apply(4, &newer).outcome, Outcome::UnknownVersion { version: 5 });
}

#[test]
fn a_trace_is_told_and_not_kept_and_older_formats_have_no_room_for_it() {
    let record = std::sync::Arc::new(crate::Record {
        namespace: "/".into(),
        rooms: vec!["room".into()],
        except: Vec::new(),
        payload: crate::Payload { text: bytes::Bytes::from_static(b"[\"m\"]"), attachments: Vec::new() },
    });
    let trace = Some(crate::TraceContext { trace_id: [1; 16], span_id: [2; 8] });
    let publish = |trace| Command::Publish(crate::Publish { from: None, record: record.clone(), trace });
    let proposal = |trace| Proposal { origin: Origin::System, commands: vec![publish(trace)] };
    let mut state = State::default();
    assert_eq!(state.apply(1, &encode_proposal(Format::RAISED, &proposal(trace))).outcome, Outcome::Malformed);
    let incarnation = Incarnation { node: 1, generation: 1 };
    let up = Command::NodeUp { incarnation, info: crate::NodeInfo::default() };
    state.apply(2, &encode_proposal(Format::FIRST, &Proposal { origin: Origin::System, commands: vec![up] }));
    let origin = Origin::Node { incarnation, first_sequence: 1 };
    let commands = vec![publish(trace), publish(None)];
    let bytes = encode_proposal(Format::TRACED, &Proposal { origin, commands });
    assert_eq!(crate::origin_of(&bytes), Some(origin));
    let told: Vec<_> = state
        .apply(3, &bytes)
        .effects
        .into_iter()
        .map(|at| match at.effect {
            crate::Effect::Deliver { trace, .. } => trace,
            effect => panic!("{effect:?}"),
        })
        .collect();
    assert_eq!(told, [trace, None]);
    let mut snapshot = Vec::new();
    state.encode_snapshot(&mut snapshot).unwrap();
    assert_eq!(State::decode_snapshot(snapshot.as_slice()).unwrap(), state);
}

#[test]
fn when_a_session_was_last_active_is_noted_once_every_member_can_read_it() {
    let incarnation = Incarnation { node: 1, generation: 1 };
    let pid = crate::PidHash([7; 16]);
    let record = std::sync::Arc::new(crate::Record {
        namespace: "/".into(),
        rooms: vec!["room".into()],
        except: Vec::new(),
        payload: crate::Payload { text: bytes::Bytes::from_static(b"[\"m\"]"), attachments: Vec::new() },
    });
    let register = Command::Register(crate::Register {
        pid,
        sid: "sid".into(),
        namespace: "/".into(),
        user: None,
        data: bytes::Bytes::new(),
    });
    let publish = Command::Publish(crate::Publish { from: Some((pid, 1)), record, trace: None });
    let node = |first_sequence, command| Proposal {
        origin: Origin::Node { incarnation, first_sequence },
        commands: vec![command],
    };
    let system = |command| Proposal { origin: Origin::System, commands: vec![command] };
    let mut state = State::default();
    let mut apply = |proposal: Proposal, format| {
        let index = state.applied_index + 1;
        let outcome = state.apply(index, &encode_proposal(format, &proposal)).outcome;
        assert!(matches!(outcome, crate::Outcome::Executed { .. }), "{outcome:?}");
        state.session(&pid).map(|session| session.last_active_ms)
    };
    apply(system(Command::NodeUp { incarnation, info: crate::NodeInfo::default() }), Format::FIRST);
    apply(system(Command::Tick { elapsed_ms: 40 }), Format::FIRST);
    apply(node(1, register), Format::FIRST);
    assert_eq!(apply(node(2, publish.clone()), Format::FIRST), Some(0));
    apply(system(Command::RaiseFormat { format: Format::MANAGED }), Format::MANAGED);
    apply(system(Command::Tick { elapsed_ms: 2 }), Format::MANAGED);
    assert_eq!(apply(node(3, publish), Format::MANAGED), Some(42));
    let mut snapshot = Vec::new();
    state.encode_snapshot(&mut snapshot).unwrap();
    assert_eq!(State::decode_snapshot(snapshot.as_slice()).unwrap(), state);
}

#[test]
fn only_the_leader_raises_the_format() {
    let mut state = State::default();
    let incarnation = Incarnation { node: 1, generation: 1 };
    let up = Command::NodeUp { incarnation, info: crate::NodeInfo::default() };
    state.apply(1, &encode_proposal(Format::FIRST, &Proposal { origin: Origin::System, commands: vec![up] }));
    let origin = Origin::Node { incarnation, first_sequence: 1 };
    let commands = vec![Command::RaiseFormat { format: Format::NEWEST }];
    state.apply(2, &encode_proposal(Format::NEWEST, &Proposal { origin, commands }));
    assert_eq!(state.format(), Format::FIRST);
}

/// Two nodes, and what their new sessions are told.
struct Ranks {
    state: State,
    index: u64,
    sequences: [u64; 2],
}

impl Ranks {
    fn new() -> Self {
        let mut state = State::default();
        for node in [1, 2] {
            let up = Command::NodeUp { incarnation: life(node), info: crate::NodeInfo::default() };
            let proposal = Proposal { origin: Origin::System, commands: vec![up] };
            state.apply(node, &encode_proposal(Format::NEWEST, &proposal));
        }
        Self { state, index: 2, sequences: [0, 0] }
    }

    fn propose(&mut self, node: u64, command: Command) -> Response {
        self.index += 1;
        let sequence = &mut self.sequences[node as usize - 1];
        *sequence += 1;
        let origin = Origin::Node { incarnation: life(node), first_sequence: *sequence };
        let bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![command] });
        match self.state.apply(self.index, &bytes).outcome {
            Outcome::Executed { mut responses, .. } => responses.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn register(&mut self, node: u64, byte: u8, namespace: &str, user: Option<&str>) -> u64 {
        let register = Register {
            pid: PidHash([byte; 16]),
            sid: format!("sid-{byte}").into(),
            namespace: namespace.into(),
            user: user.map(Into::into),
            data: bytes::Bytes::new(),
        };
        match self.propose(node, Command::Register(register)) {
            Response::Registered { user_sessions, .. } => user_sessions,
            other => panic!("{other:?}"),
        }
    }
}

fn life(node: u64) -> Incarnation {
    Incarnation { node, generation: 1 }
}

#[test]
fn a_new_session_is_told_its_rank_among_those_of_its_user() {
    let mut ranks = Ranks::new();
    assert_eq!(ranks.register(1, 1, "/", Some("alice")), 1);
    assert_eq!(ranks.register(2, 2, "/", Some("alice")), 2, "another node's count as well");
    assert_eq!(ranks.register(1, 3, "/", Some("bob")), 1);
    assert_eq!(ranks.register(1, 4, "/", None), 0, "nobody has no rank");
    assert_eq!(ranks.register(2, 5, "/chat", Some("alice")), 1, "namespaces count apart");
    let pid = PidHash([1; 16]);
    assert_eq!(ranks.propose(1, Command::Disconnect { pid, epoch: 1 }), Response::Done);
    assert_eq!(ranks.register(1, 6, "/", Some("alice")), 3, "one that can be resumed counts");
    let pid = PidHash([2; 16]);
    assert_eq!(ranks.propose(2, Command::Close { pid, epoch: 1 }), Response::Done);
    assert_eq!(ranks.register(2, 7, "/", Some("alice")), 3, "one that is gone does not");
    // A replica that came by a snapshot says the same.
    let mut snapshot = Vec::new();
    ranks.state.encode_snapshot(&mut snapshot).unwrap();
    ranks.state = State::decode_snapshot(snapshot.as_slice()).unwrap();
    assert_eq!(ranks.register(1, 8, "/", Some("alice")), 4);
}
