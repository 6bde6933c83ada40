//! CONNECT: who it is, then its old session or a new one, committed before the client hears of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::digest;
use vedfolnir_cluster::state::{Command, Offset, PidHash, Register, Response, Resume, ResumeRefusal};
use vedfolnir_cluster::state::{LogPosition, Refusal};
use vedfolnir_cluster::{ProposeError, ReadError};
use vedfolnir_protocol::{OffsetError, decode_offset, recovery_of};

use super::Inner;
use super::hub::Attached;
use super::journal::ResumeOutcome;
use super::link::{CloseCause, Link};
use super::random;
use super::release::{self, Opening};
use super::session::{OpenedSession, SessionSocket};
use super::session_data::{self, Notes};
use super::stats::ServiceStats;
use super::traced;
use crate::app::{ConnectAccept, ConnectRefusal, Handshake, Namespace, RequestInfo, Socket};
use crate::observability::traces::Parent;
use crate::security::auth::Identity;
use crate::security::events::{ConnectionScope, SecurityEvent};
use crate::security::guard::{self, Unidentified};

/// What a CONNECT came to.
pub(crate) enum Connected {
    /// The session is committed and its socket attached.
    Accepted {
        /// The socket; it is released if nobody takes it over.
        socket: SocketGuard,
        /// The bearer secret that the client resumes with; `None`: it does not recover here.
        pid: Option<String>,
        /// How long the client's token is good; `None`: it has none, or it does not expire.
        remaining: Option<Duration>,
    },
    /// `44`: final.
    Refused(ConnectRefusal),
    /// The transport closes; the client comes back.
    Close(CloseCause),
}

/// A socket that is released when it is dropped before the driver has taken it over.
pub(crate) struct SocketGuard(Option<Arc<SessionSocket>>);

impl SocketGuard {
    pub(crate) fn take_over(mut self) -> Option<Arc<SessionSocket>> {
        self.0.take()
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            release::unheard_socket(&socket);
        }
    }
}

/// Runs the namespace's middleware, then resumes or registers. While there is no quorum it waits, up to the connect
/// time-out.
pub(crate) async fn connect(
    service: Arc<Inner>,
    namespace: Arc<Namespace>,
    link: Arc<Link>,
    handshake: Handshake,
    notes: Option<Notes>,
) -> Connected {
    let timeout = service.config.connect_timeout;
    match tokio::time::timeout(timeout, open(service, namespace, link, handshake, notes)).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(cause)) => Connected::Close(cause),
        Err(_) => Connected::Close(CloseCause::NotOpened),
    }
}

async fn open(
    service: Arc<Inner>,
    namespace: Arc<Namespace>,
    link: Arc<Link>,
    mut handshake: Handshake,
    notes: Option<Notes>,
) -> Result<Connected, CloseCause> {
    let recovers = recovers(&namespace, &handshake.request);
    let (pid, offset) = match &handshake.auth {
        Some(auth) if recovers => recovery_of(auth),
        _ => (None, None),
    };
    let address = handshake.request.remote.ip();
    let trace = match &service.config.tracer {
        Some(_) => traced::parent_of(&handshake.request, handshake.auth.as_deref()),
        None => None,
    };
    let identity = match service.guard.identify(&mut handshake).await {
        Ok(identity) => identity,
        Err(Unidentified::Refused(refusal)) => return Ok(Connected::Refused(refusal)),
        Err(Unidentified::NotNow) => return Err(CloseCause::NotOpened),
    };
    let mut accept = match namespace.connect(handshake).await {
        Ok(accept) => accept,
        Err(refusal) if refusal.is_for_now => return Err(CloseCause::NotOpened),
        Err(refusal) => return Ok(Connected::Refused(refusal)),
    };
    // Who the token names stands, whatever the application says: the policy goes by it as well.
    accept.user = identity.as_ref().and_then(|identity| identity.user().cloned()).or(accept.user);
    let brought = pid.is_some();
    if let Some(pid) = pid
        && let Some((opened, position)) =
            timed(&service, resume(&service, &namespace, &accept, &pid, offset.as_deref())).await?
    {
        return attach(service, namespace, link, Owner { opened, identity, trace, recovers }, position, Some(pid));
    }
    if brought && postpones(&service) {
        // Its session is gone, so it is a newcomer.
        return Err(CloseCause::Crowded);
    }
    let user = accept.user.clone();
    let refused = || Connected::Refused(too_many_of_user(&service, address));
    if has_enough_sessions(&service, &namespace, user.as_ref()) {
        return Ok(refused());
    }
    let rooms = std::mem::take(&mut accept.rooms);
    let registered = register(&service, &namespace, accept, notes).await?;
    let Registered { pid, opened, position, user_sessions } = registered;
    if is_beyond_limit(&service, user_sessions) {
        release::unheard(&service, opened.pid, opened.epoch);
        return Ok(refused());
    }
    let connected = attach(service, namespace, link, Owner { opened, identity, trace, recovers }, position, Some(pid))?;
    enter(&connected, rooms).await?;
    Ok(connected)
}

/// A new session enters the rooms that it is let into, before its client hears of it. One that cannot ends: its client comes
/// back.
async fn enter(connected: &Connected, rooms: Vec<Arc<str>>) -> Result<(), CloseCause> {
    let Connected::Accepted { socket: SocketGuard(Some(socket)), .. } = connected else { return Ok(()) };
    let socket = Socket::new(Arc::clone(socket));
    // All are proposed before the first is waited for.
    let changes: Vec<_> = rooms.into_iter().map(|room| socket.join(room)).collect();
    for change in changes {
        if let Err(error) = change.await {
            tracing::warn!(%error, "a new session could not enter the rooms that it was to be in");
            return Err(CloseCause::NotOpened);
        }
    }
    Ok(())
}

/// Whether a user has as many sessions as one may, by what this node's replica knows: what is plain needs no commit. Only
/// [`is_beyond_limit`] decides.
fn has_enough_sessions(service: &Inner, namespace: &Namespace, user: Option<&Arc<str>>) -> bool {
    let Some((user, max)) = user.zip(service.guard.sessions_per_user()) else { return false };
    service.cluster.read(|state| state.user_sessions(namespace.shared_name(), None, user)) >= u64::from(max)
}

/// Whether a new session is one too many of its user, by its rank in the log: of those that come at one moment on several
/// nodes, the first ones in the order stay. A resume brings none, so it is never refused for that.
fn is_beyond_limit(service: &Inner, user_sessions: u64) -> bool {
    service.guard.sessions_per_user().is_some_and(|max| user_sessions > u64::from(max))
}

fn too_many_of_user(service: &Inner, address: IpAddr) -> ConnectRefusal {
    let event = SecurityEvent::ConnectionLimit(ConnectionScope::User);
    service.guard.event(event, address, "a user has as many sessions as one may");
    ConnectRefusal::with_code(event.message(), "too_many_connections")
}

/// A session as it was opened, and who has it.
struct Owner {
    opened: OpenedSession,
    identity: Option<Arc<Identity>>,
    trace: Option<Parent>,
    recovers: bool,
}

fn attach(
    service: Arc<Inner>,
    namespace: Arc<Namespace>,
    link: Arc<Link>,
    owner: Owner,
    position: LogPosition,
    pid: Option<String>,
) -> Result<Connected, CloseCause> {
    let Owner { opened, identity, trace, recovers } = owner;
    let pid = pid.filter(|_| recovers);
    let remaining = identity.as_ref().and_then(|identity| identity.remaining(guard::unix_now()));
    let socket = Arc::new(SessionSocket::new(Arc::clone(&service), namespace, link, opened, identity, trace, recovers));
    let attached = service.hub.write().attach(&socket, position.index);
    let socket = SocketGuard(Some(socket));
    match attached {
        Attached::Yes => Ok(Connected::Accepted { socket, pid, remaining }),
        // Fenced already: its release is refused by epoch.
        Attached::Gone => Err(CloseCause::Fenced),
    }
}

/// Counts a resume for as long as it is under way, however it ends.
struct UnderWay<'a>(&'a Inner);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        ServiceStats::less(&self.0.stats.resumes_active);
    }
}

/// Whether a client of that connection can resume in the namespace, and its events say by which offset.
fn recovers(namespace: &Namespace, request: &RequestInfo) -> bool {
    namespace.recovery() && !request.declines_recovery()
}

/// Whether a CONNECT brings no session, and there is no room for a new one. The client has not been told anything yet: its
/// transport closes, and it comes back by itself.
pub(super) fn is_postponed(service: &Inner, namespace: &Namespace, request: &RequestInfo, auth: Option<&[u8]>) -> bool {
    let brings = recovers(namespace, request) && auth.is_some_and(|auth| recovery_of(auth).0.is_some());
    !brings && postpones(service)
}

fn postpones(service: &Inner) -> bool {
    let crowded = service.is_crowded();
    if crowded {
        ServiceStats::one(&service.stats.newcomers_postponed_total);
    }
    crowded
}

async fn timed<T>(service: &Inner, resume: impl Future<Output = T>) -> T {
    let began = Instant::now();
    ServiceStats::one(&service.stats.resumes_active);
    let under_way = UnderWay(service);
    let resumed = resume.await;
    drop(under_way);
    service.stats.distributions.resumes.observe_time(began.elapsed());
    resumed
}

/// The session that the client asks for; `None`: it cannot have it, a new one is honest.
async fn resume(
    service: &Arc<Inner>,
    namespace: &Namespace,
    accept: &ConnectAccept,
    pid_text: &str,
    offset: Option<&str>,
) -> Result<Option<(OpenedSession, LogPosition)>, CloseCause> {
    let stats = &service.stats;
    let pid = hash(pid_text);
    let mut attempt = service.journal.attempt(pid);
    // A client may be here before this replica has applied what it was told elsewhere: its session's opening, or its last
    // resume. An epoch from before that is one that moved, and the session would be refused to its only owner.
    service.cluster.read_index(service.config.connect_timeout).await.map_err(unread)?;
    let offset = match offset.map(|text| offset_of(service, text)).transpose() {
        Ok(offset) => offset,
        Err(error) => {
            ServiceStats::one(&stats.resumes_bad_offset_total);
            attempt.note.outcome = ResumeOutcome::BadOffset;
            tracing::debug!(%error, "a client resumed with an offset that is none of this history");
            return Ok(None);
        }
    };
    attempt.note.from = offset.map(|offset| offset.position);
    let expected_epoch = service.cluster.read(|state| state.session_epoch(&pid));
    let command = Command::Resume(Resume {
        pid,
        namespace: Arc::clone(namespace.shared_name()),
        user: accept.user.clone(),
        expected_epoch,
        offset,
    });
    match propose(service, pid, command).await? {
        Response::Resumed { epoch, position, replay_after, sid, data, .. } => {
            ServiceStats::one(&stats.resumes_recovered_total);
            attempt.note.outcome = ResumeOutcome::Recovered;
            attempt.note.recovered = Some((epoch, position, replay_after));
            let (user, data) = (accept.user.clone(), session_data::app(&data));
            Ok(Some((OpenedSession { pid, epoch, sid, user, data, replay_after }, position)))
        }
        Response::ResumeRefused(refusal) => {
            let counter = match refusal {
                ResumeRefusal::Unknown => &stats.resumes_unknown_total,
                ResumeRefusal::EpochMoved => &stats.resumes_epoch_moved_total,
                ResumeRefusal::Foreign => &stats.resumes_foreign_total,
                ResumeRefusal::BadOffset => &stats.resumes_bad_offset_total,
                ResumeRefusal::Hole => &stats.resumes_hole_total,
            };
            ServiceStats::one(counter);
            attempt.note.outcome = refusal.into();
            match refusal {
                ResumeRefusal::EpochMoved => return Err(CloseCause::Fenced),
                ResumeRefusal::Foreign => {
                    tracing::warn!(
                        event_type = "session_hijack_suspected",
                        ?pid,
                        "security: a session was asked for by another user or in another namespace"
                    );
                }
                ResumeRefusal::Unknown | ResumeRefusal::BadOffset | ResumeRefusal::Hole => {}
            }
            Ok(None)
        }
        response => {
            tracing::warn!(?pid, ?response, "a resume was answered with something else");
            Err(CloseCause::NotOpened)
        }
    }
}

/// The place in this history or, since a backup was restored, in one that it goes on from; how far that is good is the
/// state's to say.
pub(crate) fn offset_of(service: &Inner, text: &str) -> Result<Offset, OffsetError> {
    let of = |history_id| {
        decode_offset(text, history_id)
            .map(|(index, ordinal)| Offset { history_id, position: LogPosition::new(index, ordinal) })
    };
    of(service.history_id()).or_else(|error| match error {
        OffsetError::Foreign => {
            service.cluster.read(|state| state.ancestor_ids().find_map(|history_id| of(history_id).ok())).ok_or(error)
        }
        OffsetError::Garbage => Err(error),
    })
}

/// A new session, committed.
struct Registered {
    /// The bearer secret.
    pid: String,
    opened: OpenedSession,
    /// Where in the log.
    position: LogPosition,
    /// How many its user has with it; 0: it has no user.
    user_sessions: u64,
}

/// A new session under fresh ids.
async fn register(
    service: &Arc<Inner>,
    namespace: &Namespace,
    accept: ConnectAccept,
    notes: Option<Notes>,
) -> Result<Registered, CloseCause> {
    let pid_text = random::text::<24>();
    let pid = hash(&pid_text);
    let sid: Arc<str> = random::text::<15>().into();
    let ConnectAccept { user, data, rooms: _ } = accept;
    let command = Command::Register(Register {
        pid,
        sid: Arc::clone(&sid),
        namespace: Arc::clone(namespace.shared_name()),
        user: user.clone(),
        data: notes.map_or_else(|| data.clone(), |notes| session_data::join(&notes, &data)),
    });
    match propose(service, pid, command).await? {
        Response::Registered { epoch, position, user_sessions } => {
            ServiceStats::one(&service.stats.sessions_registered_total);
            let opened = OpenedSession { pid, epoch, sid, user, data, replay_after: position };
            Ok(Registered { pid: pid_text, opened, position, user_sessions })
        }
        Response::Refused(Refusal::LimitExceeded) => {
            tracing::warn!("a new session was refused: a limit on sessions, user or data would be exceeded");
            Err(CloseCause::NotOpened)
        }
        response => {
            tracing::warn!(?pid, ?response, "a new session was not registered");
            Err(CloseCause::NotOpened)
        }
    }
}

async fn propose(service: &Arc<Inner>, pid: PidHash, command: Command) -> Result<Response, CloseCause> {
    let opening = Opening::propose(service, pid, command).map_err(|error| cause_of(&error))?;
    opening.response().await.map_err(|error| cause_of(&error))
}

const fn cause_of(error: &ProposeError) -> CloseCause {
    match error {
        ProposeError::Fenced => CloseCause::Fenced,
        ProposeError::Overloaded | ProposeError::ResponseLost | ProposeError::OldFormat => CloseCause::NotOpened,
        ProposeError::ShuttingDown => CloseCause::Draining,
    }
}

/// No epoch to expect: the client comes back.
fn unread(error: ReadError) -> CloseCause {
    match error {
        ReadError::NoQuorum(_) | ReadError::Overloaded => CloseCause::NotOpened,
        ReadError::ShuttingDown => CloseCause::Draining,
    }
}

/// What the cluster knows of a pid.
fn hash(pid: &str) -> PidHash {
    let digest = digest::digest(&digest::SHA256, pid.as_bytes());
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest.as_ref()[..16]);
    PidHash(hash)
}
