//! Ports for the nodes of a development cluster.
//!
//! They lie below the range from which the system takes ports for outgoing connections: a node that is stopped and
//! started again would otherwise find its port taken by some client's connection.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::cli::Failure;

/// Ports are taken from here ...
const LOWEST: u16 = 10_000;
/// ... to here, or to where outgoing connections begin.
const HIGHEST: u16 = 32_767;
/// Ports tried before giving up.
const ATTEMPTS_MAX: usize = 10_000;

/// A node's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct NodePorts {
    /// TCP, the WebSocket service.
    pub(super) service: u16,
    /// UDP, between nodes.
    pub(super) cluster: u16,
    /// TCP, operators.
    pub(super) admin: u16,
    /// TCP, the HTTP API; 0 in a directory of a release that had none: the node gets none then.
    #[serde(default)]
    pub(super) api: u16,
}

impl NodePorts {
    /// Whether they are those of a node that may be from before there was an API.
    pub(super) fn is_as(&self, kept: &Self) -> bool {
        *self == *kept || Self { api: 0, ..*self } == *kept
    }
}

/// `P` to `P+3` for the first node, ten further on for each next one.
pub(super) fn from_base(base: u16, nodes: usize) -> Result<Vec<NodePorts>, Failure> {
    let ports = (0..nodes)
        .map(|index| {
            let first = base.checked_add(u16::try_from(index).ok()?.checked_mul(10)?)?;
            let (cluster, admin, api) = (first.checked_add(1)?, first.checked_add(2)?, first.checked_add(3)?);
            Some(NodePorts { service: first, cluster, admin, api })
        })
        .collect::<Option<Vec<_>>>();
    match ports {
        Some(ports) if base > 0 => Ok(ports),
        _ => Err(Failure::configuration(format!(
            "--base-port = {base} is refused: {nodes} nodes do not fit; accepted: 1 to {}",
            usize::from(u16::MAX) - nodes * 10
        ))),
    }
}

/// Free ports: all are held at once, so that no two are the same, and given back for the nodes to take.
pub(super) fn free(nodes: usize) -> Result<Vec<NodePorts>, Failure> {
    let mut tcp: Vec<(TcpListener, u16)> = Vec::new();
    let mut udp: Vec<(UdpSocket, u16)> = Vec::new();
    let highest = HIGHEST.min(outgoing_from().saturating_sub(1)).max(LOWEST + 1_000);
    for _ in 0..ATTEMPTS_MAX {
        if tcp.len() == 3 * nodes && udp.len() == nodes {
            break;
        }
        let port = random_port(LOWEST, highest)?;
        if tcp.len() < 3 * nodes {
            tcp.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|listener| (listener, port)));
        } else {
            udp.extend(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map(|socket| (socket, port)));
        }
    }
    let ports: Vec<NodePorts> = tcp
        .chunks_exact(3)
        .zip(&udp)
        .map(|(tcp, udp)| NodePorts { service: tcp[0].1, cluster: udp.1, admin: tcp[1].1, api: tcp[2].1 })
        .collect();
    if ports.len() < nodes {
        return Err(Failure::other(format!("no free ports for {nodes} nodes on 127.0.0.1 from {LOWEST} to {highest}")));
    }
    Ok(ports)
}

/// Where the system begins to take ports for outgoing connections.
fn outgoing_from() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(HIGHEST)
}

fn random_port(lowest: u16, highest: u16) -> Result<u16, Failure> {
    let mut random = [0_u8; 4];
    getrandom::fill(&mut random).map_err(|error| Failure::other(format!("no randomness from the system: {error}")))?;
    let span = u32::from(highest - lowest) + 1;
    // Less than `span`, which is at most 65,536.
    Ok(lowest + (u32::from_le_bytes(random) % span) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_ports_are_ten_apart() {
        let ports = from_base(5000, 3).expect("they fit");
        assert_eq!(ports[0], NodePorts { service: 5000, cluster: 5001, admin: 5002, api: 5003 });
        assert_eq!(ports[2], NodePorts { service: 5020, cluster: 5021, admin: 5022, api: 5023 });
        let older = NodePorts { api: 0, ..ports[2] };
        assert!(ports[2].is_as(&older) && ports[2].is_as(&ports[2]) && !ports[2].is_as(&ports[1]));
        assert!(from_base(65_530, 3).is_err());
        assert!(from_base(0, 1).is_err());
    }

    #[test]
    fn free_ports_differ() {
        let ports = free(7).expect("there are free ports");
        let mut tcp: Vec<u16> = ports.iter().flat_map(|ports| [ports.service, ports.admin, ports.api]).collect();
        tcp.sort_unstable();
        tcp.dedup();
        assert_eq!(tcp.len(), 21);
    }
}
