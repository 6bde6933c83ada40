//! Publishes under idempotency keys: made once, remembered with the state, refused where not everybody knows of them.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Applied, Command, Configuration, ContentHash, Contents, Format, Incarnation, LogPosition, NodeInfo, Offset,
    OnceKey, Origin, Outcome, Payload, PidHash, Proposal, Publish, PublishOnce, Record, Refusal, Register, Response,
    Restoration, SidKey, State, encode_proposal, limits,
};

const A: Incarnation = Incarnation { node: 1, generation: 1 };
const B: Incarnation = Incarnation { node: 2, generation: 1 };
const HISTORY: u64 = 5;

struct World {
    state: State,
    sequences: [u64; 2],
}

impl World {
    fn new(format: Format) -> Self {
        let mut world = Self { state: State::default(), sequences: [0; 2] };
        world.system(Command::Configure(Configuration {
            history_id: HISTORY,
            recovery_window_ms: 1_000,
            history_age_ms_max: 60_000,
            history_bytes_max: 1 << 20,
            sid_key: SidKey([1; 32]),
        }));
        for incarnation in [A, B] {
            world.system(Command::NodeUp { incarnation, info: NodeInfo::default() });
        }
        if format > Format::FIRST {
            world.system(Command::RaiseFormat { format });
        }
        world
    }

    fn apply(&mut self, origin: Origin, command: Command) -> Applied {
        let bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![command] });
        self.state.apply(self.state.applied().index + 1, &bytes)
    }

    fn system(&mut self, command: Command) {
        let applied = self.apply(Origin::System, command);
        assert!(matches!(applied.outcome, Outcome::Executed { .. }), "{applied:?}");
    }

    /// What the node was told, and how many broadcasts came of it.
    fn ask(&mut self, incarnation: Incarnation, command: Command) -> (Response, usize) {
        let sequence = &mut self.sequences[usize::from(incarnation == B)];
        *sequence += 1;
        let origin = Origin::Node { incarnation, first_sequence: *sequence };
        let applied = self.apply(origin, command);
        let Outcome::Executed { responses, .. } = applied.outcome else { panic!("{applied:?}") };
        let delivered = applied.effects.iter().filter(|at| matches!(at.effect, crate::Effect::Deliver { .. })).count();
        (responses.into_iter().next().expect("one response"), delivered)
    }
}

fn publish(from: Option<(PidHash, u64)>, text: &'static [u8]) -> Publish {
    let payload = Payload { text: Bytes::from_static(text), attachments: Vec::new() };
    let record = Record { namespace: "/".into(), rooms: Vec::new(), except: Vec::new(), payload };
    Publish { from, record: Arc::new(record), trace: None }
}

fn once(key: u8, content: u8) -> Command {
    Command::PublishOnce(PublishOnce {
        publish: publish(None, b"[\"m\"]"),
        key: OnceKey([key; 16]),
        content: ContentHash([content; 16]),
    })
}

fn through_a_snapshot(state: &State) -> State {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    State::decode_snapshot(bytes.as_slice()).unwrap()
}

#[test]
fn it_is_published_once_whoever_asks_and_the_answer_is_the_first_one() {
    let mut world = World::new(Format::NEWEST);
    let (first, delivered) = world.ask(A, once(1, 1));
    let Response::Published { position } = first else { panic!("{first:?}") };
    assert_eq!(delivered, 1);
    let offset = Offset { history_id: HISTORY, position };
    for state in [world.state.clone(), through_a_snapshot(&world.state)] {
        assert_eq!(state, world.state);
        let mut world = World { state, sequences: world.sequences };
        for incarnation in [B, A] {
            assert_eq!(world.ask(incarnation, once(1, 1)), (Response::Repeated { offset }, 0));
            assert_eq!(world.ask(incarnation, once(1, 2)), (Response::Refused(Refusal::KeyReused), 0));
        }
        assert_eq!(world.ask(B, once(2, 1)).1, 1, "another key is another publish");
        assert_eq!(world.state.once_stats().kept, 2);
    }
}

#[test]
fn what_was_refused_is_not_remembered() {
    let mut world = World::new(Format::NEWEST);
    let pid = PidHash([7; 16]);
    let of_a_client = |epoch| {
        let publish = publish(Some((pid, epoch)), b"[\"m\"]");
        Command::PublishOnce(PublishOnce { publish, key: OnceKey([1; 16]), content: ContentHash([1; 16]) })
    };
    assert_eq!(world.ask(A, of_a_client(1)).0, Response::Refused(Refusal::UnknownSession));
    let register = Register { pid, sid: "S".into(), namespace: "/".into(), user: None, data: Bytes::new() };
    world.ask(A, Command::Register(register));
    assert_eq!(world.ask(A, of_a_client(2)).0, Response::Refused(Refusal::StaleEpoch));
    assert_eq!(world.state.once_stats().kept, 0);
    assert!(matches!(world.ask(A, of_a_client(1)), (Response::Published { .. }, 1)));
    // The session is another node's by now: the answer stands.
    assert!(matches!(world.ask(B, of_a_client(1)), (Response::Repeated { .. }, 0)));
}

#[test]
fn a_key_is_remembered_for_a_day_of_cluster_time() {
    let mut world = World::new(Format::NEWEST);
    world.ask(A, once(1, 1));
    let ticks = limits::ONCE_AGE_MS_MAX / u64::from(limits::TICK_MS_MAX);
    for _ in 0..ticks {
        world.system(Command::Tick { elapsed_ms: limits::TICK_MS_MAX });
    }
    assert!(matches!(world.ask(B, once(1, 1)), (Response::Repeated { .. }, 0)), "to the millisecond");
    world.system(Command::Tick { elapsed_ms: 1 });
    assert_eq!(world.state.once(&OnceKey([1; 16])), None);
    assert!(matches!(world.ask(B, once(1, 2)), (Response::Published { .. }, 1)));
    assert_eq!(world.state.once_stats().dropped_total, 0);
}

#[test]
fn below_its_format_nothing_is_published_under_a_key_and_nothing_is_written_of_it() {
    // An older replica has never heard of the command: it finds no proposal at all.
    let proposal = Proposal { origin: Origin::System, commands: vec![once(1, 1)] };
    let mut state = State::default();
    assert_eq!(state.apply(1, &encode_proposal(Format::TRACED, &proposal)).outcome, Outcome::Malformed);
    // Nor does one that says it is newer than the cluster is do anything that an older one could not keep.
    for format in [Format::FIRST, Format::RAISED, Format::TRACED] {
        let mut world = World::new(format);
        assert_eq!(world.ask(A, once(1, 1)), (Response::Refused(Refusal::NotAllowed), 0));
        assert_eq!(world.state.once_stats().kept, 0);
        assert_eq!(through_a_snapshot(&world.state), world.state);
        assert_eq!(world.state.history_size().0, 0);
    }
}

#[test]
fn a_restored_cluster_answers_what_the_lost_one_did() {
    let mut old = World::new(Format::NEWEST);
    let Response::Published { position } = old.ask(A, once(1, 1)).0 else { panic!("published") };
    let offset = Offset { history_id: HISTORY, position };
    let mut state = old.state.with(Contents { sessions: false, ..Contents::default() });
    for restores in 1..=2 {
        state = state.restored(&Restoration { history_id: HISTORY + restores, sid_key: SidKey([2; 32]) });
        assert_eq!(state.once(&OnceKey([1; 16])).map(|known| known.offset), Some(offset));
    }
    let mut world = World { state, sequences: [0; 2] };
    world.system(Command::NodeUp { incarnation: B, info: NodeInfo::default() });
    assert_eq!(world.ask(B, once(1, 1)), (Response::Repeated { offset }, 0));
    let Response::Published { position } = world.ask(B, once(2, 1)).0 else { panic!("published") };
    let fresh = Offset { history_id: HISTORY + 2, position };
    assert_eq!(world.ask(B, once(2, 1)).0, Response::Repeated { offset: fresh });
    assert!(position > LogPosition::end_of(offset.position.index));
}
