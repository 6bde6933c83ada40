//! What the log says of a client's connection: one line when it stands, one when it ends, and what happened between.

use std::fmt::Write as _;

use ring::digest;
use vedfolnir_protocol::{CloseReason, EngineSid};

use super::driver::Session;
use super::session::SessionSocket;

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

impl Session {
    /// The client is in a namespace: with the first one its connection stands.
    pub(super) fn tell_joined(&mut self, socket: &SessionSocket) {
        let first = !std::mem::replace(&mut self.told, true);
        if !tracing::enabled!(target: "vedfolnir::connection", tracing::Level::INFO) {
            return;
        }
        let (client_ip, user_agent) = (self.request.remote.ip(), self.request.header("user-agent"));
        let (connection_id, user_id) = (connection_id(&self.sid), socket.user.as_deref());
        let (session_id, namespace) = (&*socket.sid, socket.namespace.name());
        let transport = self.link.transport().as_str();
        if first {
            tracing::info!(
                target: "vedfolnir::connection",
                event_type = "connection_established",
                session_id, user_id, connection_id, namespace, %client_ip, user_agent, transport,
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
        let socket = self.sockets.first();
        tracing::info!(
            target: "vedfolnir::connection",
            event_type = "connection_upgraded",
            session_id = socket.map(|socket| &*socket.sid),
            user_id = socket.and_then(|socket| socket.user.as_deref()),
            connection_id = connection_id(&self.sid),
            namespace = socket.map(|socket| socket.namespace.name()),
            client_ip = %self.request.remote.ip(),
            "A client went from polling to WebSocket"
        );
    }

    /// A connection that stood has ended; its sockets are still there.
    pub(super) fn tell_closed(&self, reason: CloseReason) {
        if !self.told || !tracing::enabled!(target: "vedfolnir::connection", tracing::Level::INFO) {
            return;
        }
        let socket = self.sockets.first();
        let duration_ms = self.started.elapsed().as_secs_f64() * 1e3;
        tracing::info!(
            target: "vedfolnir::connection",
            event_type = if reason == CloseReason::PingTimeout { "connection_timeout" } else { "connection_closed" },
            session_id = socket.map(|socket| &*socket.sid),
            user_id = socket.and_then(|socket| socket.user.as_deref()),
            connection_id = connection_id(&self.sid),
            namespace = socket.map(|socket| socket.namespace.name()),
            client_ip = %self.request.remote.ip(),
            duration_ms,
            reason = reason.as_str(),
            "WebSocket connection closed"
        );
    }
}
