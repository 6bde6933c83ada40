//! A restored state: what stays, what is gone, and who may resume from where.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Command, Configuration, Contents, Event, EventId, EventKind, Format, Incarnation, KvExpected, KvPut, LogPosition,
    NodeInfo, Offset, Origin, Outcome, Payload, PidHash, Proposal, Publish, Record, Register, Response, Restoration,
    Resume, ResumeRefusal, SidKey, State, TokenHash, encode_proposal,
};

const OLD: Incarnation = Incarnation { node: 1, generation: 1 };
const NEW: Incarnation = Incarnation { node: 2, generation: 1 };
const OLD_HISTORY: u64 = 0x0a;
const NEW_HISTORY: u64 = 0x0b;
const WINDOW_MS: u64 = 1_000;
const RESTORATION: Restoration = Restoration { history_id: NEW_HISTORY, sid_key: SidKey([9; 32]) };

#[test]
fn a_state_with_less_in_it_has_the_rest_as_it_was() {
    let mut world = World::old();
    world.register(1);
    world.publish("[\"m\",1]");
    let put = KvPut { key: "k".into(), value: Bytes::from_static(b"v"), ttl_ms: None, expected: KvExpected::Anything };
    world.node(Command::KvPut(put));
    let all = world.state.clone().with(Contents::default());
    assert_eq!(all, world.state);

    let without_rooms = world.state.clone().with(Contents { rooms: false, ..Contents::default() });
    let session = without_rooms.session(&pid(1)).unwrap();
    let rooms: Vec<&str> = session.rooms.iter().map(AsRef::as_ref).collect();
    assert_eq!(rooms, ["S1"], "its own, which every session has");
    // What it missed until then it is owed: the stay has ended, and is not forgotten.
    let missed = without_rooms.session(&pid(1)).map(|session| session.started);
    assert_eq!(missed, world.state.session(&pid(1)).map(|session| session.started));
    let mut snapshot = Vec::new();
    without_rooms.encode_snapshot(&mut snapshot).unwrap();
    assert_eq!(State::decode_snapshot(snapshot.as_slice()).unwrap(), without_rooms);

    let without_sessions = world.state.clone().with(Contents { sessions: false, ..Contents::default() });
    let (counts, before) = (without_sessions.counts(), world.state.counts());
    assert_eq!((counts.sessions, counts.connected, counts.rooms), (0, 0, 0));
    assert_eq!((counts.messages, counts.kv_entries), (before.messages, before.kv_entries));
    without_sessions.encode_snapshot(&mut snapshot).unwrap();
}

struct World {
    state: State,
    owner: Incarnation,
    sequence: u64,
}

impl World {
    fn old() -> Self {
        let mut world = Self { state: State::default(), owner: OLD, sequence: 0 };
        world.system(Command::Configure(Configuration {
            history_id: OLD_HISTORY,
            recovery_window_ms: WINDOW_MS,
            history_age_ms_max: 60_000,
            history_bytes_max: 1 << 20,
            sid_key: SidKey([1; 32]),
        }));
        world.up(OLD);
        world
    }

    /// The same cluster, lost and restored, with a node.
    fn restored(&self) -> Self {
        let state = self.state.clone().restored(&RESTORATION);
        let mut world = Self { state, owner: NEW, sequence: 0 };
        world.up(NEW);
        world
    }

    fn apply(&mut self, origin: Origin, command: Command) -> Response {
        let bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![command] });
        let index = self.state.applied().index + 1;
        let Outcome::Executed { responses, .. } = self.state.apply(index, &bytes).outcome else {
            panic!("not executed")
        };
        responses.into_iter().next().expect("one")
    }

    fn system(&mut self, command: Command) -> Response {
        self.apply(Origin::System, command)
    }

    fn up(&mut self, incarnation: Incarnation) {
        assert_eq!(self.system(Command::NodeUp { incarnation, info: NodeInfo::default() }), Response::Done);
    }

    fn node(&mut self, command: Command) -> Response {
        self.sequence += 1;
        self.apply(Origin::Node { incarnation: self.owner, first_sequence: self.sequence }, command)
    }

    fn register(&mut self, number: u8) {
        let registered = self.node(Command::Register(Register {
            pid: pid(number),
            sid: format!("S{number}").into(),
            namespace: "/".into(),
            user: None,
            data: Bytes::from_static(b"data"),
        }));
        assert!(matches!(registered, Response::Registered { .. }));
        self.node(Command::Join { pid: pid(number), epoch: 1, room: "room".into() });
    }

    fn publish(&mut self, text: &'static str) -> LogPosition {
        let payload = Payload { text: Bytes::from_static(text.as_bytes()), attachments: vec![] };
        let record = Record { namespace: "/".into(), rooms: vec!["room".into()], except: vec![], payload };
        match self.node(Command::Publish(Publish { from: None, record: Arc::new(record), trace: None })) {
            Response::Published { position } => position,
            other => panic!("{other:?}"),
        }
    }

    fn resume(&mut self, number: u8, offset: Option<(u64, LogPosition)>) -> Response {
        let expected_epoch = self.state.session_epoch(&pid(number));
        let offset = offset.map(|(history_id, position)| Offset { history_id, position });
        self.node(Command::Resume(Resume {
            pid: pid(number),
            namespace: "/".into(),
            user: None,
            expected_epoch,
            offset,
        }))
    }

    fn missed(&mut self, number: u8, offset: (u64, LogPosition)) -> Vec<String> {
        let Response::Resumed { replay_after, .. } = self.resume(number, Some(offset)) else { panic!("not resumed") };
        let replay = self.state.replay(&pid(number), replay_after, 1 << 20).unwrap();
        assert!(replay.complete && !replay.hole);
        replay.records.iter().map(|(_, record)| String::from_utf8_lossy(&record.payload.text).into_owned()).collect()
    }
}

fn pid(number: u8) -> PidHash {
    PidHash([number; 16])
}

#[test]
fn a_client_resumes_from_what_both_clusters_have_and_misses_nothing_of_either() {
    let mut old = World::old();
    old.register(1);
    let seen = old.publish("one");
    old.publish("two");
    let mut new = old.restored();
    new.publish("three");
    assert_eq!(new.missed(1, (OLD_HISTORY, seen)), ["two", "three"]);
    // From now on its offsets are of the new history.
    let seen = new.publish("four");
    new.publish("five");
    assert_eq!(new.missed(1, (NEW_HISTORY, seen)), ["five"]);
}

#[test]
fn an_offset_beyond_what_was_restored_is_never_taken_for_one_of_the_new_history() {
    let mut old = World::old();
    old.register(1);
    old.publish("one");
    let mut new = old.restored();
    let lost = old.publish("lost with the old cluster");
    let last = new.state.applied().index - 1;
    while new.publish("after the restore") < LogPosition::end_of(lost.index) {}
    let bad = Response::ResumeRefused(ResumeRefusal::BadOffset);
    assert_eq!(new.resume(1, Some((OLD_HISTORY, lost))), bad);
    assert_eq!(new.resume(1, Some((0x0c, LogPosition::new(1, 0)))), bad, "a history that nobody knows");
    assert_eq!(new.resume(1, Some((NEW_HISTORY, LogPosition::end_of(u64::MAX)))), bad);
    assert!(matches!(new.resume(1, Some((OLD_HISTORY, LogPosition::end_of(last - 1)))), Response::Resumed { .. }));
}

#[test]
fn windows_begin_with_the_restore_and_end_in_its_own_time() {
    let mut old = World::old();
    old.register(1);
    old.register(2);
    old.node(Command::Disconnect { pid: pid(2), epoch: 1 });
    old.system(Command::Tick { elapsed_ms: 900 });
    let mut new = old.restored();
    assert_eq!((new.state.connected_count(), new.state.disconnected_count()), (0, 2));
    new.system(Command::Tick { elapsed_ms: 900 });
    for number in [1, 2] {
        let session = new.state.session(&pid(number)).unwrap();
        assert_eq!(session.deadline_ms, Some(900 + WINDOW_MS));
        assert_eq!((session.rooms.len(), session.data.as_ref()), (2, b"data".as_slice()));
    }
    new.system(Command::Tick { elapsed_ms: 100 });
    assert_eq!(new.resume(1, None), Response::ResumeRefused(ResumeRefusal::Unknown));
}

#[test]
fn nodes_tokens_and_keys_of_the_old_cluster_are_gone_and_the_rest_is_there() {
    let mut old = World::old();
    old.register(1);
    old.system(Command::AddJoinToken { token: TokenHash([1; 32]), ttl_ms: 1_000_000 });
    old.system(Command::RemoveNode { node: 77 });
    let put = KvPut { key: "k".into(), value: Bytes::from_static(b"v"), ttl_ms: None, expected: KvExpected::Anything };
    old.node(Command::KvPut(put));
    let before = old.state.applied().index;
    let state = old.state.clone().restored(&RESTORATION);
    assert_eq!(state.applied().index, before + 1, "the restore has a position of its own");
    assert_eq!(state.live_incarnations(), []);
    assert_eq!(state.node_incarnation(OLD.node), None);
    assert!(state.join_token(&TokenHash([1; 32])).is_none() && !state.is_removed(77));
    assert_eq!(state.configuration().unwrap().sid_key, RESTORATION.sid_key);
    assert_eq!(state.history_id(), Some(NEW_HISTORY));
    assert_eq!(state.ancestor_ids().collect::<Vec<_>>(), [OLD_HISTORY]);
    assert_eq!(state.format(), Format::MANAGED);
    assert_eq!(state.kv_get("k").unwrap().value.as_ref(), b"v");
    assert_eq!(state.counts().sessions, 1);
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    assert_eq!(State::decode_snapshot(bytes.as_slice()).unwrap(), state);
    // Commands of the old cluster's nodes are not executed here.
    let mut state = state;
    let origin = Origin::Node { incarnation: OLD, first_sequence: 1 };
    let late =
        encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![Command::Close { pid: pid(1), epoch: 1 }] });
    assert_eq!(state.apply(before + 2, &late).outcome, Outcome::NotLive);
}

#[test]
fn whoever_follows_events_goes_on_after_a_restore_and_hears_what_it_disconnected() {
    let mut old = World::old();
    old.register(1);
    let all = old.state.events_after(None, 100);
    let cursor = all.events.last().map_or(all.after, |event| event.id);
    let end = old.state.events_end().unwrap();
    let new = old.restored();
    for after in [cursor, end] {
        let page = new.state.events_after(Some(after), 100);
        assert!(!page.hole);
        let heard: Vec<&Event> = page.events.iter().map(AsRef::as_ref).collect();
        assert!(matches!(heard.as_slice(), [Event { kind: EventKind::Disconnected { node_down: true, .. }, .. }]));
        assert_eq!(heard[0].id.history_id, NEW_HISTORY);
    }
    // What only the old cluster said is a hole, not something that was heard.
    old.register(2);
    old.node(Command::Close { pid: pid(2), epoch: 1 });
    let lost = EventId { position: LogPosition::end_of(old.state.applied().index), ..end };
    assert!(new.state.events_after(Some(lost), 100).hole);
}

#[test]
fn a_chain_of_restores_is_remembered_up_to_a_bound() {
    let mut state = World::old().state;
    for history_id in 100..100 + crate::limits::ANCESTORS_MAX as u64 + 3 {
        state = state.restored(&Restoration { history_id, ..RESTORATION });
    }
    let ancestors: Vec<u64> = state.ancestor_ids().collect();
    assert_eq!(ancestors.len(), crate::limits::ANCESTORS_MAX);
    assert_eq!(ancestors.first(), Some(&(100 + crate::limits::ANCESTORS_MAX as u64 + 1)));
}
