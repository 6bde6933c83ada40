//! `State::apply`: one entry, every replica, the same result.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::{CodecError, decode_proposal};
use crate::command::{Command, Configuration, NodeInfo, Origin, Proposal, Publish, Register, Resume};
use crate::effect::{Applied, Effect, EffectAt, EndReason, Opened, Outcome};
use crate::event::{EventKind, Events, SessionRef};
use crate::format::Format;
use crate::history::History;
use crate::identifier::{Epoch, Incarnation, LogPosition, NodeId, PidHash};
use crate::kv::Kv;
use crate::limits;
use crate::membership::{KeyHash, Membership, TokenHash};
use crate::node::{Nodes, Up};
use crate::once::Once;
use crate::response::{Refusal, Response, ResumeRefusal};
use crate::room::{EVERYONE, RoomKey, Rooms, is_addressable, is_reserved_room};
use crate::session::{Forgotten, Session, Sessions};
use crate::time::ClusterTime;

/// The replicated state. A clone shares everything and costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) applied_index: u64,
    pub(crate) configuration: Option<Configuration>,
    pub(crate) time: ClusterTime,
    pub(crate) nodes: Nodes,
    pub(crate) sessions: Sessions,
    pub(crate) rooms: Rooms,
    pub(crate) history: History,
    // Tables that came later: a snapshot from before them has them empty.
    #[serde(default)]
    pub(crate) kv: Kv,
    #[serde(default)]
    pub(crate) events: Events,
    #[serde(default)]
    pub(crate) membership: Membership,
    /// The cluster's; a snapshot of format 1 has no word for it, and must have none.
    #[serde(default, skip_serializing_if = "Format::is_first")]
    pub(crate) format: Format,
    /// From [`Format::MANAGED`] on; until it is used, nothing of it is written.
    #[serde(default, skip_serializing_if = "Once::is_untouched")]
    pub(crate) once: Once,
}

/// Where the commands of an entry put their effects.
pub(crate) struct Effects {
    list: Vec<EffectAt>,
    pub(crate) position: LogPosition,
    /// Events of the present command.
    events: u32,
}

impl Effects {
    /// Of one command.
    pub(crate) fn at(position: LogPosition) -> Self {
        Self { list: Vec::new(), position, events: 0 }
    }

    /// Nobody is there to hear them.
    pub(crate) fn forget(&mut self) {
        self.list.clear();
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(EffectAt { position: self.position, effect });
    }

    fn begin(&mut self, position: LogPosition) {
        self.position = position;
        self.events = 0;
    }

    /// The ordinal of one more event of the present command.
    pub(crate) fn next_event(&mut self) -> u32 {
        let ordinal = self.events;
        self.events = self.events.saturating_add(1);
        ordinal
    }
}

impl State {
    /// Applies one entry. Total: whatever the bytes are, it returns, and it returns the same everywhere.
    pub fn apply(&mut self, index: u64, bytes: &[u8]) -> Applied {
        self.applied_index = index;
        match decode_proposal(bytes) {
            Ok(proposal) => self.apply_proposal(index, proposal),
            Err(CodecError::UnknownVersion(version)) => {
                Applied { origin: None, outcome: Outcome::UnknownVersion { version }, effects: Vec::new() }
            }
            Err(_) => Applied { origin: None, outcome: Outcome::Malformed, effects: Vec::new() },
        }
    }

    /// An entry without commands.
    pub fn apply_empty(&mut self, index: u64) {
        self.applied_index = index;
    }

    fn apply_proposal(&mut self, index: u64, proposal: Proposal) -> Applied {
        let origin = proposal.origin;
        let refused = |outcome| Applied { origin: Some(origin), outcome, effects: Vec::new() };
        let (owner, skipped) = match origin {
            Origin::System => (None, 0),
            Origin::Node { incarnation, first_sequence } => {
                let Some(last) = self.nodes.last_sequence(incarnation) else { return refused(Outcome::NotLive) };
                let expected = last.saturating_add(1);
                if first_sequence > expected {
                    return refused(Outcome::Gap { expected });
                }
                let known = (expected - first_sequence).min(proposal.commands.len() as u64);
                #[cfg(feature = "planted-bugs")]
                let known = crate::planted::known(known);
                (Some((incarnation, first_sequence)), known as usize)
            }
        };
        let count = proposal.commands.len();
        let mut effects =
            Effects { list: Vec::with_capacity(count - skipped), position: LogPosition::new(index, 0), events: 0 };
        let mut responses = Vec::with_capacity(count - skipped);
        for (ordinal, command) in proposal.commands.into_iter().enumerate().skip(skipped) {
            effects.begin(LogPosition::new(index, u32::try_from(ordinal).unwrap_or(u32::MAX)));
            responses.push(match owner {
                None => self.execute_system(command, &mut effects),
                Some((incarnation, first_sequence)) => {
                    self.nodes.set_last_sequence(incarnation, first_sequence.saturating_add(ordinal as u64));
                    self.execute(incarnation, command, &mut effects)
                }
            });
        }
        Applied { origin: Some(origin), outcome: Outcome::Executed { skipped, responses }, effects: effects.list }
    }

    fn execute_system(&mut self, command: Command, effects: &mut Effects) -> Response {
        match command {
            Command::Configure(configuration) => self.configure(configuration),
            Command::NodeUp { incarnation, info } => self.node_up(incarnation, info, effects),
            Command::NodeDown { incarnation } => {
                self.node_down(incarnation, effects);
                Response::Done
            }
            Command::Tick { elapsed_ms } => self.tick(elapsed_ms, effects),
            Command::AddJoinToken { token, ttl_ms } => self.add_join_token(token, ttl_ms),
            Command::UseJoinToken { token, node, key } => self.use_join_token(&token, node, key),
            Command::RemoveNode { node } => self.remove_node(node, effects),
            Command::RaiseFormat { format } => {
                self.raise_format(format, effects);
                Response::Done
            }
            _ => Response::Refused(Refusal::NotAllowed),
        }
    }

    fn execute(&mut self, owner: Incarnation, command: Command, effects: &mut Effects) -> Response {
        match command {
            Command::Register(register) => self.register(owner, register, effects),
            Command::Resume(resume) => self.resume(owner, resume, effects),
            Command::Disconnect { pid, epoch } => self.disconnect(owner, pid, epoch, effects),
            Command::Close { pid, epoch } => self.close(owner, pid, epoch, effects),
            Command::Join { pid, epoch, room } => self.join(owner, pid, epoch, room, effects),
            Command::Leave { pid, epoch, room } => self.leave(owner, pid, epoch, &room, effects),
            Command::SetData { pid, epoch, data } => {
                if data.len() > limits::DATA_BYTES_MAX {
                    return Response::Refused(Refusal::LimitExceeded);
                }
                match self.authorise(owner, &pid, epoch) {
                    Err(refusal) => Response::Refused(refusal),
                    Ok(session) => {
                        session.data = data;
                        Response::Done
                    }
                }
            }
            Command::Publish(publish) => self.publish(owner, publish, effects),
            Command::PublishOnce(once) => self.publish_once(owner, once, effects),
            Command::KvPut(put) => self.kv.put(put, effects.position, self.time.now_ms()),
            Command::KvDelete(delete) => self.kv.delete(&delete, self.time.now_ms()),
            Command::Manage(manage) => self.manage(manage, effects),
            Command::Configure(_)
            | Command::NodeUp { .. }
            | Command::NodeDown { .. }
            | Command::Tick { .. }
            | Command::AddJoinToken { .. }
            | Command::UseJoinToken { .. }
            | Command::RemoveNode { .. }
            | Command::RaiseFormat { .. } => Response::Refused(Refusal::NotAllowed),
        }
    }

    fn configure(&mut self, mut configuration: Configuration) -> Response {
        if let Some(known) = &self.configuration {
            configuration.history_id = known.history_id;
            configuration.sid_key = known.sid_key;
        }
        self.configuration = Some(configuration);
        self.prune(limits::PRUNED_PER_TICK_MAX);
        Response::Done
    }

    fn node_up(&mut self, incarnation: Incarnation, info: NodeInfo, effects: &mut Effects) -> Response {
        let fields = [&info.url, &info.admin_url, &info.cluster_addr, &info.server_id, &info.version];
        if fields.into_iter().any(|field| field.len() > limits::NODE_FIELD_BYTES_MAX) {
            return Response::Refused(Refusal::LimitExceeded);
        }
        if self.membership.is_removed(incarnation.node) {
            return Response::Refused(Refusal::NotAllowed);
        }
        match self.nodes.judge_up(incarnation) {
            Up::Refused => return Response::Refused(Refusal::NotAllowed),
            Up::Already => return Response::Done,
            Up::Begins(Some(older)) => self.node_down(older, effects),
            Up::Begins(None) => {}
        }
        self.nodes.up(incarnation, info.clone());
        effects.push(Effect::NodeUp { incarnation, info });
        Response::Done
    }

    fn node_down(&mut self, incarnation: Incarnation, effects: &mut Effects) {
        if !self.nodes.down(incarnation) {
            return;
        }
        let deadline = self.deadline_ms();
        let orphans: Vec<PidHash> = self.sessions.owned_by(incarnation).collect();
        for pid in orphans {
            self.lose_transport(pid, deadline, true, effects);
        }
        effects.push(Effect::NodeDown { incarnation });
    }

    fn tick(&mut self, elapsed_ms: u32, effects: &mut Effects) -> Response {
        self.time.advance(elapsed_ms);
        for _ in 0..limits::EXPIRED_PER_TICK_MAX {
            match self.sessions.first_deadline() {
                Some((deadline, pid)) if deadline <= self.time.now_ms() => self.end(pid, EndReason::Expired, effects),
                _ => break,
            }
        }
        self.adopt_some(effects);
        self.prune(limits::PRUNED_PER_TICK_MAX);
        self.kv.expire(self.time.now_ms());
        self.events.prune(self.time.now_ms(), limits::EVENTS_PRUNED_PER_TICK_MAX);
        self.once.prune(self.time.now_ms(), limits::ONCE_PRUNED_PER_TICK_MAX, limits::ONCE_KEYS_MAX);
        self.membership.forget_tokens(self.time.now_ms());
        Response::Done
    }

    fn add_join_token(&mut self, token: TokenHash, ttl_ms: u64) -> Response {
        if ttl_ms <= limits::JOIN_TOKEN_TTL_MS_MAX && self.membership.add_token(token, self.time.now_ms(), ttl_ms) {
            Response::Done
        } else {
            Response::Refused(Refusal::LimitExceeded)
        }
    }

    fn use_join_token(&mut self, token: &TokenHash, node: NodeId, key: KeyHash) -> Response {
        if self.membership.use_token(token, self.time.now_ms(), node, key) {
            Response::Done
        } else {
            Response::Refused(Refusal::NotAllowed)
        }
    }

    fn remove_node(&mut self, node: NodeId, effects: &mut Effects) -> Response {
        if let Some((incarnation, true)) = self.nodes.incarnation(node) {
            self.node_down(incarnation, effects);
        }
        self.nodes.forget(node);
        self.membership.remove_node(node);
        Response::Done
    }

    fn register(&mut self, owner: Incarnation, register: Register, effects: &mut Effects) -> Response {
        let Register { pid, sid, namespace, user, data } = &register;
        let names = [Some(sid), Some(namespace), user.as_ref()];
        let unfit = names.into_iter().flatten().any(|name| name.len() > limits::NAME_BYTES_MAX)
            || sid.is_empty()
            || self.is_own_room(sid)
            || data.len() > limits::DATA_BYTES_MAX
            || self.sessions.len() >= limits::SESSIONS_MAX;
        if unfit {
            return Response::Refused(Refusal::LimitExceeded);
        }
        if self.sessions.get(pid).is_some() || self.sessions.by_sid(namespace, sid).is_some() {
            return Response::Refused(Refusal::Duplicate);
        }
        let position = effects.position;
        let everyone = self.rooms.intern((register.namespace, Arc::from(EVERYONE)));
        let register = Register { namespace: Arc::clone(&everyone.0), ..register };
        let (pid, sid, namespace) = (register.pid, Arc::clone(&register.sid), Arc::clone(&register.namespace));
        let session = Session::open(register, owner, position, Arc::clone(&everyone.1));
        for key in [&everyone, &(Arc::clone(&namespace), Arc::clone(&sid))] {
            self.rooms.enter(key, pid, session.user.as_ref(), true);
        }
        let user_sessions = session.user.as_ref().map_or(0, |user| self.rooms.sessions_of(&everyone, user));
        self.sessions.insert(pid, session);
        self.enter_user_room(&pid, position);
        let rooms = self.sessions.get(&pid).map(Session::heard_rooms).unwrap_or_default();
        effects.push(Effect::Opened(Opened { pid, sid, namespace, owner, epoch: 1, rooms, replay_after: position }));
        Response::Registered { epoch: 1, position, user_sessions }
    }

    fn resume(&mut self, owner: Incarnation, resume: Resume, effects: &mut Effects) -> Response {
        let position = effects.position;
        let Some(session) = self.sessions.get(&resume.pid) else {
            return Response::ResumeRefused(ResumeRefusal::Unknown);
        };
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_spent(session.epoch) {
            return Response::ResumeRefused(ResumeRefusal::Unknown);
        }
        let foreign = session.user != resume.user || session.namespace != resume.namespace;
        #[cfg(feature = "planted-bugs")]
        let foreign = crate::planted::foreign(foreign);
        if foreign {
            return Response::ResumeRefused(ResumeRefusal::Foreign);
        }
        let moved = resume.expected_epoch != Some(session.epoch);
        #[cfg(feature = "planted-bugs")]
        let moved = crate::planted::moved(moved);
        if moved {
            return Response::ResumeRefused(ResumeRefusal::EpochMoved);
        }
        let replay_after = match resume.offset {
            None => session.started(),
            Some(offset) => {
                // A position of another history is one of this only as far as the two are one: what followed there is
                // not what followed here under the same number.
                let own = self.history_id() == Some(offset.history_id) && offset.position <= position;
                if !own && !self.history.shares(offset.history_id, offset.position) {
                    return Response::ResumeRefused(ResumeRefusal::BadOffset);
                }
                offset.position.max(session.started())
            }
        };
        if self.has_hole(session, replay_after) {
            return Response::ResumeRefused(ResumeRefusal::Hole);
        }
        let (old_owner, old_epoch) = (session.owner, session.epoch);
        let was_connected = session.deadline_ms.is_none();
        let epoch = old_epoch.saturating_add(1);
        #[cfg(feature = "planted-bugs")]
        let epoch = crate::planted::next_epoch(old_epoch, epoch);
        let (sid, rooms, data) = (Arc::clone(&session.sid), session.rooms(), session.data.clone());
        self.enter_user_room(&resume.pid, position);
        let heard_rooms = self.sessions.get(&resume.pid).map(Session::heard_rooms).unwrap_or_default();
        self.sessions.change(&resume.pid, |session| {
            session.epoch = epoch;
            session.owner = owner;
            session.deadline_ms = None;
        });
        if was_connected {
            effects.push(Effect::Fenced { pid: resume.pid, owner: old_owner, epoch: old_epoch });
        }
        effects.push(Effect::Opened(Opened {
            pid: resume.pid,
            sid: Arc::clone(&sid),
            namespace: resume.namespace,
            owner,
            epoch,
            rooms: heard_rooms,
            replay_after,
        }));
        Response::Resumed { epoch, position, replay_after, sid, rooms, data }
    }

    fn disconnect(&mut self, owner: Incarnation, pid: PidHash, epoch: Epoch, effects: &mut Effects) -> Response {
        if let Err(refusal) = self.authorise(owner, &pid, epoch) {
            return Response::Refused(refusal);
        }
        self.lose_transport(pid, self.deadline_ms(), false, effects);
        Response::Done
    }

    pub(crate) fn lose_transport(&mut self, pid: PidHash, deadline_ms: u64, node_down: bool, effects: &mut Effects) {
        self.sessions.change(&pid, |session| session.deadline_ms = Some(deadline_ms));
        let Some(session) = self.sessions.get(&pid) else { return };
        let (owner, session) = (session.owner, SessionRef::of(session));
        effects.push(Effect::Disconnected { pid, epoch: session.epoch });
        self.say(EventKind::Disconnected { session, owner, node_down }, effects);
    }

    fn close(&mut self, owner: Incarnation, pid: PidHash, epoch: Epoch, effects: &mut Effects) -> Response {
        if let Err(refusal) = self.authorise(owner, &pid, epoch) {
            return Response::Refused(refusal);
        }
        self.end(pid, EndReason::Closed, effects);
        Response::Done
    }

    fn join(
        &mut self,
        owner: Incarnation,
        pid: PidHash,
        epoch: Epoch,
        room: Arc<str>,
        effects: &mut Effects,
    ) -> Response {
        match self.authorise(owner, &pid, epoch) {
            Err(refusal) => Response::Refused(refusal),
            Ok(_) => self.enter(pid, room, effects),
        }
    }

    /// A session enters a room, whoever wants it so.
    pub(crate) fn enter(&mut self, pid: PidHash, room: Arc<str>, effects: &mut Effects) -> Response {
        let position = effects.position;
        self.forget_old_stays(&pid);
        if room.is_empty() || room.len() > limits::NAME_BYTES_MAX {
            return Response::Refused(Refusal::LimitExceeded);
        }
        if self.is_own_room(&room) {
            return Response::Refused(Refusal::NotAllowed);
        }
        let Some(session) = self.sessions.get(&pid) else { return Response::Refused(Refusal::UnknownSession) };
        if session.is_member(&room) {
            return Response::Done;
        }
        if session.stays_len() >= limits::STAYS_PER_SESSION_MAX {
            return Response::Refused(Refusal::LimitExceeded);
        }
        let (namespace, user) = (Arc::clone(&session.namespace), session.user.clone());
        let key = self.rooms.intern((namespace, room));
        let room = Arc::clone(&key.1);
        let Some(session) = self.sessions.get_mut(&pid) else { return Response::Refused(Refusal::UnknownSession) };
        let first_stay = session.join(Arc::clone(&room), position);
        self.rooms.enter(&key, pid, user.as_ref(), first_stay);
        effects.push(Effect::Joined { pid, room });
        self.say_if_occupied(&key, effects);
        Response::Done
    }

    fn leave(
        &mut self,
        owner: Incarnation,
        pid: PidHash,
        epoch: Epoch,
        room: &Arc<str>,
        effects: &mut Effects,
    ) -> Response {
        match self.authorise(owner, &pid, epoch) {
            Err(refusal) => Response::Refused(refusal),
            Ok(_) => self.exit(pid, room, effects),
        }
    }

    /// A session leaves a room, whoever wants it so.
    pub(crate) fn exit(&mut self, pid: PidHash, room: &Arc<str>, effects: &mut Effects) -> Response {
        let position = effects.position;
        let is_own = self.is_own_room(room);
        let Some(session) = self.sessions.get(&pid) else { return Response::Refused(Refusal::UnknownSession) };
        if is_own || room.as_ref() == EVERYONE || *room == session.sid {
            return Response::Refused(Refusal::NotAllowed);
        }
        if !session.is_member(room) {
            return Response::Done;
        }
        let Some(session) = self.sessions.get_mut(&pid) else { return Response::Refused(Refusal::UnknownSession) };
        session.leave(room, position);
        let (key, user) = ((Arc::clone(&session.namespace), Arc::clone(room)), session.user.clone());
        self.rooms.leave(&key, &pid, user.as_ref());
        self.forget_old_stays(&pid);
        effects.push(Effect::Left { pid, room: Arc::clone(room) });
        self.say_if_vacated(&key, effects);
        Response::Done
    }

    pub(crate) fn publish(&mut self, owner: Incarnation, publish: Publish, effects: &mut Effects) -> Response {
        if let Some((pid, epoch)) = publish.from {
            let now_ms = self.time.now_ms();
            let is_noted = self.format >= Format::MANAGED;
            match self.authorised(owner, &pid, epoch) {
                Err(refusal) => return Response::Refused(refusal),
                // Most have published since the last tick: nothing to write, and no table to find it in once more.
                Ok(session) if !is_noted || session.last_active_ms == now_ms => {}
                Ok(_) => {
                    if let Some(session) = self.sessions.get_mut(&pid) {
                        session.last_active_ms = now_ms;
                    }
                }
            }
        }
        let record = publish.record;
        let attached: usize = record.payload.attachments.iter().map(|attachment| attachment.len()).sum();
        let is_managed = self.format >= Format::MANAGED;
        let names = || record.rooms.iter().chain(&record.except);
        let is_unfit = |name: &str| name.is_empty() || name.len() > limits::NAME_BYTES_MAX;
        let unfit = record.payload.text.len() + attached > limits::PAYLOAD_BYTES_MAX
            || record.rooms.len() > limits::ROOMS_PER_RECORD_MAX
            || record.except.len() > limits::ROOMS_PER_RECORD_MAX
            || is_unfit(&record.namespace)
            || names().any(|name| if is_managed { !is_addressable(name) } else { is_unfit(name) });
        if unfit {
            return Response::Refused(Refusal::LimitExceeded);
        }
        let position = effects.position;
        let heard_in = room_keys(&record).iter().map(|key| self.rooms.said(key, position)).collect();
        self.history.push(position, Arc::clone(&record), heard_in, self.time.now_ms());
        self.prune(limits::PRUNED_PER_PUBLISH_MAX);
        effects.push(Effect::Deliver { record, trace: publish.trace });
        Response::Published { position }
    }

    /// The session, if this life of a node owns it under this epoch and it is connected.
    fn authorised(&self, owner: Incarnation, pid: &PidHash, epoch: Epoch) -> Result<&Session, Refusal> {
        match self.sessions.get(pid) {
            None => Err(Refusal::UnknownSession),
            Some(session) if session.owner != owner || session.epoch != epoch || session.deadline_ms.is_some() => {
                Err(Refusal::StaleEpoch)
            }
            Some(session) => Ok(session),
        }
    }

    /// The same, to change it.
    fn authorise(&mut self, owner: Incarnation, pid: &PidHash, epoch: Epoch) -> Result<&mut Session, Refusal> {
        self.authorised(owner, pid, epoch)?;
        self.sessions.get_mut(pid).ok_or(Refusal::UnknownSession)
    }

    /// Whether a room is the server's own, as rooms are since formats have a word for it.
    fn is_own_room(&self, room: &str) -> bool {
        self.format >= Format::MANAGED && is_reserved_room(room)
    }

    pub(crate) fn end(&mut self, pid: PidHash, reason: EndReason, effects: &mut Effects) {
        let Some(session) = self.sessions.remove(&pid) else { return };
        for (room, _) in session.stays_by_room() {
            let key = (Arc::clone(&session.namespace), Arc::clone(room));
            self.rooms.forget(&key, &pid, session.user.as_ref());
        }
        effects.push(Effect::Ended { pid, epoch: session.epoch, reason });
        let ended = SessionRef::of(&session);
        let kind = match reason {
            EndReason::Closed => EventKind::Closed { session: ended },
            EndReason::Expired => EventKind::Expired { session: ended },
        };
        self.say_ended(&session, kind, effects);
    }

    /// Stays that ended below the history's floor are of no use; what may have been dropped in them is remembered.
    pub(crate) fn forget_old_stays(&mut self, pid: &PidHash) {
        let retained_from = self.history.oldest();
        let Some(session) = self.sessions.get_mut(pid) else { return };
        while let Some(Forgotten { room, joined, left, last }) = session.forget_stay(retained_from) {
            let key: RoomKey = (Arc::clone(&session.namespace), room);
            let pruned = self.rooms.pruned_for(&key, &session.sid);
            if let Some(pruned) = pruned.filter(|pruned| *pruned > joined) {
                session.raise_pruned_visible(pruned.min(left));
            }
            if last {
                self.rooms.forget(&key, pid, session.user.as_ref());
            }
        }
    }

    /// Drops what the bounds do not allow to be kept, so much at once; the next publish or tick goes on.
    fn prune(&mut self, records_max: usize) {
        let Some(configuration) = &self.configuration else { return };
        let (age, bytes) = (configuration.history_age_ms_max, configuration.history_bytes_max);
        for _ in 0..records_max {
            let Some(dropped) = self.history.prune_one(self.time.now_ms(), age, bytes) else { break };
            for (key, room) in room_keys(&dropped.record).iter().zip(&dropped.heard_in) {
                if let Some(room) = room {
                    self.rooms.pruned(key, *room, dropped.position, &dropped.record.except);
                }
            }
        }
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        let window = self.configuration.as_ref().map_or(0, |configuration| configuration.recovery_window_ms);
        self.time.now_ms().saturating_add(window)
    }
}

/// The rooms that a record is said to; each once.
pub(crate) fn room_keys(record: &crate::command::Record) -> Vec<RoomKey> {
    if record.rooms.is_empty() {
        return vec![(Arc::clone(&record.namespace), Arc::from(EVERYONE))];
    }
    let mut keys: Vec<RoomKey> =
        record.rooms.iter().map(|room| (Arc::clone(&record.namespace), Arc::clone(room))).collect();
    if keys.len() > 1 {
        keys.sort_unstable();
        keys.dedup();
    }
    keys
}
