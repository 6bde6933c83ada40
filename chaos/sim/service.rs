//! A model of the service floor on one node: real hub, outbox and progress, a simulated transport below them.
//!
//! What is modelled is what the service does with the cluster: read the epoch from the local replica after a read index,
//! propose, replay from the local replica, then live notices; release when the transport is gone. Sockets are visited in
//! the order of their pids, for hash maps have none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use vedfolnir_chaos::MessageId;
use vedfolnir_cluster::state::{
    Command, Effect, EffectAt, Epoch, Incarnation, LogPosition, Offset, Payload, PidHash, Publish, Record, Refusal,
    Register, Response, Resume, ResumeRefusal,
};
use vedfolnir_cluster::{Cluster, Notice, ProposeError};
use vedfolnir_protocol::{EncodedEvent, decode_offset, encode_event, encode_offset};
use vedfolnir_sim_world::hosts::Host;
use vedfolnir_sim_world::{clock, random};

use crate::history::{Recorder, Refused};
use crate::invariants::registry::{Answer, Call};
use crate::pipe::End;
use hub::{Attached, Hub};
use outbox::{Outbox, OutboxLimits};
use progress::Progress;
use session::SessionSocket;

#[allow(dead_code)]
#[path = "../../src/service/hub.rs"]
mod hub;
#[allow(dead_code)]
#[path = "../../src/service/outbox.rs"]
mod outbox;
#[path = "../planted/outbox.rs"]
mod planted;
#[allow(dead_code)]
#[path = "../../src/service/progress.rs"]
mod progress;

/// The namespace of everything.
const NAMESPACE: &str = "/";
/// A client that says nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(4);
/// A replay takes fewer steps than this: the history of a run is not that long.
const REPLAY_STEPS_MAX: usize = 20_000;
/// A linearizable read may take this long.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of history that are pulled at once: little, so that a replay takes several steps.
const REPLAY_BYTES_MAX: usize = 256;

/// What a client says.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Connect { session: Option<PidHash>, offset: Option<String> },
    Join { id: u64, room: u32 },
    Leave { id: u64, room: u32 },
    SetData { id: u64, data: u64 },
    Publish { id: u64, message: MessageId, rooms: Vec<u32>, except: Vec<Arc<str>> },
    Close,
    Ping,
}

/// What it hears.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Connected { recovered: bool, pid: PidHash, sid: Arc<str> },
    Event(Bytes),
    Done { id: u64, done: bool },
    Pong,
}

/// A node's end of a client's connection.
pub(crate) type ServerEnd = End<Reply, Request>;

mod session {
    //! What the hub needs of a socket.

    use super::{AtomicBool, Epoch, Notify, Outbox, PidHash};

    /// One client under one epoch.
    pub(crate) struct SessionSocket {
        pub(crate) pid: PidHash,
        pub(crate) epoch: Epoch,
        pub(crate) outbox: Outbox,
        pub(crate) wake: Notify,
        pub(crate) closed: AtomicBool,
    }
}

impl SessionSocket {
    fn close(&self) {
        self.outbox.close();
        self.closed.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }
}

/// The room's name.
pub(crate) fn room_name(room: u32) -> Arc<str> {
    format!("room-{room}").into()
}

/// The event that carries a message.
fn event_of(message: MessageId) -> Bytes {
    Bytes::from(format!("[\"m\",{},{}]", message.publisher, message.sequence))
}

/// The message that an event carries.
pub(crate) fn message_of(text: &[u8]) -> Option<MessageId> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.split_once("[\"m\",")?.1.trim_end_matches(']').split(',');
    let publisher = parts.next()?.parse().ok()?;
    let sequence = parts.next()?.parse().ok()?;
    Some(MessageId { publisher, sequence })
}

/// The offset at the end of an event.
pub(crate) fn offset_of(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    Some(text.strip_suffix("\"]")?.rsplit_once('"')?.1.to_owned())
}

/// One node's service.
pub(crate) struct Service {
    pub(crate) host: Host,
    pub(crate) cluster: Cluster,
    recorder: Recorder,
    hub: Mutex<Hub<SessionSocket>>,
    progress: Progress,
}

impl Service {
    pub(crate) fn new(host: Host, cluster: Cluster, recorder: Recorder) -> Arc<Self> {
        Arc::new(Self { host, cluster, recorder, hub: Mutex::default(), progress: Progress::default() })
    }

    fn history_id(&self) -> u64 {
        self.cluster.read(|state| state.history_id()).unwrap_or_default()
    }

    /// Every client goes.
    pub(crate) fn let_go(&self) {
        for socket in sorted(self.hub.lock().sockets()) {
            socket.close();
        }
    }
}

fn sorted(mut sockets: Vec<Arc<SessionSocket>>) -> Vec<Arc<SessionSocket>> {
    sockets.sort_by_key(|socket| (socket.pid, socket.epoch));
    sockets
}

/// Takes notices in their order and never waits for a socket.
pub(crate) async fn dispatch(service: Arc<Service>, mut notices: mpsc::Receiver<Notice>) {
    let mut own = service.cluster.incarnation();
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Applied { index, effects, .. } => {
                service.progress.begin(index);
                for effect in effects {
                    carry_out(&service, own, effect);
                }
                complete(&service, index);
            }
            Notice::Resync { applied } => resync(&service, own, applied),
            Notice::Volatile(_) => {}
            Notice::Reincarnated(incarnation) => own = incarnation,
        }
    }
}

fn is_own(owner: Incarnation, own: Incarnation) -> bool {
    owner.node == own.node && owner.generation >= own.generation
}

fn carry_out(service: &Service, own: Incarnation, EffectAt { position, effect }: EffectAt) {
    let close = |socket: Option<Arc<SessionSocket>>| {
        if let Some(socket) = socket {
            socket.close();
        }
    };
    match effect {
        Effect::Deliver { record, .. } => deliver(service, position, &record),
        Effect::Opened(opened) if is_own(opened.owner, own) => {
            service.hub.lock().opened(opened.pid, opened.epoch, &opened.namespace, &opened.rooms);
        }
        Effect::Fenced { pid, owner, epoch } if is_own(owner, own) => close(service.hub.lock().remove(pid, epoch)),
        Effect::Joined { pid, room } => service.hub.lock().joined(pid, &room),
        Effect::Left { pid, room } => service.hub.lock().left(pid, &room),
        Effect::Disconnected { pid, epoch } | Effect::Ended { pid, epoch, .. } => {
            close(service.hub.lock().remove(pid, epoch));
        }
        Effect::NodeDown { incarnation } if is_own(incarnation, own) => {
            for socket in sorted(service.hub.lock().clear()) {
                socket.close();
            }
        }
        Effect::Opened(_)
        | Effect::Fenced { .. }
        | Effect::NodeUp { .. }
        | Effect::NodeDown { .. }
        | Effect::Event(_) => {}
    }
}

fn encode(record: &Record, history: u64, position: LogPosition) -> EncodedEvent {
    let offset = encode_offset(history, position.index, position.ordinal);
    encode_event(&record.namespace, &record.payload.text, &record.payload.attachments, None, Some(&offset))
}

fn deliver(service: &Service, position: LogPosition, record: &Arc<Record>) {
    let event = Arc::new(encode(record, service.history_id(), position));
    let mut sockets = Vec::new();
    service.hub.lock().visit(record, |socket| sockets.push(Arc::clone(socket)));
    for socket in sorted(sockets) {
        socket.outbox.push_live(position, &event, None);
        socket.wake.notify_one();
    }
}

fn complete(service: &Service, index: u64) {
    let gone = service.hub.lock().complete(index);
    for socket in sorted(gone) {
        socket.close();
    }
    service.progress.complete(index);
}

/// A snapshot replaced the state: what the skipped effects would have done is read from it.
fn resync(service: &Service, own: Incarnation, applied: LogPosition) {
    let completed = service.progress.completed();
    service.progress.begin(applied.index);
    let sockets = sorted(service.hub.lock().sockets());
    let mut lost = Vec::new();
    {
        let mut hub = service.hub.lock();
        hub.clear();
        for socket in sockets {
            let session = service.cluster.read(|state| state.session(&socket.pid));
            let owned =
                session.filter(|session| session.connected && session.epoch == socket.epoch && session.owner == own);
            match owned {
                Some(session) => {
                    hub.opened(socket.pid, socket.epoch, &Arc::from(NAMESPACE), &session.rooms);
                    hub.attach(&socket, applied.index);
                    socket.outbox.catch_up(completed);
                    socket.wake.notify_one();
                }
                None => lost.push(socket),
            }
        }
    }
    for socket in lost {
        socket.close();
    }
    complete(service, applied.index);
}

/// Proposes, and records the operation.
async fn operate(service: &Service, pid: PidHash, call: Call, command: Command) -> Result<Response, ProposeError> {
    let ticket = service.cluster.propose(command)?;
    let pending = service.recorder.invoke(pid, call);
    let answered = ticket.await;
    match answered.as_ref().ok().and_then(answer) {
        Some(answer) => pending.answered(answer),
        None => pending.unknown(),
    }
    if answered == Err(ProposeError::ResponseLost) && matches!(call, Call::Register | Call::Resume { .. }) {
        release_if_owned(service, pid).await;
    }
    answered
}

/// An opening whose response is lost may have made this node the owner of a session that nobody holds.
async fn release_if_owned(service: &Service, pid: PidHash) {
    let own = service.cluster.incarnation();
    let session = service.cluster.read(|state| state.session(&pid));
    if let Some(session) = session.filter(|session| session.connected && session.owner == own) {
        Box::pin(release(service, pid, session.epoch)).await;
    }
}

fn answer(response: &Response) -> Option<Answer> {
    Some(match response {
        Response::Registered { epoch, .. } | Response::Resumed { epoch, .. } => Answer::Done(*epoch),
        Response::Done => Answer::Done(0),
        Response::ResumeRefused(ResumeRefusal::Unknown) | Response::Refused(Refusal::UnknownSession) => Answer::Unknown,
        Response::ResumeRefused(ResumeRefusal::EpochMoved) | Response::Refused(Refusal::StaleEpoch) => Answer::Stale,
        Response::ResumeRefused(_) | Response::Refused(_) => Answer::Other,
        Response::Published { .. }
        | Response::Repeated { .. }
        | Response::KvStored { .. }
        | Response::KvDeleted { .. }
        | Response::KvRefused(_)
        | Response::Managed { .. } => return None,
    })
}

struct Opened {
    recovered: bool,
    pid: PidHash,
    sid: Arc<str>,
    epoch: Epoch,
    replay_after: LogPosition,
    position: LogPosition,
}

/// Its old session, or a new one. `None`: the transport closes, the client comes back.
async fn open(service: &Service, session: Option<PidHash>, offset: Option<String>) -> Option<Opened> {
    if let Some(pid) = session {
        service.cluster.read_index(READ_TIMEOUT).await.ok()?;
        let history_id = service.history_id();
        let offset = match offset.map(|text| decode_offset(&text, history_id)).transpose() {
            Ok(at) => at.map(|(index, ordinal)| Offset { history_id, position: LogPosition::new(index, ordinal) }),
            // A replica that is not configured yet knows no history.
            Err(_) if history_id == 0 => return None,
            Err(error) => {
                service.recorder.violation("I3", format!("an offset of {pid:?} is none: {error}"));
                return None;
            }
        };
        let expected = service.cluster.read(|state| state.session_epoch(&pid));
        let command =
            Command::Resume(Resume { pid, namespace: NAMESPACE.into(), user: None, expected_epoch: expected, offset });
        match operate(service, pid, Call::Resume { expected }, command).await.ok()? {
            Response::Resumed { epoch, position, replay_after, sid, .. } => {
                return Some(Opened { recovered: true, pid, sid, epoch, replay_after, position });
            }
            Response::ResumeRefused(refusal) => {
                service.recorder.0.lock().refused.push(Refused { pid, refusal, at_us: clock::now_us() });
                if refusal == ResumeRefusal::EpochMoved {
                    return None;
                }
            }
            _ => return None,
        }
    }
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    let pid = PidHash(bytes);
    let sid: Arc<str> = format!("sid-{:016x}", random::bits()).into();
    let register = Register { pid, sid: Arc::clone(&sid), namespace: NAMESPACE.into(), user: None, data: Bytes::new() };
    match operate(service, pid, Call::Register, Command::Register(register)).await.ok()? {
        Response::Registered { epoch, position, .. } => {
            Some(Opened { recovered: false, pid, sid, epoch, replay_after: position, position })
        }
        _ => None,
    }
}

/// Serves one client's connection.
pub(crate) async fn serve(service: Arc<Service>, end: ServerEnd) {
    let Ok(Some(Request::Connect { session, offset })) = tokio::time::timeout(SILENCE, end.recv()).await else {
        return;
    };
    let readiness = service.cluster.readiness();
    if !readiness.borrow().ready {
        return;
    }
    let Some(opened) = open(&service, session, offset).await else { return };
    let Opened { recovered, pid, sid, epoch, replay_after, position } = opened;
    service.recorder.serves(pid, epoch, service.cluster.incarnation());
    let socket = Arc::new(SessionSocket {
        pid,
        epoch,
        outbox: Outbox::new(OutboxLimits { bytes_max: 2 << 10, frames_max: 64 }, replay_after),
        wake: Notify::new(),
        closed: AtomicBool::new(false),
    });
    let attached = service.hub.lock().attach(&socket, position.index);
    if attached == Attached::Yes {
        end.send(Reply::Connected { recovered, pid, sid });
        converse(&service, &socket, Arc::new(end)).await;
        socket.outbox.close();
    }
    service.hub.lock().detach(pid, epoch);
    release(&service, pid, epoch).await;
}

/// The transport is gone: says so until the cluster has heard it, or the life that served it is over.
async fn release(service: &Service, pid: PidHash, epoch: Epoch) {
    let by = service.cluster.incarnation();
    loop {
        let command = Command::Disconnect { pid, epoch };
        if operate(service, pid, Call::Disconnect { epoch }, command).await != Err(ProposeError::Overloaded) {
            return;
        }
        if service.cluster.incarnation() != by {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Until either side ends it.
async fn converse(service: &Arc<Service>, socket: &Arc<SessionSocket>, end: Arc<ServerEnd>) {
    let mut heard = tokio::time::Instant::now();
    loop {
        if !pump(service, socket, &end) {
            return;
        }
        tokio::select! {
            biased;
            () = socket.wake.notified() => {}
            request = end.recv() => {
                let Some(request) = request else { return };
                heard = tokio::time::Instant::now();
                if !handle(service, socket, &end, request).await {
                    return;
                }
            }
            () = tokio::time::sleep_until(heard + SILENCE) => return,
        }
    }
}

/// Writes what waits and pulls what was missed; false: the session is no longer this socket's.
fn pump(service: &Service, socket: &SessionSocket, end: &ServerEnd) -> bool {
    for _ in 0..REPLAY_STEPS_MAX {
        if socket.closed.load(Ordering::SeqCst) {
            return false;
        }
        let mut frames = Vec::new();
        socket.outbox.take(&mut frames, usize::MAX);
        for event in frames.iter().filter_map(|frame| frame.event()) {
            end.send(Reply::Event(event.text.clone()));
        }
        let Some(cursor) = socket.outbox.pull_from() else { return true };
        let replay = service.cluster.read(|state| {
            let owned = state.session_epoch(&socket.pid) == Some(socket.epoch);
            owned.then(|| state.replay(&socket.pid, cursor, REPLAY_BYTES_MAX)).flatten()
        });
        let Some(replay) = replay.filter(|replay| !replay.hole) else { return false };
        let history = service.history_id();
        let empty = replay.records.is_empty();
        let events = replay.records.iter().map(|(position, record)| (*position, encode(record, history, *position)));
        socket.outbox.replayed(events, replay.reached);
        let complete = planted::complete(replay.complete);
        let live = complete && socket.outbox.try_live(replay.reached, || service.progress.dispatched());
        if live && empty {
            return true;
        }
    }
    service.recorder.violation("I8", format!("the replay of {:?} comes to no end", socket.pid));
    false
}

/// One request; false: it was the last.
async fn handle(service: &Arc<Service>, socket: &Arc<SessionSocket>, end: &Arc<ServerEnd>, request: Request) -> bool {
    let (pid, epoch) = (socket.pid, socket.epoch);
    let (id, command) = match request {
        Request::Ping => {
            end.send(Reply::Pong);
            return true;
        }
        Request::Connect { .. } => return false,
        Request::Close => {
            // What became of it is recorded; the transport is gone in any case.
            let _ = operate(service, pid, Call::Close { epoch }, Command::Close { pid, epoch }).await;
            return false;
        }
        Request::Join { id, room } => (id, Command::Join { pid, epoch, room: room_name(room) }),
        Request::Leave { id, room } => (id, Command::Leave { pid, epoch, room: room_name(room) }),
        Request::SetData { id, data } => {
            (id, Command::SetData { pid, epoch, data: Bytes::copy_from_slice(&data.to_le_bytes()) })
        }
        Request::Publish { id, message, rooms, except } => {
            let payload = Payload { text: event_of(message), attachments: Vec::new() };
            let rooms = rooms.into_iter().map(room_name).collect();
            let record = Arc::new(Record { namespace: NAMESPACE.into(), rooms, except, payload });
            (id, Command::Publish(Publish { from: Some((pid, epoch)), record, trace: None }))
        }
    };
    match service.cluster.propose(command) {
        Ok(ticket) => {
            let end = Arc::clone(end);
            tokio::spawn(async move {
                // Without a response nobody knows whether it was done: nothing is said.
                match ticket.await {
                    Ok(Response::Done | Response::Published { .. }) => end.send(Reply::Done { id, done: true }),
                    Ok(_) => end.send(Reply::Done { id, done: false }),
                    Err(_) => {}
                }
            });
            true
        }
        Err(ProposeError::Overloaded) => true,
        Err(_) => false,
    }
}

/// Looks at one session or another for as long as the node runs.
pub(crate) async fn look_around(service: Arc<Service>) {
    loop {
        tokio::time::sleep(Duration::from_millis(random::between(20, 200))).await;
        if let Some(pid) = service.recorder.any_session() {
            tokio::spawn(look_at(Arc::clone(&service), pid));
        }
    }
}

/// A linearizable read.
async fn look_at(service: Arc<Service>, pid: PidHash) {
    let pending = service.recorder.invoke(pid, Call::Read);
    if service.cluster.read_index(READ_TIMEOUT).await.is_err() {
        return pending.unknown();
    }
    let session = service.cluster.read(|state| state.session(&pid));
    pending.answered(Answer::Seen(session.map(|session| (session.epoch, session.connected))));
}

/// Clients by the connections they asked for, until the node takes them.
#[derive(Default)]
pub(crate) struct Door {
    waiting: Mutex<BTreeMap<u64, ServerEnd>>,
    next: Mutex<u64>,
    bell: Notify,
}

impl Door {
    pub(crate) fn knock(&self, end: ServerEnd) {
        let number = {
            let mut next = self.next.lock();
            *next += 1;
            *next
        };
        self.waiting.lock().insert(number, end);
        self.bell.notify_one();
    }

    pub(crate) async fn next(&self) -> ServerEnd {
        loop {
            if let Some((_, end)) = self.waiting.lock().pop_first() {
                return end;
            }
            self.bell.notified().await;
        }
    }
}
