//! Properties: replicas agree (through a snapshot too), any bytes are survived, and what a session gets by replay and
//! by live delivery is exactly what a brute-force model says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    Change, Command, Configuration, ContentHash, Effect, Format, Incarnation, LogPosition, Manage, NodeInfo, Offset,
    OnceKey, Origin, Payload, PidHash, Proposal, Publish, PublishOnce, Record, Refusal, Register, Response, Resume,
    State, Whom, encode_proposal, user_room,
};

const LIFE: Incarnation = Incarnation { node: 1, generation: 1 };
const PIDS: u8 = 4;
const ROOMS: u8 = 3;

fn pid(number: u8) -> PidHash {
    PidHash([number; 16])
}

fn room(number: u8) -> Arc<str> {
    format!("room-{number}").into()
}

/// Two share one, and one has none.
fn user(number: u8) -> Option<Arc<str>> {
    [Some("ada"), Some("ada"), Some("bob"), None][usize::from(number)].map(Arc::from)
}

fn sid(number: u8) -> Arc<str> {
    format!("SID{number}").into()
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8),
    Join(u8, u8),
    Leave(u8, u8),
    Publish {
        to: Vec<u8>,
        except: Option<u8>,
    },
    Direct(u8),
    /// Under a key, something that is one of two.
    Once(u8, u8),
    /// To all sessions of the user whose session this is.
    ToUser(u8),
    /// From outside: members of a room enter another one, or leave it.
    ManageRooms {
        members: u8,
        except: Option<u8>,
        room: u8,
        joins: bool,
    },
    /// From outside: members of a room end, or one session.
    End {
        members: Option<u8>,
        session: u8,
    },
    Disconnect(u8),
    /// From the offset that the model says the client has.
    Resume(u8),
    Tick(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..PIDS).prop_map(Step::Register),
        3 => (0..PIDS, 0..ROOMS).prop_map(|(who, to)| Step::Join(who, to)),
        2 => (0..PIDS, 0..ROOMS).prop_map(|(who, to)| Step::Leave(who, to)),
        6 => (prop::collection::vec(0..ROOMS, 0..3), prop::option::of(0..ROOMS))
            .prop_map(|(to, except)| Step::Publish { to, except }),
        1 => (0..PIDS).prop_map(Step::Direct),
        3 => (0..3u8, 0..2u8).prop_map(|(key, content)| Step::Once(key, content)),
        2 => (0..PIDS).prop_map(Step::ToUser),
        2 => (0..ROOMS, prop::option::of(0..ROOMS), 0..ROOMS, any::<bool>())
            .prop_map(|(members, except, room, joins)| Step::ManageRooms { members, except, room, joins }),
        1 => (prop::option::weighted(0.2, 0..ROOMS), 0..PIDS)
            .prop_map(|(members, session)| Step::End { members, session }),
        2 => (0..PIDS).prop_map(Step::Disconnect),
        3 => (0..PIDS).prop_map(Step::Resume),
        1 => (1u32..400).prop_map(Step::Tick),
    ]
}

/// A client: what it should have seen, what it has seen, and where its offset is.
#[derive(Default)]
struct Client {
    epoch: u64,
    connected: bool,
    rooms: BTreeSet<Arc<str>>,
    due: Vec<LogPosition>,
    seen: Vec<LogPosition>,
}

struct World {
    state: State,
    index: u64,
    sequence: u64,
    clients: BTreeMap<u8, Client>,
    /// By key: what was published under it, and where.
    once: BTreeMap<u8, (u8, LogPosition)>,
}

impl World {
    fn new(history_bytes_max: u64) -> Self {
        let (state, clients, once) = (State::default(), BTreeMap::new(), BTreeMap::new());
        let mut world = Self { state, index: 0, sequence: 0, clients, once };
        world.system(Command::RaiseFormat { format: Format::NEWEST });
        world.system(Command::Configure(Configuration {
            history_id: 5,
            recovery_window_ms: 1_000,
            history_age_ms_max: 2_000,
            history_bytes_max,
            sid_key: crate::SidKey::default(),
        }));
        world.system(Command::NodeUp { incarnation: LIFE, info: NodeInfo::default() });
        world.system(Command::RaiseFormat { format: Format::NEWEST });
        world
    }

    fn system(&mut self, command: Command) -> crate::Applied {
        self.index += 1;
        let proposal = Proposal { origin: Origin::System, commands: vec![command] };
        self.state.apply(self.index, &encode_proposal(Format::NEWEST, &proposal))
    }

    fn propose(&mut self, command: Command) -> (Response, LogPosition) {
        self.index += 1;
        self.sequence += 1;
        let origin = Origin::Node { incarnation: LIFE, first_sequence: self.sequence };
        let applied = self
            .state
            .apply(self.index, &encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![command] }));
        let crate::Outcome::Executed { responses, .. } = applied.outcome else { panic!("refused: {applied:?}") };
        (responses.into_iter().next().expect("one response"), LogPosition::new(self.index, 0))
    }

    fn publish(&mut self, rooms: Vec<Arc<str>>, except: Vec<Arc<str>>) {
        let (response, at) = self.propose(Command::Publish(broadcast(&rooms, &except)));
        assert_eq!(response, Response::Published { position: at });
        self.is_due(at, &rooms, &except);
    }

    fn publish_once(&mut self, key: u8, content: u8) {
        let (key_hash, content_hash) = (OnceKey([key; 16]), ContentHash([content; 16]));
        let publish = broadcast(&[], &[]);
        let once = PublishOnce { publish, key: key_hash, content: content_hash };
        let (response, at) = self.propose(Command::PublishOnce(once));
        match self.once.get(&key) {
            None => {
                assert_eq!(response, Response::Published { position: at });
                self.once.insert(key, (content, at));
                self.is_due(at, &[], &[]);
            }
            Some((first, position)) if *first == content => {
                assert_eq!(response, Response::Repeated { offset: Offset { history_id: 5, position: *position } });
            }
            Some(_) => assert_eq!(response, Response::Refused(Refusal::KeyReused)),
        }
    }

    fn is_due(&mut self, at: LogPosition, rooms: &[Arc<str>], except: &[Arc<str>]) {
        for (who, client) in &mut self.clients {
            let is_users = |room: &Arc<str>| user(*who).is_some_and(|user| *room == user_room(&user));
            let addressed = rooms.is_empty() || rooms.iter().any(|room| client.rooms.contains(room) || is_users(room));
            if addressed && !except.iter().any(|room| client.rooms.contains(room)) {
                client.due.push(at);
                if client.connected {
                    client.seen.push(at);
                }
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Register(who) => {
                let register = Register {
                    pid: pid(who),
                    sid: sid(who),
                    namespace: "/".into(),
                    user: user(who),
                    data: Bytes::new(),
                };
                let (response, _) = self.propose(Command::Register(register));
                if matches!(response, Response::Registered { .. }) {
                    assert!(!self.clients.contains_key(&who), "a living session is not registered again");
                    let rooms = BTreeSet::from([sid(who)]);
                    self.clients.insert(who, Client { epoch: 1, connected: true, rooms, ..Client::default() });
                }
            }
            Step::Join(who, to) => {
                let Some(client) = self.clients.get(&who).filter(|client| client.connected) else { return };
                let command = Command::Join { pid: pid(who), epoch: client.epoch, room: room(to) };
                assert_eq!(self.propose(command).0, Response::Done);
                self.clients.get_mut(&who).unwrap().rooms.insert(room(to));
            }
            Step::Leave(who, to) => {
                let Some(client) = self.clients.get(&who).filter(|client| client.connected) else { return };
                let command = Command::Leave { pid: pid(who), epoch: client.epoch, room: room(to) };
                assert_eq!(self.propose(command).0, Response::Done);
                self.clients.get_mut(&who).unwrap().rooms.remove(&room(to));
            }
            Step::Publish { to, except } => {
                self.publish(to.into_iter().map(room).collect(), except.into_iter().map(room).collect());
            }
            Step::Direct(who) => self.publish(vec![sid(who)], Vec::new()),
            Step::Once(key, content) => self.publish_once(key, content),
            Step::ToUser(who) => self.publish(user(who).iter().map(|user| user_room(user)).collect(), Vec::new()),
            Step::ManageRooms { members, except, room: changed, joins } => {
                let except: Vec<Arc<str>> = except.into_iter().map(room).collect();
                let whom = Whom::Members { rooms: vec![room(members)], except: except.clone(), after: None };
                let rooms = vec![room(changed)];
                let change = if joins { Change::Join(rooms) } else { Change::Leave(rooms) };
                let mut concerned = 0;
                for client in self.clients.values_mut() {
                    let is_member = client.rooms.contains(&room(members));
                    if is_member && !except.iter().any(|room| client.rooms.contains(room)) {
                        concerned += 1;
                        if joins {
                            client.rooms.insert(room(changed));
                        } else {
                            client.rooms.remove(&room(changed));
                        }
                    }
                }
                self.manage(whom, change, concerned);
            }
            Step::End { members, session } => {
                let whom = match members {
                    Some(members) => Whom::Members { rooms: vec![room(members)], except: Vec::new(), after: None },
                    None => Whom::Session(sid(session)),
                };
                let before = self.clients.len();
                self.clients.retain(|who, client| match members {
                    Some(members) => !client.rooms.contains(&room(members)),
                    None => *who != session,
                });
                self.manage(whom, Change::Disconnect, (before - self.clients.len()) as u64);
            }
            Step::Disconnect(who) => {
                let Some(client) = self.clients.get(&who).filter(|client| client.connected) else { return };
                let command = Command::Disconnect { pid: pid(who), epoch: client.epoch };
                assert_eq!(self.propose(command).0, Response::Done);
                self.clients.get_mut(&who).unwrap().connected = false;
            }
            Step::Resume(who) => self.resume(who),
            Step::Tick(elapsed_ms) => {
                let applied = self.system(Command::Tick { elapsed_ms });
                for at in applied.effects {
                    if let Effect::Ended { pid, .. } = at.effect {
                        let client = self.clients.remove(&pid.0[0]).expect("it was there");
                        assert!(!client.connected, "a connected session does not expire");
                    }
                }
            }
        }
    }

    fn manage(&mut self, whom: Whom, change: Change, sessions: u64) {
        let manage = Manage { namespace: "/".into(), whom, change };
        let (response, _) = self.propose(Command::Manage(manage));
        assert_eq!(response, Response::Managed { sessions, refused: 0, next: None });
    }

    fn resume(&mut self, who: u8) {
        let Some(client) = self.clients.get(&who) else { return };
        let offset = client.seen.last().map(|position| Offset { history_id: 5, position: *position });
        let resume = Resume {
            pid: pid(who),
            namespace: "/".into(),
            user: user(who),
            expected_epoch: Some(client.epoch),
            offset,
        };
        let (response, _) = self.propose(Command::Resume(resume));
        match response {
            Response::Resumed { epoch, mut replay_after, rooms, .. } => {
                let client = self.clients.get_mut(&who).unwrap();
                assert_eq!(epoch, client.epoch + 1);
                assert_eq!(rooms.into_iter().collect::<BTreeSet<_>>(), client.rooms);
                client.epoch = epoch;
                client.connected = true;
                loop {
                    let replay = self.state.replay(&pid(who), replay_after, 1).expect("a session");
                    assert!(!replay.hole, "never recovered with a hole");
                    assert!(replay.reached > replay_after || replay.complete);
                    client.seen.extend(replay.records.iter().map(|(position, _)| *position));
                    replay_after = replay.reached;
                    if replay.complete {
                        break;
                    }
                }
                assert_eq!(client.seen, client.due, "exactly what the model says, in order");
                let audit = self.state.audit(&pid(who), 3).expect("a session");
                let counted: Vec<_> =
                    client.due.iter().copied().filter(|position| *position > audit.counted_after).collect();
                assert_eq!(audit.positions, counted, "an audit says the same of all that is retained");
                assert!(audit.incomplete || audit.positions == client.due);
                let latest: Vec<_> = audit.latest.iter().map(|(position, _)| *position).collect();
                assert_eq!(latest, counted[counted.len().saturating_sub(3)..]);
            }
            Response::ResumeRefused(crate::ResumeRefusal::Hole) => {
                // Honest: a new session follows. It must really be possible that something was dropped.
                assert!(self.state.history_size().0 < self.index as usize);
                let (response, _) = self.propose(Command::Close { pid: pid(who), epoch: self.clients[&who].epoch });
                if response == Response::Done {
                    self.clients.remove(&who);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn broadcast(rooms: &[Arc<str>], except: &[Arc<str>]) -> Publish {
    let payload = Payload { text: Bytes::from_static(b"[\"m\"]"), attachments: Vec::new() };
    let record = Record { namespace: "/".into(), rooms: rooms.to_vec(), except: except.to_vec(), payload };
    Publish { from: None, record: Arc::new(record), trace: None }
}

fn through_a_snapshot(state: &State) -> State {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    State::decode_snapshot(bytes.as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_session_gets_exactly_what_the_model_says(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new(1 << 20);
        for step in steps {
            world.run(step);
        }
        for who in 0..PIDS {
            world.run(Step::Resume(who));
        }
    }

    #[test]
    fn a_history_that_forgets_never_gives_a_hole(steps in prop::collection::vec(step(), 1..200)) {
        // Room for about five records.
        let mut world = World::new(1_300);
        for step in steps {
            world.run(step);
        }
        for who in 0..PIDS {
            world.run(Step::Resume(who));
        }
    }

    #[test]
    fn a_replica_from_a_snapshot_agrees_with_one_that_applied_everything(
        before in prop::collection::vec(step(), 0..60),
        after in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(2_000);
        for step in before {
            world.run(step);
        }
        let mut other = World {
            state: through_a_snapshot(&world.state),
            index: world.index,
            sequence: world.sequence,
            clients: BTreeMap::new(),
            once: world.once.clone(),
        };
        prop_assert_eq!(other.state.state_hash(), world.state.state_hash());
        std::mem::swap(&mut other.clients, &mut world.clients);
        let clients: Vec<u8> = other.clients.keys().copied().collect();
        for who in clients {
            let client = &other.clients[&who];
            let twin = Client {
                epoch: client.epoch,
                connected: client.connected,
                rooms: client.rooms.clone(),
                due: client.due.clone(),
                seen: client.seen.clone(),
            };
            world.clients.insert(who, twin);
        }
        for step in after {
            world.run(step.clone());
            other.run(step);
        }
        prop_assert_eq!(&other.state, &world.state);
        prop_assert_eq!(other.state.state_hash(), world.state.state_hash());
    }

    #[test]
    fn any_bytes_are_survived(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20)) {
        let mut state = State::default();
        for (index, mut bytes) in entries.into_iter().enumerate() {
            if let Some(first) = bytes.first_mut() {
                *first = 1;
            }
            state.apply(index as u64 + 1, &bytes);
        }
    }

    #[test]
    fn damaged_proposals_are_survived(
        steps in prop::collection::vec(step(), 1..20),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut world = World::new(1 << 20);
        for step in steps {
            world.run(step);
        }
        let join = Command::Join { pid: pid(0), epoch: 1, room: room(0) };
        let origin = Origin::Node { incarnation: LIFE, first_sequence: world.sequence + 1 };
        let mut bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands: vec![join] }).to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let mut twin = through_a_snapshot(&world.state);
        let index = world.index + 1;
        prop_assert_eq!(twin.apply(index, &bytes), world.state.apply(index, &bytes));
        prop_assert_eq!(twin.state_hash(), world.state.state_hash());
    }
}
