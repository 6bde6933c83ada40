//! What stops a measurement.

use std::io;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{url}: {source}")]
    Connect { url: String, source: LinkError },
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("--urls: {0:?} is not http://HOST:PORT")]
    Url(String),
    #[error("{program} did not start a cluster: {reason}")]
    Server { program: String, reason: String },
    #[error("{what} did not happen within {seconds} s")]
    Timeout { what: String, seconds: u64 },
    #[error("{0}")]
    Other(String),
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the upgrade was refused: {0}")]
    Refused(String),
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    #[error("the server refused the session: {0}")]
    ConnectError(String),
}
