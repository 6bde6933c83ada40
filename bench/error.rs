//! What stops a measurement.

use std::io;
use vedfolnir_chaos::client::{BadUrl, LinkError};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{url}: {source}")]
    Connect { url: String, source: LinkError },
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("--urls: {0}")]
    Url(#[from] BadUrl),
    #[error("{program} did not start a cluster: {reason}")]
    Server { program: String, reason: String },
    #[error("{what} did not happen within {seconds} s")]
    Timeout { what: String, seconds: u64 },
    #[error("{0}")]
    Other(String),
}
