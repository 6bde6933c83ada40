//! Packets between nodes: for each node a front socket that its peers take for it, and behind that one socket for each
//! peer, which the node takes for that peer.
//!
//! ```text
//! peer j ──► front of i ──► line j→i ──► socket of the pair (j, i) ──► node i
//! peer j ◄── front of i ◄── line i→j ◄── socket of the pair (j, i) ◄── node i
//! ```
//!
//! A peer is known by its address, since a node sends and receives on one socket. Whoever else comes (a node that asks
//! for its certificate, a doctor) has a line of its own that is cut only while the node is isolated.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::direction::{Direction, Outlet};
use super::error::ProxyError;
use super::nodes::{Nodes, Side};
use super::policy::count;

/// The largest UDP packet.
const PACKET_BYTES_MAX: usize = 64 << 10;
/// Asked of the kernel for each direction, as the nodes do; it may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Sources of one front, peers included. Beyond, the one that has been silent for longest is forgotten.
const SOURCES_MAX: usize = 256;
/// Packets that are read from a socket before others have their turn.
const BATCH_PACKETS: usize = 64;
/// After an error of a socket that is not about one packet.
const PAUSE: Duration = Duration::from_millis(10);

/// Where the packets of a pair pass.
#[derive(Clone)]
enum Line {
    Between(Arc<Direction>),
    /// Somebody who is no node, and the node.
    Stranger(Arc<Side>),
}

impl Line {
    fn pass(&self, packet: &[u8], outlet: &Outlet, nodes: &Nodes) {
        match self {
            Self::Between(direction) => direction.pass(packet, outlet),
            Self::Stranger(node) if node.is_isolated() => count(&nodes.counters.dropped),
            Self::Stranger(_) => outlet.send(packet, &nodes.counters),
        }
    }
}

/// What one source sends to one node and gets from it.
struct Pair {
    lines: Mutex<Lines>,
    /// From the source to the node.
    inward: Outlet,
    /// From the node to the source.
    outward: Outlet,
    reader: AbortHandle,
}

#[derive(Clone)]
struct Lines {
    inward: Line,
    outward: Line,
    last_packet: Instant,
}

/// The socket that stands for one node.
pub(super) struct Front {
    node: usize,
    real: SocketAddr,
    socket: Arc<UdpSocket>,
    pairs: Mutex<HashMap<SocketAddr, Arc<Pair>>>,
}

impl Front {
    /// Stands for the node whose real address is this one. [`Front::run`] must run for it.
    pub(super) fn bind(node: usize, real: SocketAddr) -> Result<(Self, SocketAddr), ProxyError> {
        let address = SocketAddr::new(real.ip(), 0);
        let failed = |reason| ProxyError { protocol: "UDP", address, reason };
        let socket = open(address).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        Ok((Self { node, real, socket: Arc::new(socket), pairs: Mutex::default() }, bound))
    }

    /// Somebody who may have been a stranger so far turns out to be a node.
    pub(super) fn know(&self, nodes: &Nodes, source: SocketAddr) {
        let pair = self.pairs.lock().get(&source).cloned();
        if let Some(pair) = pair {
            *pair.lines.lock() = self.lines(nodes, source);
        }
    }

    /// Reads what peers send, for as long as it runs.
    pub(super) async fn run(self: Arc<Self>, nodes: Arc<Nodes>) {
        // Ends with this task.
        let mut readers = JoinSet::new();
        let mut packet = vec![0; PACKET_BYTES_MAX];
        loop {
            if self.socket.readable().await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            for _ in 0..BATCH_PACKETS {
                match self.socket.try_recv_from(&mut packet) {
                    Ok((bytes, source)) => self.inward(&nodes, &packet[..bytes], source, &mut readers),
                    Err(_) => break,
                }
            }
            while readers.try_join_next().is_some() {}
            tokio::task::yield_now().await;
        }
    }

    fn inward(self: &Arc<Self>, nodes: &Arc<Nodes>, packet: &[u8], source: SocketAddr, readers: &mut JoinSet<()>) {
        let known = self.pairs.lock().get(&source).cloned();
        let pair = match known {
            Some(pair) => pair,
            None => match self.meet(nodes, source, readers) {
                Ok(pair) => pair,
                Err(_) => return count(&nodes.counters.overflowed),
            },
        };
        let line = {
            let mut lines = pair.lines.lock();
            lines.last_packet = Instant::now();
            lines.inward.clone()
        };
        line.pass(packet, &pair.inward, nodes);
    }

    /// The first packet of a source.
    fn meet(
        self: &Arc<Self>,
        nodes: &Arc<Nodes>,
        source: SocketAddr,
        readers: &mut JoinSet<()>,
    ) -> io::Result<Arc<Pair>> {
        let socket = Arc::new(open(SocketAddr::new(self.real.ip(), 0))?);
        let (start, started) = tokio::sync::oneshot::channel::<Arc<Pair>>();
        let (nodes_of_reader, real) = (Arc::clone(nodes), self.real);
        let reader = readers.spawn(async move {
            if let Ok(pair) = started.await {
                read(pair, real, nodes_of_reader).await;
            }
        });
        let pair = Arc::new(Pair {
            lines: Mutex::new(self.lines(nodes, source)),
            inward: Outlet { socket, to: self.real },
            outward: Outlet { socket: Arc::clone(&self.socket), to: source },
            reader,
        });
        // The task has just been made and waits.
        let _ = start.send(Arc::clone(&pair));
        let mut pairs = self.pairs.lock();
        if pairs.len() >= SOURCES_MAX {
            let silent = pairs.iter().min_by_key(|(_, pair)| pair.lines.lock().last_packet).map(|(source, _)| *source);
            if let Some(forgotten) = silent.and_then(|silent| pairs.remove(&silent)) {
                forgotten.reader.abort();
            }
        }
        pairs.insert(source, Arc::clone(&pair));
        Ok(pair)
    }

    fn lines(&self, nodes: &Nodes, source: SocketAddr) -> Lines {
        let last_packet = Instant::now();
        match nodes.at(source) {
            Some(peer) => Lines {
                inward: Line::Between(nodes.direction(peer, self.node)),
                outward: Line::Between(nodes.direction(self.node, peer)),
                last_packet,
            },
            None => {
                let stranger = Line::Stranger(nodes.side(self.node));
                Lines { inward: stranger.clone(), outward: stranger, last_packet }
            }
        }
    }
}

/// Reads what the node sends to the source.
async fn read(pair: Arc<Pair>, real: SocketAddr, nodes: Arc<Nodes>) {
    let socket = &pair.inward.socket;
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        if socket.readable().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        for _ in 0..BATCH_PACKETS {
            match socket.try_recv_from(&mut packet) {
                Ok((bytes, from)) if from == real => {
                    let line = pair.lines.lock().outward.clone();
                    line.pass(&packet[..bytes], &pair.outward, &nodes);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        tokio::task::yield_now().await;
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Whatever the kernel grants is good.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
