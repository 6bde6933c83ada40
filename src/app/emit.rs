//! Emits and broadcasts: durable ones go through the cluster's log, volatile ones straight to whoever listens.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Sleep;
use vedfolnir_cluster::state::{
    Audience, Command, ContentHash, Format, LogPosition, Offset, OnceKey, Publish, Record, Refusal, Response,
    is_reserved_room, user_room,
};
use vedfolnir_cluster::{ProposeError, Ticket};
use vedfolnir_protocol::encode_offset;

use super::once::{IdempotencyKey, Once};
use super::payload::EventPayload;
use super::presence::Presence;
use super::reply::Reply;
use super::store::Store;
use crate::observability::traces::ActiveSpan;
use crate::service::session::SessionSocket;
use crate::service::{self, ServiceStats, deliver_volatile};

/// Why an emit, join or leave is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// Clients would not accept the event.
    #[error("{0}")]
    BadRequest(String),
    /// No quorum acknowledged it in time.
    #[error("not acknowledged by a quorum within {} s; it may or may not have been committed", .0.as_secs_f64())]
    NoQuorum(Duration),
    /// The node is stopping.
    #[error("the node is shutting down; it may or may not have been committed")]
    ShuttingDown,
    /// Too much waits to be committed; nothing was proposed.
    #[error("the node has too many changes waiting to be committed; try again later")]
    Overloaded,
    /// The session has another owner, or is over.
    #[error("the session has gone to another connection or is over; nothing was changed")]
    StaleSession,
    /// A bound on rooms, events or sessions would be passed.
    #[error("a limit on size or number would be exceeded; nothing was changed")]
    LimitExceeded,
    /// The policy of the namespaces does not let this client do it.
    #[error("this client may not do that; nothing was changed")]
    Forbidden,
    /// Something else was emitted under this idempotency key.
    #[error("this idempotency key was used for something else; nothing was changed")]
    KeyReused,
    /// A node of an older release is still a member, which could not read it; nothing was proposed.
    #[error("a node of an older release is still a member of the cluster; this is there once all nodes are upgraded")]
    OldFormat,
}

impl EmitError {
    /// The stable code that clients see.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::NoQuorum(_) | Self::ShuttingDown => "no_quorum",
            Self::Overloaded => "overloaded",
            Self::StaleSession => "stale_session",
            Self::LimitExceeded => "limit_exceeded",
            Self::Forbidden => "forbidden",
            Self::KeyReused => "idempotency_key_reused",
            Self::OldFormat => "old_format",
        }
    }
}

impl From<EmitError> for Reply {
    fn from(error: EmitError) -> Self {
        Self::error(error.code(), &error.to_string())
    }
}

impl From<ProposeError> for EmitError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Overloaded => Self::Overloaded,
            ProposeError::Fenced => Self::StaleSession,
            ProposeError::OldFormat => Self::OldFormat,
            // A lost response belongs to a command that was applied; callers who can do without it do.
            ProposeError::ShuttingDown | ProposeError::ResponseLost => Self::ShuttingDown,
        }
    }
}

impl From<Refusal> for EmitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::LimitExceeded => Self::LimitExceeded,
            Refusal::KeyReused => Self::KeyReused,
            Refusal::StaleEpoch | Refusal::UnknownSession | Refusal::Duplicate | Refusal::NotAllowed => {
                Self::StaleSession
            }
        }
    }
}

/// A durable emit that a quorum has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub(crate) position: Option<LogPosition>,
    pub(crate) history: u64,
}

impl Committed {
    /// Its offset, the text that receivers get with it. `None`: committed, but a snapshot swallowed where.
    #[must_use]
    pub fn offset(&self) -> Option<String> {
        self.position.map(|at| encode_offset(self.history, at.index, at.ordinal).to_string())
    }

    fn at(offset: Offset) -> Self {
        Self { position: Some(offset.position), history: offset.history_id }
    }

    /// Its place in the one total order.
    #[must_use]
    pub const fn position(&self) -> Option<LogPosition> {
        self.position
    }
}

/// Whether an application, or a client by way of it, may call a room so.
pub(crate) fn may_name(room: &str) -> Result<(), EmitError> {
    if is_reserved_room(room) {
        let reason = "a room whose name begins with U+0000 is the server's own; accepted: any other first character";
        return Err(EmitError::BadRequest(reason.to_owned()));
    }
    Ok(())
}

/// Whom an event goes to. Without a room: the whole namespace.
#[derive(Clone)]
#[must_use = "an emitter does nothing until it emits"]
pub struct Emitter {
    service: Arc<service::Inner>,
    namespace: Arc<str>,
    /// On whose behalf it emits, fenced by its epoch; `None`: the server's own.
    socket: Option<Arc<SessionSocket>>,
    rooms: Vec<Arc<str>>,
    except: Vec<Arc<str>>,
    /// Whom it goes to cannot be said so.
    unfit: Option<EmitError>,
}

impl Emitter {
    /// On behalf of a client.
    pub(crate) fn new(socket: Arc<SessionSocket>) -> Self {
        let (service, namespace) = (Arc::clone(&socket.service), Arc::clone(socket.namespace.shared_name()));
        Self { service, namespace, socket: Some(socket), rooms: Vec::new(), except: Vec::new(), unfit: None }
    }

    /// On nobody's behalf.
    pub(crate) fn of_server(service: &Arc<service::Inner>, namespace: Arc<str>) -> Self {
        let service = Arc::clone(service);
        Self { service, namespace, socket: None, rooms: Vec::new(), except: Vec::new(), unfit: None }
    }

    /// Also to everybody in this room.
    pub fn to(mut self, room: impl Into<Arc<str>>) -> Self {
        let room = room.into();
        self.judge_room(&room);
        self.rooms.push(room);
        self
    }

    /// But not to anybody in this room.
    pub fn except(mut self, room: impl Into<Arc<str>>) -> Self {
        let room = room.into();
        self.judge_room(&room);
        self.except.push(room);
        self
    }

    /// Also to every client of this user, on whichever node, those inside their recovery window among them. A user is whom
    /// a client authenticated as; no room has to be joined for it.
    ///
    /// ```no_run
    /// # use vedfolnir::app::{EmitError, ServerHandle};
    /// # async fn example(server: ServerHandle) -> Result<(), EmitError> {
    /// if let Some(root) = server.of("/") {
    ///     root.to_user("ada").emit("notice", &["your export is ready"]).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn to_user(mut self, user: impl AsRef<str>) -> Self {
        self.judge_users();
        self.rooms.push(user_room(user.as_ref()));
        self
    }

    /// But not to any client of this user.
    pub fn except_user(mut self, user: impl AsRef<str>) -> Self {
        self.judge_users();
        self.except.push(user_room(user.as_ref()));
        self
    }

    fn judge_room(&mut self, room: &str) {
        if let Err(error) = may_name(room) {
            self.unfit.get_or_insert(error);
        }
    }

    fn judge_users(&mut self) {
        if self.service.cluster.read(|state| state.format()) < Format::MANAGED {
            self.unfit.get_or_insert(EmitError::OldFormat);
        }
    }

    /// Only to those connected right now, on all nodes, without an offset of its own in the log: it may be lost.
    pub fn volatile(self) -> Volatile {
        Volatile { emitter: self, is_local: false }
    }

    /// Only to those connected to this node right now. It is volatile: what is durable is in the log, which is every node's.
    pub fn local(self) -> Volatile {
        self.volatile().local()
    }

    /// For code that comes from socket.io: changes nothing. This server compresses nothing on its way to clients, neither
    /// WebSocket messages (permessage-deflate is not negotiated) nor answers to polls, so there is nothing to turn off for
    /// one event, and `true` does not turn it on.
    pub const fn compress(self, _compress: bool) -> Self {
        self
    }

    /// Once under this key (1 to 255 visible ASCII characters), however often and on however many nodes it is tried. An emit of
    /// something else under it is refused.
    pub fn once(self, key: &str) -> Once {
        Once::new(self, IdempotencyKey::of(key))
    }

    /// The same for requests, which are told apart by what they say.
    pub(crate) fn once_under(self, key: IdempotencyKey, content: ContentHash) -> Once {
        Once::new(self, Ok(key)).content(content)
    }

    /// Emits durably. It is proposed by this very call; the future tells when a quorum has it.
    pub fn emit<T: Serialize>(self, event: &str, args: &[T]) -> Emission {
        match EventPayload::new(event, args) {
            Ok(payload) => self.emit_payload(payload),
            Err(error) => self.refused(error),
        }
    }

    /// Emits a checked event durably, like [`Emitter::emit`].
    pub fn emit_payload(mut self, payload: EventPayload) -> Emission {
        let record = self.record(payload);
        self.propose(record, Command::Publish)
    }

    pub(super) fn propose(mut self, record: Arc<Record>, command: impl FnOnce(Publish) -> Command) -> Emission {
        if let Some(error) = self.unfit.take() {
            return self.refused(error);
        }
        let from = self.socket.as_ref().map(|socket| (socket.pid, socket.epoch));
        let span = self.service.trace_publish(record.rooms.len());
        let trace = span.as_ref().map(ActiveSpan::context);
        match self.service.cluster.propose(command(Publish { from, record, trace })) {
            Ok(ticket) => self.emission(Proposed::Ticket(ticket), span),
            Err(error) => self.refused(error.into()),
        }
    }

    fn refused(self, error: EmitError) -> Emission {
        self.emission(Proposed::Known(Err(error)), None)
    }

    pub(super) fn emission(self, proposed: Proposed, span: Option<ActiveSpan>) -> Emission {
        let Self { service, socket, .. } = self;
        Emission { service, socket, proposed: Some(proposed), once: None, deadline: None, span }
    }

    /// What a repetition is answered, if this replica knows the key.
    pub(super) fn known_once(&self, key: &OnceKey, content: ContentHash) -> Option<Result<Settled, EmitError>> {
        let known = self.service.cluster.read(|state| state.once(key))?;
        Some(if known.content == content { Ok(Settled::repeated(known.offset)) } else { Err(EmitError::KeyReused) })
    }

    /// The replicated key-value store.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(&self.service)
    }

    /// Those whom an emit would go to.
    pub(crate) fn presence(&self) -> Presence {
        Presence::new(&self.service, self.audience(), self.unfit.is_some())
    }

    /// Whom it goes to.
    fn audience(&self) -> Audience {
        let namespace = Arc::clone(&self.namespace);
        Audience { namespace, rooms: self.rooms.clone(), except: self.except.clone() }
    }

    /// What is needed to change the sessions of those whom an emit would go to.
    pub(crate) fn into_audience(self) -> (Arc<service::Inner>, Result<Audience, EmitError>) {
        let audience = match &self.unfit {
            Some(error) => Err(error.clone()),
            None => Ok(self.audience()),
        };
        (self.service, audience)
    }

    pub(super) fn record(&mut self, payload: EventPayload) -> Arc<Record> {
        Arc::new(Record {
            namespace: Arc::clone(&self.namespace),
            rooms: std::mem::take(&mut self.rooms),
            except: std::mem::take(&mut self.except),
            payload: payload.into_payload(),
        })
    }
}

/// Whom a volatile event goes to.
#[derive(Clone)]
#[must_use = "an emitter does nothing until it emits"]
pub struct Volatile {
    emitter: Emitter,
    is_local: bool,
}

impl Volatile {
    /// Also to everybody in this room.
    pub fn to(self, room: impl Into<Arc<str>>) -> Self {
        Self { emitter: self.emitter.to(room), ..self }
    }

    /// But not to anybody in this room.
    pub fn except(self, room: impl Into<Arc<str>>) -> Self {
        Self { emitter: self.emitter.except(room), ..self }
    }

    /// Only to those connected to this node.
    pub fn local(self) -> Self {
        Self { is_local: true, ..self }
    }

    pub(crate) const fn is_local(&self) -> bool {
        self.is_local
    }

    /// What is to be delivered, and by whom.
    ///
    /// # Errors
    /// As of [`Volatile::emit_payload`].
    pub(crate) fn addressed(mut self, payload: EventPayload) -> Result<(Arc<service::Inner>, Arc<Record>), EmitError> {
        if let Some(error) = self.emitter.unfit.take() {
            return Err(error);
        }
        let record = self.emitter.record(payload);
        Ok((self.emitter.service, record))
    }

    /// Also to every client of this user.
    pub fn to_user(self, user: impl AsRef<str>) -> Self {
        Self { emitter: self.emitter.to_user(user), ..self }
    }

    /// Emits.
    ///
    /// # Errors
    /// [`EmitError::BadRequest`] for what clients would not accept, and as for [`Volatile::emit_payload`].
    pub fn emit<T: Serialize>(self, event: &str, args: &[T]) -> Result<(), EmitError> {
        self.emit_payload(EventPayload::new(event, args)?)
    }

    /// Emits a checked event.
    ///
    /// # Errors
    /// [`EmitError::BadRequest`] for a room whose name is the server's own, [`EmitError::OldFormat`] for users of a cluster
    /// that does not know them yet.
    pub fn emit_payload(self, payload: EventPayload) -> Result<(), EmitError> {
        let is_local = self.is_local;
        let (service, record) = self.addressed(payload)?;
        if !is_local {
            service.cluster.publish_volatile(Arc::clone(&record));
        }
        deliver_volatile(&service, &record);
        Ok(())
    }
}

/// A durable emit on its way. Dropped, it goes on: the acks of the socket that made it still stand behind it.
#[must_use = "the emit goes on without being awaited, but then nobody learns whether a quorum has it"]
pub struct Emission {
    service: Arc<service::Inner>,
    socket: Option<Arc<SessionSocket>>,
    /// `None` once it is settled.
    proposed: Option<Proposed>,
    /// Under which key, and what was asked for.
    pub(super) once: Option<(OnceKey, ContentHash)>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Over once it is settled, or nobody waits for it any more.
    span: Option<ActiveSpan>,
}

/// What an emit waits for.
pub(super) enum Proposed {
    Ticket(Ticket),
    /// There is nothing to wait for.
    Known(Result<Settled, EmitError>),
}

/// A durable emit that is over.
#[derive(Clone, Copy)]
pub(super) struct Settled {
    pub(super) committed: Committed,
    /// It had been committed before.
    pub(super) is_repetition: bool,
}

impl Settled {
    const fn first(committed: Committed) -> Self {
        Self { committed, is_repetition: false }
    }

    fn repeated(offset: Offset) -> Self {
        Self { committed: Committed::at(offset), is_repetition: true }
    }
}

impl Emission {
    fn settle(&self, response: Result<Response, ProposeError>) -> Result<Settled, EmitError> {
        let history = self.service.history_id();
        match response {
            Ok(Response::Published { position }) => {
                if let Some(socket) = &self.socket {
                    socket.emitted_at(position.index);
                }
                Ok(Settled::first(Committed { position: Some(position), history }))
            }
            Ok(Response::Repeated { offset }) => Ok(Settled::repeated(offset)),
            Err(ProposeError::ResponseLost) => match self.once {
                None => Ok(Settled::first(Committed { position: None, history })),
                Some((key, content)) => match self.service.cluster.read(|state| state.once(&key)) {
                    Some(known) if known.content == content => Ok(Settled::first(Committed::at(known.offset))),
                    Some(_) => Err(EmitError::KeyReused),
                    // It was refused, or so much was published since that the key is gone: whoever asks again will hear.
                    None => Err(EmitError::NoQuorum(self.service.config.publish_timeout)),
                },
            },
            Ok(Response::Refused(refusal)) => Err(refusal.into()),
            Ok(_) => Err(EmitError::StaleSession),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<Settled, EmitError>> {
        let result = match &mut self.proposed {
            Some(Proposed::Ticket(ticket)) => match Pin::new(ticket).poll(cx) {
                Poll::Ready(response) => self.settle(response),
                Poll::Pending => {
                    let timeout = self.service.config.publish_timeout;
                    let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                    if deadline.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let late = Err(EmitError::NoQuorum(timeout));
                    #[cfg(feature = "planted-bugs")]
                    let late = crate::service::planted::late(late, self.service.history_id()).map(Settled::first);
                    late
                }
            },
            Some(Proposed::Known(known)) => known.clone(),
            // Polled again after it was ready: there is no second answer.
            None => return Poll::Pending,
        };
        self.proposed = None;
        self.deadline = None;
        if let (Some(mut span), Err(error)) = (self.span.take(), &result) {
            span.fail(error);
        }
        let stats = &self.service.stats;
        ServiceStats::one(match &result {
            Ok(Settled { is_repetition: true, .. }) => &stats.publishes_repeated_total,
            Ok(_) => &stats.publishes_acked_total,
            Err(_) => &stats.publishes_failed_total,
        });
        Poll::Ready(result)
    }
}

impl Future for Emission {
    type Output = Result<Committed, EmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_settled(cx).map(|settled| settled.map(|settled| settled.committed))
    }
}

impl Drop for Emission {
    fn drop(&mut self) {
        if let (Some(Proposed::Ticket(ticket)), Some(socket)) = (self.proposed.take(), &self.socket) {
            socket.adopt(ticket);
        }
    }
}
