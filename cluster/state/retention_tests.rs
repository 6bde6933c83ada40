//! What is retained and what is forgotten: stays, names, pruned records, and that nothing of it grows without bound or
//! costs a client its session.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Command, Configuration, Format, Incarnation, LogPosition, NodeInfo, Origin, Outcome, Payload, PidHash, Proposal,
    Publish, Record, Refusal, Register, Response, Resume, State, decode_proposal, encode_proposal, limits,
};

const LIFE: Incarnation = Incarnation { node: 1, generation: 1 };
const LONG_MS: u64 = 180_000;

/// A state with one live node.
struct World {
    state: State,
    index: u64,
    sequence: u64,
}

impl World {
    fn new(history_bytes_max: u64, history_age_ms_max: u64) -> Self {
        let mut world = Self { state: State::default(), index: 0, sequence: 1 };
        world.system(Command::Configure(Configuration {
            history_id: 7,
            recovery_window_ms: 120_000,
            history_age_ms_max,
            history_bytes_max,
            sid_key: crate::SidKey::default(),
        }));
        world.system(Command::NodeUp { incarnation: LIFE, info: NodeInfo::default() });
        world
    }

    fn apply(&mut self, origin: Origin, command: Command) -> Response {
        self.index += 1;
        let bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![command] });
        match self.state.apply(self.index, &bytes).outcome {
            Outcome::Executed { mut responses, .. } => responses.remove(0),
            outcome => panic!("{outcome:?}"),
        }
    }

    fn system(&mut self, command: Command) -> Response {
        self.apply(Origin::System, command)
    }

    fn node(&mut self, command: Command) -> Response {
        let origin = Origin::Node { incarnation: LIFE, first_sequence: self.sequence };
        self.sequence += 1;
        self.apply(origin, command)
    }

    /// The session `S{number}`.
    fn register(&mut self, number: u8) -> PidHash {
        let pid = PidHash([number; 16]);
        let response = self.node(Command::Register(Register {
            pid,
            sid: format!("S{number}").into(),
            namespace: "/".into(),
            user: None,
            data: Bytes::new(),
        }));
        assert!(matches!(response, Response::Registered { .. }), "{response:?}");
        pid
    }

    fn join(&mut self, pid: PidHash, room: &str) -> Response {
        self.node(Command::Join { pid, epoch: 1, room: room.into() })
    }

    fn leave(&mut self, pid: PidHash, room: &str) -> Response {
        self.node(Command::Leave { pid, epoch: 1, room: room.into() })
    }

    fn publish(&mut self, rooms: &[&str], except: &[&str], text_bytes: usize) -> Response {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        self.node(Command::Publish(Publish {
            from: None,
            record: Arc::new(Record {
                namespace: "/".into(),
                rooms: names(rooms),
                except: names(except),
                payload: Payload { text: Bytes::from(vec![b'x'; text_bytes]), attachments: vec![] },
            }),
            trace: None,
        }))
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.state.encode_snapshot(&mut bytes).unwrap();
        bytes
    }
}

#[test]
fn joining_and_leaving_in_a_quiet_cluster_never_comes_to_an_end() {
    let mut world = World::new(1 << 20, LONG_MS);
    let pid = world.register(1);
    // Somebody stays, so that coming and going is no event.
    let other = world.register(2);
    world.join(other, "r");
    let before = world.snapshot().len();
    for round in 0..5_000 {
        assert_eq!(world.join(pid, "r"), Response::Done, "join {round}");
        assert_eq!(world.leave(pid, "r"), Response::Done, "leave {round}");
    }
    assert!(world.snapshot().len() < before + 200, "stays that nothing was said in are kept");
}

#[test]
fn a_long_life_sees_more_rooms_than_a_session_may_name_at_once() {
    let mut world = World::new(1 << 20, 1_000);
    let pid = world.register(1);
    world.publish(&["elsewhere"], &[], 10);
    for round in 0..2 * limits::STAYS_PER_SESSION_MAX {
        if round % 10 == 0 {
            world.system(Command::Tick { elapsed_ms: 10_000 });
        }
        let room = format!("r{round}");
        assert_eq!(world.join(pid, &room), Response::Done, "join {round}");
        assert_eq!(world.leave(pid, &room), Response::Done, "leave {round}");
    }
}

#[test]
fn stays_that_the_history_still_needs_are_bounded_and_the_bound_is_said() {
    let mut world = World::new(1 << 20, LONG_MS);
    let pid = world.register(1);
    world.publish(&["S1"], &[], 10);
    // Two rooms it is in from the start.
    for round in 0..limits::STAYS_PER_SESSION_MAX - 2 {
        assert_eq!(world.join(pid, "r"), Response::Done, "join {round}");
        assert_eq!(world.leave(pid, "r"), Response::Done, "leave {round}");
    }
    assert_eq!(world.join(pid, "r"), Response::Refused(Refusal::LimitExceeded));
}

#[test]
fn a_client_that_only_sends_missed_nothing() {
    let mut world = World::new(2_000, LONG_MS);
    let pid = world.register(1);
    world.register(2);
    world.join(pid, "r");
    for _ in 0..20 {
        world.publish(&["r"], &["S1"], 100);
    }
    world.node(Command::Disconnect { pid, epoch: 1 });
    let resume = Resume { pid, namespace: "/".into(), user: None, expected_epoch: Some(1), offset: None };
    let response = world.node(Command::Resume(resume));
    assert!(matches!(response, Response::Resumed { .. }), "{response:?}");
}

#[test]
fn the_memory_of_names_counts_as_history() {
    let mut world = World::new(1 << 20, LONG_MS);
    world.register(1);
    let names: Vec<String> = (0..1024).map(|n| format!("{n:0>256}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..100 {
        world.publish(&names, &[], 1);
    }
    let bytes = world.snapshot().len();
    assert!(bytes < 4 << 20, "1 MiB of history takes {bytes} bytes, counted {:?}", world.state.history_size());
}

#[test]
fn a_sliding_history_is_the_same_through_clones_and_snapshots() {
    let mut world = World::new(300 * 3_000, LONG_MS);
    let pid = world.register(1);
    let mut clones = Vec::new();
    for round in 0..30_000_usize {
        world.publish(if round % 3 == 0 { &["S1"] } else { &[] }, &[], 10);
        if round % 997 == 0 {
            clones.push(world.state.clone());
        }
        if round % 7_001 == 0 {
            let back = State::decode_snapshot(world.snapshot().as_slice()).unwrap();
            assert!(back == world.state);
            assert_eq!(back.state_hash(), world.state.state_hash());
            world.state = back;
        }
    }
    let (retained, _) = world.state.history_size();
    let mut after = LogPosition::end_of(world.index - retained as u64);
    let mut replayed = 0;
    loop {
        let step = world.state.replay(&pid, after, 5_000).unwrap();
        assert!(!step.hole);
        for (position, _) in &step.records {
            assert!(*position > after);
            after = *position;
            replayed += 1;
        }
        after = step.reached;
        if step.complete {
            break;
        }
    }
    assert_eq!(replayed, retained);
}

#[test]
fn a_history_that_has_become_too_old_is_dropped_step_by_step() {
    let mut world = World::new(1 << 30, 1_000);
    world.register(1);
    let count = limits::PRUNED_PER_TICK_MAX + 100;
    for _ in 0..count {
        world.publish(&["S1"], &[], 1);
    }
    assert_eq!(world.state.history_size().0, count);
    world.system(Command::Tick { elapsed_ms: 2_000 });
    assert_eq!(world.state.history_size().0, 100, "one tick has dropped more, or less, than its share");
    world.publish(&["S1"], &[], 1);
    assert_eq!(world.state.history_size().0, 101 - limits::PRUNED_PER_PUBLISH_MAX);
    world.system(Command::Tick { elapsed_ms: 1 });
    assert_eq!(world.state.history_size().0, 1);
}

#[test]
fn a_refused_command_changes_no_session() {
    let mut world = World::new(300, LONG_MS);
    let pid = world.register(1);
    world.join(pid, "r");
    world.publish(&["r"], &[], 10);
    world.leave(pid, "r");
    world.publish(&["S1"], &[], 10);
    world.publish(&["S1"], &[], 10);
    let before = world.state.clone();
    world.node(Command::Leave { pid, epoch: 9, room: "zz".into() });
    world.node(Command::Join { pid, epoch: 99, room: "zz".into() });
    assert!(before.sessions == world.state.sessions);
}

#[test]
fn a_node_may_not_tell_more_of_itself_than_fits() {
    let mut world = World::new(1 << 20, LONG_MS);
    let info = NodeInfo { url: "u".repeat(limits::NODE_FIELD_BYTES_MAX + 1), ..NodeInfo::default() };
    let incarnation = Incarnation { node: 2, generation: 1 };
    let up = |info| Command::NodeUp { incarnation, info };
    assert_eq!(world.system(up(info)), Response::Refused(Refusal::LimitExceeded));
    let info = NodeInfo { url: "u".repeat(limits::NODE_FIELD_BYTES_MAX), ..NodeInfo::default() };
    assert_eq!(world.system(up(info)), Response::Done);
}

#[test]
fn bytes_behind_a_proposal_make_it_malformed() {
    let mut bytes = encode_proposal(Format::NEWEST, &Proposal { origin: Origin::System, commands: vec![] }).to_vec();
    assert!(decode_proposal(&bytes).is_ok());
    bytes.push(0);
    assert!(decode_proposal(&bytes).is_err());
}
