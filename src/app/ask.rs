//! Events that the client acknowledges: asked on the connection that stands, answered on it or not at all.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vedfolnir_cluster::state::Payload;

use super::args::Args;
use super::emit::EmitError;
use super::payload::EventPayload;
use super::reply::Reply;
use super::socket::Socket;
use crate::service::ServiceStats;
use crate::service::asks::NotAsked;
use crate::service::session::SessionSocket;

/// How long a client may take to acknowledge, unless [`EmitWithAck::timeout`] says otherwise.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there are no arguments of an ack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// The client did not acknowledge in time. It may have got the event; an ack that comes later is ignored.
    #[error("the client has not acknowledged the event within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The connection ended first, also if the client has come back since. It may have got the event.
    #[error("the connection ended before the client acknowledged the event")]
    Disconnected,
    /// Nothing was sent: [`EmitError::BadRequest`] if clients would not accept the event, [`EmitError::LimitExceeded`] if 256
    /// events wait for this client's acks, or too much waits to be written to it.
    #[error("the event was not sent: {0}")]
    Refused(#[from] EmitError),
}

impl AckError {
    /// The stable code that clients see.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "ack_timed_out",
            Self::Disconnected => "disconnected",
            Self::Refused(error) => error.code(),
        }
    }
}

impl From<AckError> for Reply {
    fn from(error: AckError) -> Self {
        Self::error(error.code(), &error.to_string())
    }
}

/// An event that this client is to acknowledge; sent when it is awaited.
#[must_use = "nothing is sent until it is awaited"]
pub struct EmitWithAck {
    socket: Arc<SessionSocket>,
    payload: Result<EventPayload, EmitError>,
    timeout: Duration,
}

impl Socket {
    /// Asks this client something: an event that it acknowledges with `callback(…)`.
    ///
    /// Unlike [`Socket::emit`] it does not go through the log: it is for the connection that stands now, so it has no
    /// offset, and a client that resumes does not get it again. An ack that is outstanding when the connection ends is
    /// [`AckError::Disconnected`], and what the client then says about it on its next connection is ignored. A handler that
    /// waits is dropped with its connection, as handlers are; a task of the application's own learns of it.
    ///
    /// The client gets the event behind everything that was emitted to it before, if those emits were awaited or dropped.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use vedfolnir::app::{App, Args, Reply, Socket};
    ///
    /// let app = App::builder().namespace("/", |ns| {
    ///     ns.on("delete", |socket: Socket, _: Args| async move {
    ///         let question = socket.emit_with_ack("confirm", &["for good?"]).timeout(Duration::from_secs(30));
    ///         match question.await {
    ///             Ok(answer) if answer.get::<bool>(0).unwrap_or(false) => Reply::json("deleted"),
    ///             Ok(_) => Reply::json("kept"),
    ///             Err(error) => Reply::from(error),
    ///         }
    ///     })
    /// });
    /// # drop(app.build());
    /// ```
    pub fn emit_with_ack<T: Serialize>(&self, event: &str, args: &[T]) -> EmitWithAck {
        self.ask(EventPayload::new(event, args))
    }

    /// Asks with a checked event, attachments among them, like [`Socket::emit_with_ack`].
    pub fn emit_payload_with_ack(&self, payload: EventPayload) -> EmitWithAck {
        self.ask(Ok(payload))
    }

    fn ask(&self, payload: Result<EventPayload, EmitError>) -> EmitWithAck {
        EmitWithAck { socket: Arc::clone(self.session()), payload, timeout: ACK_TIMEOUT }
    }
}

impl EmitWithAck {
    /// How long the client may take, from when this is awaited; [`ACK_TIMEOUT`] unless said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn answer(self) -> Result<Args, AckError> {
        let Self { socket, payload, timeout } = self;
        ask(&socket, payload, timeout).await
    }
}

/// Asks one client, and counts how it ended.
pub(crate) async fn ask(
    socket: &SessionSocket,
    payload: Result<EventPayload, EmitError>,
    timeout: Duration,
) -> Result<Args, AckError> {
    let mut counted = Counted { socket, settled: false };
    let answered = match payload {
        Ok(payload) => match tokio::time::timeout(timeout, exchange(socket, payload.into_payload())).await {
            Ok(answered) => answered,
            Err(_) => Err(AckError::TimedOut(timeout)),
        },
        Err(error) => Err(error.into()),
    };
    counted.settle(&answered);
    answered
}

impl IntoFuture for EmitWithAck {
    type Output = Result<Args, AckError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answer())
    }
}

/// Sends it behind the emits made before it, and waits.
async fn exchange(socket: &SessionSocket, payload: Payload) -> Result<Args, AckError> {
    let mut ask = socket.asks.begin().map_err(|not_asked| match not_asked {
        NotAsked::Full => AckError::Refused(EmitError::LimitExceeded),
        NotAsked::Closed => AckError::Disconnected,
    })?;
    if !socket.emits_settled() {
        let settled = pin!(socket.settle_emits());
        tokio::select! {
            () = settled => {}
            answer = ask.answer() => return answer.ok_or(AckError::Disconnected),
        }
    }
    if !socket.push_ask(ask.id, &payload) {
        return Err(AckError::Refused(EmitError::LimitExceeded));
    }
    ask.answer().await.ok_or(AckError::Disconnected)
}

/// Counts how it ended, also when whoever waits is dropped with the connection.
struct Counted<'a> {
    socket: &'a SessionSocket,
    settled: bool,
}

impl Counted<'_> {
    fn settle(&mut self, answered: &Result<Args, AckError>) {
        let stats = &self.socket.service.stats;
        self.settled = true;
        ServiceStats::one(match answered {
            Ok(_) => &stats.asks_answered_total,
            Err(AckError::TimedOut(_)) => &stats.asks_timed_out_total,
            Err(AckError::Disconnected) => &stats.asks_disconnected_total,
            Err(AckError::Refused(_)) => &stats.asks_refused_total,
        });
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.settled && self.socket.asks.is_closed() {
            ServiceStats::one(&self.socket.service.stats.asks_disconnected_total);
        }
    }
}

impl fmt::Debug for EmitWithAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitWithAck").field("sid", &self.socket.sid).field("timeout", &self.timeout).finish()
    }
}
