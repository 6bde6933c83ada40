//! Why a call to a peer failed, and what QUIC's own errors mean to an operator.

use std::time::Duration;

use quinn::{ConnectionError, ReadError, VarInt, WriteError};

use super::frame::FrameError;
use super::hello::Unwelcome;

/// Why a connection is closed; the numbers are on the wire and are never reused.
pub(super) mod close {
    use quinn::VarInt;

    pub(crate) const SHUTDOWN: VarInt = VarInt::from_u32(0);
    pub(crate) const WRONG_CLUSTER: VarInt = VarInt::from_u32(1);
    pub(crate) const PROTOCOL: VarInt = VarInt::from_u32(2);
    pub(crate) const INCOMPATIBLE: VarInt = VarInt::from_u32(3);
    pub(crate) const SILENT: VarInt = VarInt::from_u32(4);
    /// On a stream: its sender gave up inside a frame.
    pub(crate) const ABANDONED: VarInt = VarInt::from_u32(5);
    /// The node was removed from the cluster.
    pub(crate) const REMOVED: VarInt = VarInt::from_u32(6);
    /// No certificate, or one of another node.
    pub(crate) const CERTIFICATE: VarInt = VarInt::from_u32(7);
    /// Too many requests; come back.
    pub(crate) const BUSY: VarInt = VarInt::from_u32(8);
    /// The node's data directory is an old copy.
    pub(crate) const STALE: VarInt = VarInt::from_u32(9);
    /// The node does not speak the cluster's format.
    pub(crate) const OUTDATED: VarInt = VarInt::from_u32(10);
}

/// A close reason sent by a peer is cut to so many characters before it is logged.
const REASON_CHARS_MAX: usize = 240;

/// Why a call to a peer failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// Not connected, or the connection broke; whether a request was handled is unknown in the latter case.
    #[error("peer {peer} cannot be reached: {reason}")]
    Unreachable {
        /// HOST:PORT.
        peer: String,
        /// What happened.
        reason: String,
    },
    /// Connected, but no answer in time; whether the request was handled is unknown.
    #[error("peer {peer} gave no answer within {after:?}")]
    Timeout {
        /// HOST:PORT.
        peer: String,
        /// The time that the caller gave.
        after: Duration,
    },
    /// The peer handled the request and refused it.
    #[error("the peer refused: {0}")]
    Remote(String),
    /// Another node than expected answers at that address.
    #[error("peer {peer} is node {found:016x}; node {expected:016x} was expected at this address")]
    WrongNode {
        /// HOST:PORT.
        peer: String,
        /// The caller's.
        expected: u64,
        /// The peer's.
        found: u64,
    },
    /// The peer belongs to another cluster.
    #[error("peer {peer} belongs to another cluster: {reason}")]
    WrongCluster {
        /// HOST:PORT.
        peer: String,
        /// Both cluster ids.
        reason: String,
    },
    /// The cluster removed this node.
    #[error("peer {peer} says that this node was removed: {reason}")]
    Removed {
        /// HOST:PORT.
        peer: String,
        /// Its words.
        reason: String,
    },
    /// One of the two must not come in: its data directory is an old copy, or it does not speak the cluster's format.
    #[error("peer {peer} and this node do not go together: {}", why.reason())]
    Barred {
        /// HOST:PORT.
        peer: String,
        /// Which of them, and why.
        why: Unwelcome,
    },
    /// Certificates were refused by one side.
    #[error("TLS with peer {peer} failed: {reason}")]
    Tls {
        /// HOST:PORT.
        peer: String,
        /// What was refused, and the fix.
        reason: String,
    },
    /// The peer speaks no common protocol version.
    #[error("peer {peer} is of an incompatible release: {reason}")]
    Incompatible {
        /// HOST:PORT.
        peer: String,
        /// Both version ranges.
        reason: String,
    },
    /// A frame that cannot be sent or was not acceptable.
    #[error("peer {peer}: {error}")]
    Frame {
        /// HOST:PORT.
        peer: String,
        /// What is wrong with it.
        error: FrameError,
    },
}

impl RpcError {
    /// What the other end says about this node, if it says that it must not come in.
    pub(super) fn unwelcome(&self) -> Option<Unwelcome> {
        match self {
            Self::Removed { reason, .. } => Some(Unwelcome::Removed(reason.clone())),
            Self::Barred { why, .. } => Some(why.clone()),
            _ => None,
        }
    }

    pub(super) fn unreachable(peer: &str, reason: impl Into<String>) -> Self {
        Self::Unreachable { peer: peer.to_owned(), reason: reason.into() }
    }

    pub(super) fn frame(peer: &str, error: FrameError) -> Self {
        Self::Frame { peer: peer.to_owned(), error }
    }

    pub(super) fn connection(peer: &str, error: &ConnectionError) -> Self {
        let peer = peer.to_owned();
        match error {
            ConnectionError::ApplicationClosed(closed) => {
                let reason = printable(&closed.reason);
                match closed.error_code {
                    close::WRONG_CLUSTER => Self::WrongCluster { peer, reason },
                    close::INCOMPATIBLE => Self::Incompatible { peer, reason },
                    close::REMOVED => Self::Removed { peer, reason },
                    close::STALE => Self::Barred { peer, why: Unwelcome::Stale(reason) },
                    close::OUTDATED => Self::Barred { peer, why: Unwelcome::Outdated(reason) },
                    close::CERTIFICATE => Self::Tls { peer, reason: format!("it refused this node: {reason}") },
                    close::SHUTDOWN => Self::Unreachable { peer, reason: "it stopped".to_owned() },
                    _ => Self::Unreachable { peer, reason: format!("it closed the connection: {reason}") },
                }
            }
            ConnectionError::ConnectionClosed(closed) => {
                let code = u64::from(closed.error_code);
                match tls_alert(code) {
                    Some(alert) => {
                        Self::Tls { peer, reason: format!("it refused the handshake: {}", alert_meaning(alert)) }
                    }
                    None => {
                        Self::Unreachable { peer, reason: format!("it closed the connection: {}", closed.error_code) }
                    }
                }
            }
            ConnectionError::TransportError(error) => match tls_alert(u64::from(error.code)) {
                Some(NO_APPLICATION_PROTOCOL) => {
                    Self::Tls { peer, reason: alert_meaning(NO_APPLICATION_PROTOCOL).to_owned() }
                }
                Some(_) => Self::Tls { peer, reason: certificate_meaning(&error.reason) },
                None => Self::Unreachable { peer, reason: error.to_string() },
            },
            ConnectionError::TimedOut => Self::Unreachable { peer, reason: "it fell silent".to_owned() },
            ConnectionError::Reset => {
                Self::Unreachable { peer, reason: "it restarted, its old connections are gone".to_owned() }
            }
            ConnectionError::LocallyClosed => {
                Self::Unreachable { peer, reason: "the connection was closed on this side".to_owned() }
            }
            ConnectionError::VersionMismatch => {
                Self::Incompatible { peer, reason: "it speaks another version of QUIC".to_owned() }
            }
            ConnectionError::CidsExhausted => Self::Unreachable { peer, reason: error.to_string() },
        }
    }

    pub(super) fn write(peer: &str, error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::connection(peer, &error),
            WriteError::Stopped(_) => Self::unreachable(peer, "it no longer reads this stream"),
            other => Self::unreachable(peer, other.to_string()),
        }
    }

    pub(super) fn read(peer: &str, error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::connection(peer, &error),
            ReadError::Reset(_) => Self::unreachable(peer, "it gave up this stream"),
            other => Self::unreachable(peer, other.to_string()),
        }
    }

    /// One word for the kind of failure, to limit the log by.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Remote(_) => "remote",
            Self::WrongNode { .. } => "wrong node",
            Self::WrongCluster { .. } => "wrong cluster",
            Self::Removed { .. } | Self::Barred { why: Unwelcome::Removed(_), .. } => "removed",
            Self::Barred { why: Unwelcome::Outdated(_), .. } => "outdated",
            Self::Barred { why: Unwelcome::Stale(_), .. } => "stale",
            Self::Tls { .. } => "tls",
            Self::Incompatible { .. } => "incompatible",
            Self::Frame { .. } => "frame",
        }
    }
}

/// What a peer gave as its reason, fit for one line of a log.
pub(super) fn printable(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason).chars().take(REASON_CHARS_MAX).flat_map(char::escape_debug).collect()
}

/// QUIC carries TLS alerts as 0x100 + alert.
fn tls_alert(code: u64) -> Option<u8> {
    code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}

const NO_APPLICATION_PROTOCOL: u8 = 120;

fn alert_meaning(alert: u8) -> &'static str {
    match alert {
        NO_APPLICATION_PROTOCOL => {
            "one of the two nodes runs with certificates, the other without: \
             start both with --tls-ca, --tls-cert and --tls-key, or neither"
        }
        42 | 43 | 46 | 51 => "this node's certificate is not acceptable to it: issue one with `vedfolnir cert init`",
        44 => "this node's certificate was revoked",
        45 => "this node's certificate has expired, or is not valid yet: renew it, and check both clocks",
        48 => "this node's certificate is of another authority: give all nodes the same --tls-ca",
        116 => "it demands a certificate: start this node with --tls-ca, --tls-cert and --tls-key",
        70 | 71 => "no common TLS version or cipher",
        _ => "a TLS alert; see the log of the other node",
    }
}

/// rustls' words about the peer's certificate, with the fix where it is known.
fn certificate_meaning(reason: &str) -> String {
    let fix = if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        ": its certificate is of another authority; give all nodes the same --tls-ca"
    } else if reason.contains("Expired") || reason.contains("NotValidYet") {
        ": renew its certificate, and check both clocks"
    } else if reason.contains("no certificates") {
        "; start it with --tls-ca, --tls-cert and --tls-key"
    } else {
        ""
    };
    format!("{}{fix}", printable(reason.as_bytes()))
}

/// Closes the connection to a node that must not come in.
pub(super) fn close_to_unwelcome(connection: &quinn::Connection, why: &Unwelcome) {
    let code = match why {
        Unwelcome::Removed(_) => close::REMOVED,
        Unwelcome::Stale(_) => close::STALE,
        Unwelcome::Outdated(_) => close::OUTDATED,
    };
    close_with(connection, code, why.reason());
}

/// QUIC closes with at most a packet's worth of reason.
pub(super) fn close_with(connection: &quinn::Connection, code: VarInt, reason: &str) {
    connection.close(code, reason.as_bytes());
}

/// Closes everything that an endpoint has open.
pub(super) fn close_with_endpoint(endpoint: &quinn::Endpoint, code: VarInt) {
    endpoint.close(code, b"the node stops");
}
