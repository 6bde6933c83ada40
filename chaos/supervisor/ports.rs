//! Ports for nodes: below the range from which the system takes those of outgoing connections, so that a node that was killed
//! finds its port free when it comes back, whatever its clients opened in between.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::error::HarnessError;

/// Ports are taken from here ...
const LOWEST: u16 = 10_000;
/// ... to here, or to where outgoing connections begin.
const HIGHEST: u16 = 32_767;
/// Ports tried before giving up.
const ATTEMPTS_MAX: usize = 10_000;

/// Hands out ports that are free for TCP and UDP, none of them twice.
#[derive(Debug, Default)]
pub(super) struct Ports {
    given: HashSet<u16>,
}

impl Ports {
    pub(super) fn next(&mut self, random: &mut fastrand::Rng) -> Result<u16, HarnessError> {
        let highest = HIGHEST.min(outgoing_from().saturating_sub(1)).max(LOWEST + 1_000);
        for _ in 0..ATTEMPTS_MAX {
            let port = random.u16(LOWEST..=highest);
            let here = (Ipv4Addr::LOCALHOST, port);
            if !self.given.contains(&port) && TcpListener::bind(here).is_ok() && UdpSocket::bind(here).is_ok() {
                self.given.insert(port);
                return Ok(port);
            }
        }
        Err(HarnessError::Other(format!("no free port on 127.0.0.1 between {LOWEST} and {highest}")))
    }
}

/// Where the system's own ports begin.
fn outgoing_from() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(HIGHEST + 1)
}
