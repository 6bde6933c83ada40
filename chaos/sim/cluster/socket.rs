//! In place of the UDP socket below QUIC.

use std::io;
use std::net::SocketAddr;

pub(super) fn open(bind: SocketAddr) -> io::Result<quinn::Socket> {
    quinn::Socket::bind(bind)
}
