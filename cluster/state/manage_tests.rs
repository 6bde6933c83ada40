//! Sessions that are changed from outside, the rooms of users, and pages of sessions and of a room's history.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Change, Command, Configuration, Effect, Event, EventKind, Format, HistoryGone, Incarnation, LogPosition, Manage,
    NodeInfo, Offset, Origin, Outcome, Payload, PidHash, Proposal, Publish, Record, Refusal, Register, Response,
    Restoration, Resume, SessionFilter, SidKey, State, Whom, encode_proposal, limits, user_room,
};

const LIFE: Incarnation = Incarnation { node: 1, generation: 1 };
const HISTORY: u64 = 7;

struct World {
    state: State,
    sequence: u64,
    /// Of the last command.
    effects: Vec<Effect>,
}

fn pid(number: u8) -> PidHash {
    PidHash([number; 16])
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

impl World {
    fn new(format: Format) -> Self {
        let mut world = Self { state: State::default(), sequence: 0, effects: Vec::new() };
        if format > Format::FIRST {
            world.raise(format);
        }
        world.system(Command::Configure(Configuration {
            history_id: HISTORY,
            recovery_window_ms: 1_000,
            history_age_ms_max: 60_000,
            history_bytes_max: 1 << 20,
            sid_key: SidKey::default(),
        }));
        world.system(Command::NodeUp { incarnation: LIFE, info: NodeInfo::default() });
        world
    }

    fn apply(&mut self, format: Format, origin: Origin, command: Command) -> Outcome {
        let index = self.state.applied().index + 1;
        let applied = self.state.apply(index, &encode_proposal(format, &Proposal { origin, commands: vec![command] }));
        self.effects = applied.effects.into_iter().map(|at| at.effect).collect();
        applied.outcome
    }

    fn executed(&mut self, format: Format, origin: Origin, command: Command) -> Response {
        match self.apply(format, origin, command) {
            Outcome::Executed { mut responses, .. } => responses.remove(0),
            outcome => panic!("{outcome:?}"),
        }
    }

    fn system(&mut self, command: Command) -> Response {
        self.executed(self.state.format(), Origin::System, command)
    }

    fn raise(&mut self, format: Format) {
        self.executed(format, Origin::System, Command::RaiseFormat { format });
    }

    fn node(&mut self, command: Command) -> Response {
        self.sequence += 1;
        let origin = Origin::Node { incarnation: LIFE, first_sequence: self.sequence };
        self.executed(self.state.format(), origin, command)
    }

    /// The session `S{number}`.
    fn register(&mut self, number: u8, user: Option<&str>) {
        let response = self.node(Command::Register(Register {
            pid: pid(number),
            sid: format!("S{number}").into(),
            namespace: "/".into(),
            user: user.map(Arc::from),
            data: Bytes::new(),
        }));
        assert!(matches!(response, Response::Registered { .. }), "{response:?}");
    }

    fn join(&mut self, number: u8, room: &str) -> Response {
        self.node(Command::Join { pid: pid(number), epoch: 1, room: room.into() })
    }

    fn disconnect(&mut self, number: u8) {
        assert_eq!(self.node(Command::Disconnect { pid: pid(number), epoch: 1 }), Response::Done);
    }

    fn manage(&mut self, whom: Whom, change: Change) -> Response {
        self.node(Command::Manage(Manage { namespace: "/".into(), whom, change }))
    }

    /// The number of sessions that were changed, who are all that it concerns.
    fn managed(&mut self, whom: Whom, change: Change) -> u64 {
        match self.manage(whom, change) {
            Response::Managed { sessions, refused: 0, next: None } => sessions,
            response => panic!("{response:?}"),
        }
    }

    fn publish(&mut self, rooms: &[&str], except: &[&str]) -> Response {
        let payload = Payload { text: Bytes::from_static(b"[\"m\"]"), attachments: Vec::new() };
        let record = Record { namespace: "/".into(), rooms: names(rooms), except: names(except), payload };
        self.node(Command::Publish(Publish { from: None, record: Arc::new(record), trace: None }))
    }

    fn resume(&mut self, number: u8, user: Option<&str>, seen: Option<LogPosition>) -> Response {
        let resume = Resume {
            pid: pid(number),
            namespace: "/".into(),
            user: user.map(Arc::from),
            expected_epoch: self.state.session_epoch(&pid(number)),
            offset: seen.map(|position| Offset { history_id: HISTORY, position }),
        };
        self.node(Command::Resume(resume))
    }

    fn rooms(&self, number: u8) -> Vec<Arc<str>> {
        self.state.session(&pid(number)).map(|session| session.rooms).unwrap_or_default()
    }

    /// Where something was said that a session has yet to see.
    fn missed(&self, number: u8, after: LogPosition) -> Vec<u64> {
        let replay = self.state.replay(&pid(number), after, usize::MAX).expect("a session");
        assert!(replay.complete && !replay.hole);
        replay.records.iter().map(|(position, _)| position.index).collect()
    }

    fn members(&self, room: &str) -> usize {
        self.state.room_members(&"/".into(), &room.into()).len()
    }
}

fn members_of(rooms: &[&str], except: &[&str]) -> Whom {
    Whom::Members { rooms: names(rooms), except: names(except), after: None }
}

fn session(sid: &str) -> Whom {
    Whom::Session(sid.into())
}

fn through_a_snapshot(state: &State) -> State {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    let read = State::decode_snapshot(bytes.as_slice()).unwrap();
    assert_eq!(&read, state);
    read
}

#[test]
fn members_of_rooms_enter_and_leave_other_rooms_whoever_owns_them_and_whether_they_are_connected() {
    let mut world = World::new(Format::NEWEST);
    for number in 1..=4 {
        world.register(number, None);
    }
    for number in [1, 2, 3] {
        world.join(number, "a");
    }
    world.join(3, "muted");
    world.disconnect(2);
    let before = world.state.applied();
    assert_eq!(world.managed(members_of(&["a"], &["muted"]), Change::Join(names(&["b", "c"]))), 2);
    let joined = |effect: &Effect| matches!(effect, Effect::Joined { .. });
    assert_eq!(world.effects.iter().filter(|effect| joined(effect)).count(), 4, "every hub follows");
    assert_eq!(world.rooms(2), names(&["S2", "a", "b", "c"]));
    assert_eq!(world.rooms(3), names(&["S3", "a", "muted"]));
    assert_eq!(world.managed(members_of(&["b"], &[]), Change::Join(names(&["b"]))), 2, "they are as was wanted");
    assert!(world.effects.is_empty());
    // What is said from there on is for whoever was away, too.
    let Response::Published { position } = world.publish(&["b"], &[]) else { panic!() };
    assert_eq!(world.missed(2, before), [position.index]);
    assert!(
        matches!(world.resume(2, None, Some(before)), Response::Resumed { replay_after, .. } if replay_after == before)
    );
    assert_eq!(world.managed(members_of(&[], &[]), Change::Leave(names(&["a", "S1"]))), 4, "the whole namespace");
    assert_eq!(world.rooms(1), names(&["S1", "b", "c"]), "its own room it does not leave");
    assert_eq!(world.members("a"), 0);
    through_a_snapshot(&world.state);
}

#[test]
fn a_session_that_is_ended_from_outside_is_gone_wherever_it_was_and_once() {
    let mut world = World::new(Format::NEWEST);
    for number in 1..=3 {
        world.register(number, None);
        world.join(number, "r");
    }
    // Another one listens in on the first one's room: it is nobody's business.
    world.join(3, "S1");
    world.disconnect(2);
    assert_eq!(world.managed(session("S1"), Change::Disconnect), 1);
    let ended = Effect::Ended { pid: pid(1), epoch: 1, reason: crate::EndReason::Closed };
    assert!(world.effects.contains(&ended));
    assert_eq!(world.managed(session("S1"), Change::Disconnect), 0, "it is gone");
    assert!(world.state.session(&pid(3)).is_some());
    assert_eq!(world.managed(members_of(&["r"], &[]), Change::Disconnect), 2);
    let vacated = |effect: &Effect| match effect {
        Effect::Event(event) => matches!(&event.kind, EventKind::RoomVacated { room, .. } if &**room == "r"),
        _ => false,
    };
    assert_eq!(world.effects.iter().filter(|effect| vacated(effect)).count(), 1);
    assert_eq!(world.state.counts().sessions, 0);
    let refused = world.resume(2, None, None);
    assert_eq!(refused, Response::ResumeRefused(crate::ResumeRefusal::Unknown), "its window is over");
    let asked: BTreeSet<(Arc<str>, Arc<str>)> =
        ["S1", "S2", "S9"].into_iter().map(|sid| ("/".into(), sid.into())).collect();
    assert_eq!(world.state.closed_among(asked).len(), 2);
}

#[test]
fn many_are_changed_step_by_step_and_what_is_beyond_a_bound_is_refused() {
    let mut world = World::new(Format::NEWEST);
    for number in 1..=5 {
        world.register(number, None);
    }
    let rooms: Vec<Arc<str>> = (0..limits::MANAGE_ROOMS_MAX).map(|number| format!("room-{number}").into()).collect();
    assert_eq!(Change::Join(rooms.clone()).sessions_max(), limits::MANAGE_CHANGES_MAX / limits::MANAGE_ROOMS_MAX);
    assert_eq!(Change::Disconnect.sessions_max(), limits::MANAGE_SESSIONS_MAX);
    // Each step goes on behind the last one, also when those before it are gone.
    for number in 6..=255 {
        world.register(number, None);
    }
    let max = Change::Join(rooms.clone()).sessions_max() as u64;
    let step = world.manage(members_of(&[], &[]), Change::Join(rooms.clone()));
    let Response::Managed { sessions, refused: 0, next } = step else { panic!("{step:?}") };
    assert!(sessions == max && next.is_some());
    let rest = Whom::Members { rooms: Vec::new(), except: Vec::new(), after: next };
    assert_eq!(world.managed(rest, Change::Join(rooms.clone())), 255 - max);
    assert_eq!(world.members("room-63"), 255);

    let long: Arc<str> = "x".repeat(limits::NAME_BYTES_MAX + 1).into();
    let many = vec![Arc::<str>::from("r"); limits::PRESENCE_ROOMS_MAX + 1];
    let whom = || members_of(&[], &[]);
    for (whom, change) in [
        (whom(), Change::Join(Vec::new())),
        (whom(), Change::Leave(Vec::new())),
        (whom(), Change::Join(names(&[""]))),
        (whom(), Change::Join(vec![long.clone()])),
        (whom(), Change::Join(names(&["\0"]))),
        (whom(), Change::Leave(vec![user_room("ada")])),
        (whom(), Change::Join(vec!["r".into(); limits::MANAGE_ROOMS_MAX + 1])),
        (members_of(&[""], &[]), Change::Disconnect),
        (members_of(&["\0other"], &[]), Change::Disconnect),
        (Whom::Members { rooms: vec![long], except: Vec::new(), after: None }, Change::Disconnect),
        (Whom::Members { rooms: many.clone(), except: Vec::new(), after: None }, Change::Disconnect),
        (Whom::Members { rooms: Vec::new(), except: many, after: None }, Change::Disconnect),
    ] {
        assert_eq!(world.manage(whom, change), Response::Refused(Refusal::LimitExceeded));
    }
    // Who is in as many rooms as one can be stays as it is, and is counted.
    for number in 0..limits::STAYS_PER_SESSION_MAX {
        world.join(1, &format!("r{number}"));
    }
    let full = world.manage(session("S1"), Change::Join(names(&["one more"])));
    assert_eq!(full, Response::Managed { sessions: 0, refused: 1, next: None });
    assert_eq!(world.state.counts().sessions, 255);
}

#[test]
fn older_formats_have_neither_such_commands_nor_rooms_of_users() {
    let manage =
        || Command::Manage(Manage { namespace: "/".into(), whom: members_of(&[], &[]), change: Change::Disconnect });
    let mut world = World::new(Format::TRACED);
    world.register(1, Some("ada"));
    let origin = Origin::Node { incarnation: LIFE, first_sequence: world.sequence + 1 };
    assert_eq!(world.apply(Format::TRACED, origin, manage()), Outcome::Malformed);
    let early = world.executed(Format::MANAGED, origin, manage());
    assert_eq!(early, Response::Refused(Refusal::NotAllowed), "before the cluster's format is raised");
    assert_eq!(world.members(&user_room("ada")), 0);
    assert_eq!(world.state.counts().sessions, 1);
}

#[test]
fn what_is_for_a_user_reaches_all_of_its_sessions_and_shows_nowhere() {
    let mut world = World::new(Format::NEWEST);
    world.register(1, Some("ada"));
    let opened = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Opened(opened) => Some(opened.rooms.clone()),
            _ => None,
        })
    };
    assert_eq!(opened(&world.effects), Some(vec![user_room("ada"), "S1".into()]), "hubs are told");
    world.register(2, Some("ada"));
    world.register(3, Some("bob"));
    world.register(4, None);
    world.disconnect(2);
    let before = world.state.applied();
    let ada = user_room("ada");
    let Response::Published { position } = world.publish(&[&ada], &[]) else { panic!() };
    world.publish(&[], &[&ada]);
    for (number, expected) in [(1, vec![position.index]), (2, vec![position.index]), (3, vec![position.index + 1])] {
        assert_eq!(world.missed(number, before), expected, "S{number}");
    }
    assert!(matches!(world.resume(2, Some("ada"), Some(before)), Response::Resumed { .. }));
    assert_eq!(opened(&world.effects), Some(vec![ada.clone(), "S2".into()]));
    let namespace: Arc<str> = "/".into();
    assert_eq!(world.rooms(1), names(&["S1"]));
    assert_eq!(world.state.room_count(&namespace, Some(&ada)).sessions, 2);
    assert!(world.state.room_users(&namespace, Some(&ada), None, 10).users.is_empty());
    assert_eq!(world.managed(members_of(&[&ada], &[]), Change::Disconnect), 2);
    let named =
        |event: &Arc<Event>| matches!(&event.kind, EventKind::RoomVacated { .. } | EventKind::RoomOccupied { .. });
    assert!(!world.state.events_after(None, 1_000).events.iter().any(named), "no event speaks of it");
    through_a_snapshot(&world.state);
}

#[test]
fn nobody_enters_leaves_or_addresses_a_room_of_the_servers_own() {
    let mut world = World::new(Format::NEWEST);
    world.register(1, Some("ada"));
    world.register(2, Some("eve"));
    let ada = user_room("ada");
    for room in [&*ada, "\0", "\0other"] {
        assert_eq!(world.join(2, room), Response::Refused(Refusal::NotAllowed));
        let leave = Command::Leave { pid: pid(1), epoch: 1, room: room.into() };
        assert_eq!(world.node(leave), Response::Refused(Refusal::NotAllowed));
    }
    for (rooms, except) in [(vec!["\0other"], vec![]), (vec![], vec!["\0"]), (vec![""], vec![])] {
        assert_eq!(world.publish(&rooms, &except), Response::Refused(Refusal::LimitExceeded));
    }
    // Each client is a room by its own id: none is called as a user's is.
    let register = Register { pid: pid(3), sid: ada.clone(), namespace: "/".into(), user: None, data: Bytes::new() };
    assert_eq!(world.node(Command::Register(register)), Response::Refused(Refusal::LimitExceeded));
    assert_eq!(world.members(&ada), 1);
    let longest = "u".repeat(limits::NAME_BYTES_MAX);
    world.register(4, Some(&longest));
    assert!(matches!(world.publish(&[&user_room(&longest)], &[]), Response::Published { .. }));
}

#[test]
fn sessions_from_before_there_were_such_rooms_enter_them_and_whoever_sat_in_one_is_put_out() {
    let mut world = World::new(Format::TRACED);
    for number in 1..=3 {
        world.register(number, Some("ada"));
    }
    world.register(4, Some("eve"));
    let ada = user_room("ada");
    assert_eq!(world.join(4, &ada), Response::Done, "it was a room like any other");
    assert_eq!(world.join(4, "\0other"), Response::Done);
    world.disconnect(3);
    world.raise(Format::MANAGED);
    assert_eq!(world.members(&ada), 0);
    assert_eq!(world.effects.iter().filter(|effect| matches!(effect, Effect::Left { .. })).count(), 2);
    assert!(matches!(world.resume(3, Some("ada"), None), Response::Resumed { .. }));
    assert_eq!(world.members(&ada), 1, "who comes back is in at once");
    let half_way = through_a_snapshot(&world.state);
    let restored = half_way.restored(&Restoration { history_id: 8, sid_key: SidKey::default() });
    assert_eq!(restored.room_members(&"/".into(), &ada).len(), 3, "a restore leaves nobody out");
    through_a_snapshot(&restored);
    world.system(Command::Tick { elapsed_ms: 1 });
    assert_eq!(world.effects.iter().filter(|effect| matches!(effect, Effect::Joined { .. })).count(), 3, "hubs follow");
    assert_eq!((world.members(&ada), world.members(&user_room("eve"))), (3, 1));
    world.system(Command::Tick { elapsed_ms: 1 });
    assert!(world.effects.is_empty(), "once");
    let before = world.state.applied();
    world.publish(&[&ada], &[]);
    assert!(world.missed(4, before).is_empty());
    through_a_snapshot(&world.state);
}

#[test]
fn a_list_of_sessions_is_filtered_and_paged() {
    let mut world = World::new(Format::NEWEST);
    for number in 1..=6 {
        world.register(number, Some(if number % 2 == 0 { "even" } else { "odd" }));
    }
    for number in [1, 2, 3] {
        world.join(number, "r");
    }
    world.disconnect(2);
    world.disconnect(3);
    let sids = |filter: &SessionFilter| {
        let (mut sids, mut after) = (Vec::new(), None);
        loop {
            let page = world.state.session_page(&"/".into(), filter, after, 2);
            assert!(page.sessions.len() <= 2);
            sids.extend(page.sessions.into_iter().map(|session| session.sid.to_string()));
            after = page.next;
            if after.is_none() {
                return sids;
            }
        }
    };
    let all = SessionFilter::default();
    assert_eq!(sids(&all), ["S1", "S2", "S3", "S4", "S5", "S6"]);
    assert_eq!(sids(&SessionFilter { connected: Some(false), ..all.clone() }), ["S2", "S3"]);
    let room = SessionFilter { room: Some("r".into()), ..all.clone() };
    assert_eq!(sids(&room), ["S1", "S2", "S3"]);
    assert_eq!(sids(&SessionFilter { user: Some("odd".into()), ..room.clone() }), ["S1", "S3"]);
    assert_eq!(sids(&SessionFilter { user: Some("even".into()), connected: Some(true), ..all }), ["S4", "S6"]);
    assert_eq!(sids(&SessionFilter { user: Some("nobody".into()), ..room }), [""; 0]);
}

#[test]
fn the_history_of_a_room_is_paged_and_says_what_is_gone() {
    let mut world = World::new(Format::NEWEST);
    world.register(1, None);
    world.join(1, "r");
    let mut said = Vec::new();
    for number in 0..5 {
        let Response::Published { position } = world.publish(&["r"], &[]) else { panic!() };
        said.push(position);
        world.publish(if number % 2 == 0 { &["empty"] } else { &[] }, &[]);
    }
    let (namespace, room): (Arc<str>, Arc<str>) = ("/".into(), "r".into());
    let page = |state: &State, after, max| state.room_history(&namespace, Some(&room), after, max);
    let first = page(&world.state, None, 2).unwrap();
    let positions = |page: &crate::HistoryPage| page.records.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!((positions(&first), first.reached, first.complete), (said[..2].to_vec(), said[1], false));
    let rest = page(&world.state, Some(first.reached), 100).unwrap();
    assert_eq!((positions(&rest), rest.complete), (said[2..].to_vec(), true));
    assert_eq!(rest.reached, world.state.applied());
    let everyones = world.state.room_history(&namespace, None, None, 100).unwrap();
    assert_eq!(everyones.records.len(), 2, "what is for the whole namespace");
    let empty = world.state.room_history(&namespace, Some(&"empty".into()), None, 100).unwrap();
    assert!(empty.records.is_empty() && empty.complete, "nobody was there to hear it");

    // Older than the history may be: everything goes.
    for _ in 0..7 {
        world.system(Command::Tick { elapsed_ms: limits::TICK_MS_MAX });
    }
    let gone = page(&world.state, Some(said[2]), 100);
    let floor = said[4];
    assert!(matches!(gone, Err(HistoryGone { floor: from }) if from >= floor), "{gone:?}");
    let HistoryGone { floor } = gone.unwrap_err();
    assert!(page(&world.state, Some(floor), 100).unwrap().complete);
    assert!(page(&world.state, Some(said[4]), 100).unwrap().complete, "the last of its records was seen");
    assert!(page(&world.state, None, 100).unwrap().records.is_empty());
}
