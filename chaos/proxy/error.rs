//! Why the proxy cannot stand between two ends.

use std::io;
use std::net::SocketAddr;

/// A socket of the proxy's own cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "the network proxy cannot listen on {protocol} {address}: {reason}; free ports and file descriptors are needed"
)]
pub struct ProxyError {
    /// `UDP` or `TCP`.
    pub protocol: &'static str,
    /// Where it tried to; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What the system said.
    pub reason: io::Error,
}
