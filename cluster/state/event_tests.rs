//! Events: each logical one exactly once, under one id, on every replica, whatever is repeated, killed or restored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    Command, Configuration, Effect, Event, EventId, EventKind, Format, Incarnation, LogPosition, NodeInfo, Origin,
    Proposal, Register, Resume, SessionRef, State, encode_proposal, limits,
};

const WINDOW_MS: u64 = 1_000;
const NODES: u64 = 3;
const PIDS: u8 = 5;
const ROOMS: u8 = 3;

fn pid(number: u8) -> crate::PidHash {
    crate::PidHash([number; 16])
}

fn sid(number: u8) -> Arc<str> {
    format!("S{number}").into()
}

/// Also the sid of a session: its own room, that others may join.
fn room(number: u8) -> Arc<str> {
    if number == 0 { sid(0) } else { format!("r{number}").into() }
}

#[derive(Clone, Debug)]
enum Order {
    Register(u8),
    Resume(u8),
    Disconnect(u8),
    Close(u8),
    Join(u8, u8),
    Leave(u8, u8),
}

#[derive(Clone, Debug)]
enum Step {
    Up(u64),
    Down(u64),
    Tick(u32),
    /// A node proposes a batch.
    Batch(u64, Vec<Order>),
    /// Leadership changed: batches of a node, from some earlier one on, are proposed again, with a new one behind them.
    Again(u64, usize, Vec<Order>),
    /// A late proposal of a life that is over, or a gap.
    Late(u64, Vec<Order>),
    /// The second replica goes through a snapshot; the third keeps it for its restart.
    Snapshot,
    /// The consumer reads some, and moves to the other replica.
    Consume(usize),
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        3 => (0..PIDS).prop_map(Order::Register),
        2 => (0..PIDS).prop_map(Order::Resume),
        1 => (0..PIDS).prop_map(Order::Disconnect),
        1 => (0..PIDS).prop_map(Order::Close),
        5 => (0..PIDS, 0..ROOMS).prop_map(|(who, to)| Order::Join(who, to)),
        3 => (0..PIDS, 0..ROOMS).prop_map(|(who, to)| Order::Leave(who, to)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let orders = || prop::collection::vec(order(), 1..6);
    prop_oneof![
        3 => (1..=NODES).prop_map(Step::Up),
        1 => (1..=NODES).prop_map(Step::Down),
        2 => (1u32..700).prop_map(Step::Tick),
        9 => (1..=NODES, orders()).prop_map(|(node, orders)| Step::Batch(node, orders)),
        3 => (1..=NODES, 1usize..4, orders()).prop_map(|(node, back, orders)| Step::Again(node, back, orders)),
        1 => (1..=NODES, orders()).prop_map(|(node, orders)| Step::Late(node, orders)),
        1 => Just(Step::Snapshot),
        2 => (1usize..5).prop_map(Step::Consume),
    ]
}

struct Session {
    owner: Incarnation,
    epoch: u64,
    deadline: Option<u64>,
    rooms: BTreeSet<Arc<str>>,
}

/// What happens, said by brute force.
#[derive(Default)]
struct Model {
    now_ms: u64,
    lives: BTreeMap<u64, (u64, bool)>,
    sessions: BTreeMap<u8, Session>,
    said: Vec<String>,
}

impl Model {
    fn live(&self, node: u64) -> Option<Incarnation> {
        let (generation, live) = *self.lives.get(&node)?;
        live.then_some(Incarnation { node, generation })
    }

    fn occupants(&self, room: &Arc<str>) -> usize {
        self.sessions.iter().filter(|(who, session)| session.rooms.contains(room) && sid(**who) != *room).count()
    }

    fn down(&mut self, node: u64) {
        let Some(life) = self.live(node) else { return };
        self.lives.insert(node, (life.generation, false));
        for (who, session) in &mut self.sessions {
            if session.owner == life && session.deadline.is_none() {
                session.deadline = Some(self.now_ms + WINDOW_MS);
                self.said.push(format!("disconnected S{who} {} {life} true", session.epoch));
            }
        }
    }

    fn end(&mut self, who: u8, how: &str) {
        let session = self.sessions.remove(&who).expect("it is there");
        self.said.push(format!("{how} S{who} {}", session.epoch));
        for room in session.rooms {
            if self.occupants(&room) == 0 {
                self.said.push(format!("vacated {room}"));
            }
        }
    }

    fn tick(&mut self, elapsed_ms: u32) {
        self.now_ms += u64::from(elapsed_ms);
        let due = |session: &Session| session.deadline.filter(|deadline| *deadline <= self.now_ms);
        let mut over: Vec<(u64, u8)> =
            self.sessions.iter().filter_map(|(who, session)| Some((due(session)?, *who))).collect();
        over.sort_unstable();
        for (_, who) in over {
            self.end(who, "expired");
        }
    }

    /// The command that a node would propose, and what it brings about.
    fn execute(&mut self, life: Incarnation, order: &Order) -> Command {
        let epoch_of = |who: u8| self.sessions.get(&who).map_or(1, |session| session.epoch);
        let owned = |who: &u8| {
            let session = self.sessions.get(who);
            session.is_some_and(|session| session.owner == life && session.deadline.is_none())
        };
        match order {
            Order::Register(who) => {
                let command = Command::Register(Register {
                    pid: pid(*who),
                    sid: sid(*who),
                    namespace: "/".into(),
                    user: None,
                    data: Bytes::new(),
                });
                self.sessions.entry(*who).or_insert_with(|| Session {
                    owner: life,
                    epoch: 1,
                    deadline: None,
                    rooms: BTreeSet::new(),
                });
                command
            }
            Order::Resume(who) => {
                let expected_epoch = self.sessions.get(who).map(|session| session.epoch);
                if let Some(session) = self.sessions.get_mut(who) {
                    session.epoch += 1;
                    session.owner = life;
                    session.deadline = None;
                }
                Command::Resume(Resume {
                    pid: pid(*who),
                    namespace: "/".into(),
                    user: None,
                    expected_epoch,
                    offset: None,
                })
            }
            Order::Disconnect(who) => {
                let epoch = epoch_of(*who);
                if owned(who) {
                    let deadline = self.now_ms + WINDOW_MS;
                    self.sessions.get_mut(who).expect("owned").deadline = Some(deadline);
                    self.said.push(format!("disconnected S{who} {epoch} {life} false"));
                }
                Command::Disconnect { pid: pid(*who), epoch }
            }
            Order::Close(who) => {
                let epoch = epoch_of(*who);
                if owned(who) {
                    self.end(*who, "closed");
                }
                Command::Close { pid: pid(*who), epoch }
            }
            Order::Join(who, to) => {
                let (epoch, to) = (epoch_of(*who), room(*to));
                if owned(who) && to != sid(*who) {
                    let entered = self.sessions.get_mut(who).expect("owned").rooms.insert(Arc::clone(&to));
                    if entered && self.occupants(&to) == 1 {
                        self.said.push(format!("occupied {to}"));
                    }
                }
                Command::Join { pid: pid(*who), epoch, room: to }
            }
            Order::Leave(who, to) => {
                let (epoch, to) = (epoch_of(*who), room(*to));
                if owned(who) && to != sid(*who) {
                    let left = self.sessions.get_mut(who).expect("owned").rooms.remove(&to);
                    if left && self.occupants(&to) == 0 {
                        self.said.push(format!("vacated {to}"));
                    }
                }
                Command::Leave { pid: pid(*who), epoch, room: to }
            }
        }
    }
}

fn text(event: &Event) -> String {
    let named = |session: &SessionRef| format!("{} {}", session.sid, session.epoch);
    match &event.kind {
        EventKind::Disconnected { session, owner, node_down } => {
            format!("disconnected {} {owner} {node_down}", named(session))
        }
        EventKind::Expired { session } => format!("expired {}", named(session)),
        EventKind::Closed { session } => format!("closed {}", named(session)),
        EventKind::RoomOccupied { room, .. } => format!("occupied {room}"),
        EventKind::RoomVacated { room, .. } => format!("vacated {room}"),
    }
}

fn snapshot(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    bytes
}

/// The log, two replicas that follow it, and a consumer that goes from one to the other.
struct World {
    model: Model,
    log: Vec<Bytes>,
    replicas: [State; 2],
    emitted: [Vec<Arc<Event>>; 2],
    /// Of the second replica, and how much of the log is in it.
    restart_from: (Vec<u8>, usize),
    /// Batches of each node's present life, with their first sequences.
    batches: BTreeMap<u64, Vec<(u64, Vec<Command>)>>,
    consumed: Vec<Arc<Event>>,
    cursor: Option<EventId>,
    reads_from: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            model: Model::default(),
            log: Vec::new(),
            replicas: [State::default(), State::default()],
            emitted: [Vec::new(), Vec::new()],
            restart_from: (snapshot(&State::default()), 0),
            batches: BTreeMap::new(),
            consumed: Vec::new(),
            cursor: None,
            reads_from: 0,
        };
        world.commit(
            Origin::System,
            vec![Command::Configure(Configuration {
                history_id: 5,
                recovery_window_ms: WINDOW_MS,
                history_age_ms_max: 100_000,
                history_bytes_max: 1 << 20,
                sid_key: crate::SidKey::default(),
            })],
        );
        world
    }

    fn commit(&mut self, origin: Origin, commands: Vec<Command>) {
        let bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands });
        self.log.push(bytes.clone());
        for (replica, emitted) in self.replicas.iter_mut().zip(&mut self.emitted) {
            let applied = replica.apply(self.log.len() as u64, &bytes);
            emitted.extend(applied.effects.into_iter().filter_map(|at| match at.effect {
                Effect::Event(event) => Some(event),
                _ => None,
            }));
        }
    }

    fn batch(&mut self, life: Incarnation, orders: &[Order]) -> (u64, Vec<Command>) {
        let commands = orders.iter().map(|order| self.model.execute(life, order)).collect::<Vec<_>>();
        let batches = self.batches.entry(life.node).or_default();
        let first = batches.last().map_or(1, |(first, commands)| first + commands.len() as u64);
        batches.push((first, commands.clone()));
        (first, commands)
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Up(node) => {
                self.model.down(node);
                let generation = self.model.lives.get(&node).map_or(1, |(generation, _)| generation + 1);
                self.model.lives.insert(node, (generation, true));
                self.batches.remove(&node);
                let incarnation = Incarnation { node, generation };
                let up = Command::NodeUp { incarnation, info: NodeInfo::default() };
                // The leader may say it twice.
                self.commit(Origin::System, vec![up.clone(), up]);
            }
            Step::Down(node) => {
                let Some(incarnation) = self.model.live(node) else { return };
                self.model.down(node);
                self.commit(Origin::System, vec![Command::NodeDown { incarnation }]);
                self.commit(Origin::System, vec![Command::NodeDown { incarnation }]);
            }
            Step::Tick(elapsed_ms) => {
                self.model.tick(elapsed_ms);
                self.commit(Origin::System, vec![Command::Tick { elapsed_ms }]);
            }
            Step::Batch(node, orders) => {
                let Some(incarnation) = self.model.live(node) else { return };
                let (first_sequence, commands) = self.batch(incarnation, &orders);
                self.commit(Origin::Node { incarnation, first_sequence }, commands);
            }
            Step::Again(node, back, orders) => {
                let Some(incarnation) = self.model.live(node) else { return };
                let known = self.batches.get(&node).cloned().unwrap_or_default();
                let again = &known[known.len().saturating_sub(back)..];
                for (first_sequence, commands) in again {
                    let first_sequence = *first_sequence;
                    self.commit(Origin::Node { incarnation, first_sequence }, commands.clone());
                }
                // The last of them with new ones behind it in one entry.
                let (first_sequence, mut commands) = match again.last() {
                    Some((first, commands)) => (*first, commands.clone()),
                    None => (1, Vec::new()),
                };
                let (_, new) = self.batch(incarnation, &orders);
                commands.extend(new);
                self.commit(Origin::Node { incarnation, first_sequence }, commands);
            }
            Step::Late(node, orders) => {
                let Some((generation, live)) = self.model.lives.get(&node).copied() else { return };
                // Of an earlier life, or (of the present one) far too early: nothing of it is executed.
                let (generation, first_sequence) =
                    if live { (generation, 10_000) } else { (generation.saturating_sub(1), 1) };
                let incarnation = Incarnation { node, generation };
                let commands = orders.iter().map(|order| match order {
                    Order::Close(who) | Order::Register(who) | Order::Resume(who) | Order::Disconnect(who) => {
                        Command::Close { pid: pid(*who), epoch: 1 }
                    }
                    Order::Join(who, to) | Order::Leave(who, to) => {
                        Command::Leave { pid: pid(*who), epoch: 1, room: room(*to) }
                    }
                });
                let commands = commands.collect();
                self.commit(Origin::Node { incarnation, first_sequence }, commands);
            }
            Step::Snapshot => {
                let bytes = snapshot(&self.replicas[1]);
                self.replicas[1] = State::decode_snapshot(bytes.as_slice()).unwrap();
                self.restart_from = (bytes, self.log.len());
            }
            Step::Consume(events_max) => {
                self.consume(events_max);
                self.reads_from = 1 - self.reads_from;
            }
        }
    }

    fn consume(&mut self, events_max: usize) -> usize {
        let page = self.replicas[self.reads_from].events_after(self.cursor, events_max);
        assert!(!page.hole);
        let count = page.events.len();
        self.cursor = page.events.last().map(|event| event.id).or(self.cursor);
        self.consumed.extend(page.events);
        count
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_event_comes_once_with_one_id_everywhere(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        // Everybody is gone in the end.
        for node in 1..=NODES {
            world.run(Step::Down(node));
        }
        for _ in 0..4 {
            world.run(Step::Tick(600));
        }
        while world.consume(3) > 0 {}
        let said: Vec<String> = world.emitted[0].iter().map(|event| text(event)).collect();
        prop_assert_eq!(&said, &world.model.said, "what happened, in order, and nothing twice");
        prop_assert_eq!(&world.emitted[0], &world.emitted[1], "through snapshots");
        prop_assert_eq!(&world.emitted[0], &world.consumed, "by the cursor, from one replica to the other");
        let ids: Vec<EventId> = world.emitted[0].iter().map(|event| event.id).collect();
        prop_assert!(ids.is_sorted_by(|one, other| one < other), "ids ascend");
        // A replica that restarts from its snapshot says again what it had said since, under the same ids.
        let (bytes, applied) = &world.restart_from;
        let mut restarted = State::decode_snapshot(bytes.as_slice()).unwrap();
        let known: BTreeSet<EventId> = ids.iter().copied().collect();
        for (index, bytes) in world.log.iter().enumerate().skip(*applied) {
            for at in restarted.apply(index as u64 + 1, bytes).effects {
                if let Effect::Event(event) = at.effect {
                    prop_assert!(known.contains(&event.id));
                    prop_assert_eq!(&event, &world.emitted[0][ids.binary_search(&event.id).unwrap()]);
                }
            }
        }
        prop_assert_eq!(restarted.state_hash(), world.replicas[0].state_hash());
        prop_assert_eq!(restarted.events_after(None, usize::MAX), world.replicas[0].events_after(None, usize::MAX));
        // Occupied and vacated take turns in every room.
        for number in 0..ROOMS {
            let name = room(number);
            let (occupied, vacated) = (format!("occupied {name}"), format!("vacated {name}"));
            let turns: Vec<&String> = said.iter().filter(|said| **said == occupied || **said == vacated).collect();
            for (at, turn) in turns.iter().enumerate() {
                prop_assert_eq!(*turn, if at % 2 == 0 { &occupied } else { &vacated });
            }
            prop_assert_eq!(turns.len() % 2, 0, "nobody is left");
        }
    }

    #[test]
    fn an_id_reads_back_from_its_text(history_id: u64, index: u64, ordinal: u32, event: u32) {
        let id = EventId { history_id, position: LogPosition::new(index, ordinal), ordinal: event };
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn only_its_text_reads_as_an_id(text in "[0-9a-f]{15,17}-?[0-9]{1,3}[.+ ][0-9]{1,3}.[0-9]{1,11}") {
        if let Ok(id) = text.parse::<EventId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}

/// One session that joins and leaves a room, over and over: two events each time.
fn occupy_and_vacate(state: &mut State, index: &mut u64, sequence: &mut u64, rounds: usize) {
    let life = Incarnation { node: 1, generation: 1 };
    let mut left = rounds;
    while left > 0 {
        let now = left.min(2_000);
        left -= now;
        let join = Command::Join { pid: pid(1), epoch: 1, room: "r".into() };
        let leave = Command::Leave { pid: pid(1), epoch: 1, room: "r".into() };
        let commands: Vec<Command> = (0..now).flat_map(|_| [join.clone(), leave.clone()]).collect();
        let count = commands.len() as u64;
        *index += 1;
        let origin = Origin::Node { incarnation: life, first_sequence: *sequence };
        state.apply(*index, &encode_proposal(Format::NEWEST, &Proposal { origin, commands }));
        *sequence += count;
    }
}

#[test]
fn kept_events_are_bounded_in_number_and_age_and_who_is_late_is_told() {
    let mut state = State::default();
    let configuration = Configuration {
        history_id: 5,
        recovery_window_ms: WINDOW_MS,
        history_age_ms_max: 2_000,
        history_bytes_max: 1 << 20,
        sid_key: crate::SidKey::default(),
    };
    let incarnation = Incarnation { node: 1, generation: 1 };
    let system =
        |command| encode_proposal(Format::NEWEST, &Proposal { origin: Origin::System, commands: vec![command] });
    state.apply(1, &system(Command::Configure(configuration)));
    state.apply(2, &system(Command::NodeUp { incarnation, info: NodeInfo::default() }));
    let register = Register { pid: pid(1), sid: sid(1), namespace: "/".into(), user: None, data: Bytes::new() };
    let origin = Origin::Node { incarnation, first_sequence: 1 };
    state.apply(3, &encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![Command::Register(register)] }));
    let (mut index, mut sequence) = (3, 2);
    occupy_and_vacate(&mut state, &mut index, &mut sequence, 10);
    let early = state.events_after(None, 1).events[0].id;
    assert!(!state.events_after(Some(early), 1).hole);
    occupy_and_vacate(&mut state, &mut index, &mut sequence, limits::EVENTS_MAX / 2 + 500);
    let stats = state.event_stats();
    assert_eq!(stats.kept, limits::EVENTS_MAX as u64);
    assert_eq!(stats.total, stats.kept + stats.dropped_total);
    let page = state.events_after(Some(early), 10);
    assert!(page.hole && page.events.len() == 10 && page.after > early);
    // Who goes on from there has missed nothing more.
    assert!(!state.events_after(Some(page.after), 10).hole);
    assert_eq!(state.events_after(Some(page.after), 10).events, page.events);
    let foreign = EventId { history_id: 6, ..page.events[9].id };
    assert!(state.events_after(Some(foreign), 1).hole);
    let last = state.events_end().expect("a history");
    assert_eq!(state.events_after(Some(last), 10).events, []);

    let ticks = limits::EVENTS_AGE_MS_MAX / u64::from(limits::TICK_MS_MAX) + 1;
    for _ in 0..ticks {
        index += 1;
        state.apply(index, &system(Command::Tick { elapsed_ms: limits::TICK_MS_MAX }));
    }
    // The last tick came after the hour and dropped its share; the next ones go on.
    assert_eq!(state.event_stats().kept, (limits::EVENTS_MAX - limits::EVENTS_PRUNED_PER_TICK_MAX) as u64);
    for _ in 0..limits::EVENTS_MAX / limits::EVENTS_PRUNED_PER_TICK_MAX {
        index += 1;
        state.apply(index, &system(Command::Tick { elapsed_ms: 1 }));
    }
    let stats = state.event_stats();
    assert_eq!((stats.kept, stats.bytes), (0, 0));
    assert!(state.events_after(Some(early), 1).hole, "also when nothing is kept at all");
    assert!(!state.events_after(Some(last), 1).hole);
}
