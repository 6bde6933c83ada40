//! What the log says of a client's connection: one line when it stands, one when it ends, and what happened between.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use vedfolnir_cluster::state::TraceContext;
use vedfolnir_protocol::{CloseReason, EngineSid};

use super::driver::Session;
use super::session::SessionSocket;
use super::slow_lines;
use super::stats::ServiceStats;
use crate::observability::traces;

/// A handler that takes longer is worth a line: clients feel it.
const SLOW_HANDLER: Duration = Duration::from_millis(500);
/// Bytes of a connection's name in the log.
const ID_BYTES: usize = 8;

/// A connection's name in the log, the same on either transport. It is no Engine.IO sid: whoever knows that may speak in the
/// client's name.
pub(super) fn connection_id(sid: &EngineSid) -> String {
    let digest = digest::digest(&digest::SHA256, &sid.random);
    let mut id = String::with_capacity(2 * ID_BYTES);
    for byte in &digest.as_ref()[..ID_BYTES] {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// The first socket of a connection that the log was told of: the client may have left its namespace since.
pub(super) struct Told {
    /// Its lines say so.
    trace: Option<TraceContext>,
    session_id: Arc<str>,
    user_id: Option<Arc<str>>,
    namespace: Arc<str>,
}

impl Session {
    /// The client is in a namespace: with the first one its connection stands.
    pub(super) fn tell_joined(&mut self, socket: &SessionSocket) {
        traces::within(socket.trace.map(|parent| parent.context), || self.say_joined(socket));
    }

    fn say_joined(&mut self, socket: &SessionSocket) {
        let first = self.told.is_none();
        if first {
            ServiceStats::less(&self.service.stats.connections_handshake_active);
            ServiceStats::one(&self.service.stats.connections_open_active);
            self.told = Some(Box::new(Told {
                trace: socket.trace.map(|parent| parent.context),
                session_id: Arc::clone(&socket.sid),
                user_id: socket.user.clone(),
                namespace: Arc::clone(socket.namespace.shared_name()),
            }));
        }
        if !tracing::enabled!(target: "vedfolnir::connection", tracing::Level::INFO) {
            return;
        }
        let (client_ip, user_agent) = (self.request.remote.ip(), self.request.header("user-agent"));
        let (connection_id, user_id) = (connection_id(&self.sid), socket.user.as_deref());
        let (session_id, namespace) = (&*socket.sid, socket.namespace.name());
        let transport = self.link.transport().as_str();
        if first {
            let (scheme, host) = (if self.request.https { "https" } else { "http" }, self.request.header("host"));
            tracing::info!(
                target: "vedfolnir::connection",
                event_type = "connection_established",
                session_id, user_id, connection_id, namespace, %client_ip, user_agent, transport, scheme, host,
                "WebSocket connection established"
            );
        } else {
            tracing::info!(
                target: "vedfolnir::connection",
                event_type = "namespace_joined",
                session_id, user_id, connection_id, namespace, %client_ip, user_agent, transport,
                "A client joined another namespace"
            );
        }
    }

    /// The client's transport is a WebSocket now.
    pub(super) fn tell_upgraded(&self) {
        if !tracing::enabled!(target: "vedfolnir::connection", tracing::Level::INFO) {
            return;
        }
        let told = self.told.as_deref();
        tracing::info!(
            target: "vedfolnir::connection",
            event_type = "connection_upgraded",
            session_id = told.map(|told| &*told.session_id),
            user_id = told.and_then(|told| told.user_id.as_deref()),
            connection_id = connection_id(&self.sid),
            namespace = told.map(|told| &*told.namespace),
            client_ip = %self.request.remote.ip(),
            user_agent = self.request.header("user-agent"),
            "A client went from polling to WebSocket"
        );
    }

    /// A connection that stood has ended; its sockets are still there.
    pub(super) fn tell_closed(&self, reason: CloseReason) {
        let Some(told) = &self.told else { return };
        traces::within(told.trace, || self.say_closed(told, reason));
    }

    fn say_closed(&self, told: &Told, reason: CloseReason) {
        if !tracing::enabled!(target: "vedfolnir::connection", tracing::Level::INFO) {
            return;
        }
        let duration_ms = tenths(self.started.elapsed());
        tracing::info!(
            target: "vedfolnir::connection",
            event_type = if reason == CloseReason::PingTimeout { "connection_timeout" } else { "connection_closed" },
            session_id = &*told.session_id,
            user_id = told.user_id.as_deref(),
            connection_id = connection_id(&self.sid),
            namespace = &*told.namespace,
            client_ip = %self.request.remote.ip(),
            user_agent = self.request.header("user-agent"),
            duration_ms,
            reason = reason.as_str(),
            "WebSocket connection closed"
        );
    }
}

/// An event of a client that was handled; never what is in it.
pub(crate) struct Handled<'a> {
    pub(crate) session_id: Option<&'a str>,
    pub(crate) user_id: Option<&'a str>,
    pub(crate) namespace: &'a str,
    pub(crate) event: &'a str,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

impl<'a> Handled<'a> {
    pub(super) fn of(socket: &'a SessionSocket, event: &'a str, bytes: usize, took: Duration) -> Self {
        let (session_id, user_id) = (Some(&*socket.sid), socket.user.as_deref());
        Self { session_id, user_id, namespace: socket.namespace.name(), event, bytes, took }
    }
}

/// Tells it. One that took long is told at any level that shows performance, within [`slow_lines`]' bounds.
pub(crate) fn tell_handled(handled: &Handled<'_>) {
    let &Handled { session_id, user_id, namespace, event, bytes, took } = handled;
    let duration_ms = tenths(took);
    if took >= SLOW_HANDLER
        && let Some(left_out) = slow_lines::may_tell()
    {
        tracing::warn!(
            target: "vedfolnir::performance",
            event_type = "slow_handler",
            session_id, user_id, namespace, duration_ms, event, bytes,
            left_out = (left_out > 0).then_some(left_out),
            "a handler took long"
        );
    }
    tracing::debug!(
        target: "vedfolnir::performance",
        event_type = "message_processing",
        session_id, user_id, namespace, duration_ms, event,
        "how long a message took"
    );
    tracing::debug!(
        target: "vedfolnir::message",
        event_type = "message_received",
        session_id, user_id, namespace, duration_ms, event, bytes,
        "a message was handled"
    );
}

/// In milliseconds, to a tenth.
pub(crate) fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
