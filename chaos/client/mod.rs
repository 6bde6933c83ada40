//! A Socket.IO client that costs little, so that thousands fit beside the servers that they attack or load: WebSocket only,
//! the root namespace, and the memory that a resume needs.

pub mod packet;
mod session;
mod tls;
mod websocket;

use std::io;

pub use session::{Client, Message, Session, is_refused};
pub use websocket::{Endpoint, Link, Outbox};

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The network.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// An orderly end.
    #[error("the server closed the connection")]
    Closed,
    /// The answer to the upgrade.
    #[error("the upgrade was refused: {0}")]
    Refused(String),
    /// What no server sends.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// A CONNECT_ERROR.
    #[error("the server refused the session: {0}")]
    ConnectError(String),
}

/// Not `http://HOST:PORT` or one of its kin.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not http://HOST:PORT")]
pub struct BadUrl(pub String);
