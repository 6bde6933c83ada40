//! Why a connection or a namespace ended, in the words that Socket.IO's `disconnect` handlers receive.

use std::fmt;

/// Why it ended, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The transport failed: a broken socket, or a packet that only a server may send.
    TransportError,
    /// The peer closed the transport.
    TransportClose,
    /// The server closed the Engine.IO session under the sockets.
    ForcedClose,
    /// No pong came within the ping timeout.
    PingTimeout,
    /// The node is going down.
    ServerShuttingDown,
    /// The server ended the connection, because the client broke the protocol or never connected.
    ForcedServerClose,
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server let the client go from the namespace.
    ServerNamespaceDisconnect,
    /// A packet could not be decoded.
    ParseError,
}

impl CloseReason {
    /// Every reason, for tables such as a metric's labels.
    pub const ALL: [Self; 9] = [
        Self::TransportError,
        Self::TransportClose,
        Self::ForcedClose,
        Self::PingTimeout,
        Self::ServerShuttingDown,
        Self::ForcedServerClose,
        Self::ClientNamespaceDisconnect,
        Self::ServerNamespaceDisconnect,
        Self::ParseError,
    ];

    /// The text that Socket.IO uses for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ForcedClose => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::ServerShuttingDown => "server shutting down",
            Self::ForcedServerClose => "forced server close",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ParseError => "parse error",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for CloseReason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_those_of_socket_io() {
        let texts: Vec<&str> = CloseReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(
            texts,
            [
                "transport error",
                "transport close",
                "forced close",
                "ping timeout",
                "server shutting down",
                "forced server close",
                "client namespace disconnect",
                "server namespace disconnect",
                "parse error",
            ]
        );
    }
}
