//! Ports for nodes: below the range from which the system takes those of outgoing connections, so that a node that was killed
//! finds its port free when it comes back, whatever its clients opened in between.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::error::HarnessError;

/// Ports are taken from here ...
const LOWEST: u16 = 10_000;
/// ... to here, or to where outgoing connections begin.
const HIGHEST: u16 = 32_767;
/// Ports tried before giving up.
const ATTEMPTS_MAX: usize = 10_000;

/// Hands out ports that are free for TCP and UDP, none of them twice; nor does another harness on this machine hand one of them
/// out, which would otherwise take the place of a node that is down.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// One name for each port: the system forgets it with this process.
    claims: Vec<UnixListener>,
}

impl Ports {
    pub(super) fn next(&mut self, random: &mut fastrand::Rng) -> Result<u16, HarnessError> {
        let highest = HIGHEST.min(outgoing_from().saturating_sub(1)).max(LOWEST + 1_000);
        for _ in 0..ATTEMPTS_MAX {
            let port = random.u16(LOWEST..=highest);
            let here = (Ipv4Addr::LOCALHOST, port);
            if TcpListener::bind(here).is_err() || UdpSocket::bind(here).is_err() {
                continue;
            }
            let name = format!("vedfolnir-chaos-port-{port}");
            let claim = SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
            if let Ok(claim) = claim {
                self.claims.push(claim);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_harnesses_with_one_seed_take_different_ports() {
        let (mut one, mut other) = (Ports::default(), Ports::default());
        let ports = |ports: &mut Ports| {
            let mut random = fastrand::Rng::with_seed(7);
            (0..20).map(|_| ports.next(&mut random).unwrap()).collect::<Vec<_>>()
        };
        let (taken, others) = (ports(&mut one), ports(&mut other));
        assert!(taken.iter().all(|port| !others.contains(port)), "{taken:?} {others:?}");
    }
}
