//! Connections between clients and nodes: accepted here, made again to the node, and what passes between them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::direction::time_for;
use super::door::{Behaviour, Passage};
use super::nodes::Nodes;

/// Bytes that are on their way in one direction of a connection; beyond, the sender has to wait.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 10;
/// Read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Pieces in which a line of limited bandwidth carries its bytes, per second.
const PIECES_PER_SECOND: u64 = 50;
/// Asked of the kernel for what is on its way to and from the proxy, so that an end that does not read is soon felt by
/// the other one; it takes twice as much.
const SOCKET_BUFFER_BYTES: usize = 64 << 10;
/// A node that does not take a connection within this is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A node that let a client go without a byte is not the front's first choice for this long.
const SUSPECTED: Duration = Duration::from_secs(3);
/// After an accept that failed, as without file descriptors.
const PAUSE: Duration = Duration::from_millis(10);

/// Where a listener leads.
pub(super) enum Target {
    /// To one node.
    Node(usize),
    /// To this one, if it lives; else to the next.
    Prefer(usize),
}

/// A listener of the proxy.
pub(super) struct Entrance {
    target: Target,
    nodes: Arc<Nodes>,
    /// Nodes that let a client go without a byte, and when.
    suspects: Mutex<HashMap<usize, Instant>>,
}

impl Entrance {
    pub(super) fn new(target: Target, nodes: Arc<Nodes>) -> Self {
        Self { target, nodes, suspects: Mutex::default() }
    }

    /// Serves those who connect, for as long as it runs.
    pub(super) async fn run(self, listener: TcpListener) {
        let entrance = Arc::new(self);
        // End with this task.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => {
                        connections.spawn(Arc::clone(&entrance).serve(client));
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn serve(self: Arc<Self>, client: TcpStream) {
        for (index, address) in self.candidates() {
            // Before the node knows of it, so that a fault concerns whatever the node has accepted.
            let passage = self.nodes.side(index).door.enter();
            if let Ok(Ok(node)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                if carry(client, node, passage).await == 0 {
                    self.suspects.lock().insert(index, Instant::now());
                }
                return;
            }
        }
        reset(&client);
    }

    /// Where a new connection may go, the best first.
    fn candidates(&self) -> Vec<(usize, SocketAddr)> {
        let mut doors = self.nodes.doors();
        match self.target {
            Target::Node(only) => doors.retain(|(index, _)| *index == only),
            Target::Prefer(preferred) => {
                doors.retain(|(index, _)| !self.nodes.side(*index).is_isolated());
                let at = doors.iter().position(|(index, _)| *index >= preferred).unwrap_or(0);
                doors.rotate_left(at);
                let mut suspects = self.suspects.lock();
                suspects.retain(|_, since| since.elapsed() < SUSPECTED);
                doors.sort_by_key(|(index, _)| suspects.contains_key(index));
            }
        }
        doors.retain(|(index, _)| !self.nodes.side(*index).door.refuses());
        doors
    }
}

/// Until both ends are done. How many bytes came from the node.
async fn carry(mut client: TcpStream, mut node: TcpStream, passage: Passage) -> u64 {
    for stream in [&client, &node] {
        // Latency is the policy's business. Whatever the kernel grants is good.
        let socket = SockRef::from(stream);
        let _ = (socket.set_tcp_nodelay(true), socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES));
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    }
    let mut from_node = 0;
    let is_over = {
        let (client_reads, client_writes) = client.split();
        let (node_reads, node_writes) = node.split();
        let up = pump(client_reads, node_writes, &passage, Way::ToNode, None);
        let down = pump(node_reads, client_writes, &passage, Way::ToClient, Some(&mut from_node));
        tokio::select! {
            () = passage.reset() => false,
            ended = async { tokio::try_join!(up, down) } => ended.is_ok(),
        }
    };
    if !is_over {
        reset(&client);
        reset(&node);
    }
    from_node
}

/// The other end gets a reset instead of an end once this is dropped.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToNode,
    ToClient,
}

/// Bytes on their way.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    written: usize,
}

/// One direction, until its end has been passed on. An error is one of the sockets'.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    passage: &Passage,
    way: Way,
    mut bytes: Option<&mut u64>,
) -> io::Result<()> {
    let mut behaviour = passage.behaviour.clone();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut queue = VecDeque::<Chunk>::new();
    let (mut queued_bytes, mut free_at, mut is_at_end) = (0, Instant::now(), false);
    loop {
        let now = *behaviour.borrow_and_update();
        if passage.number < now.half_open_below {
            swallow(from, &mut buffer).await;
            if way == Way::ToClient {
                passage.is_left_by_node();
            }
            return Ok(());
        }
        let stalls = now.stall && way == Way::ToClient;
        let read_max = CHUNK_BYTES.min(piece(&now));
        tokio::select! {
            changed = changed(&mut behaviour) => changed,
            read = from.read(&mut buffer[..read_max]),
                if !is_at_end && !stalls && queued_bytes < IN_FLIGHT_BYTES_MAX => {
                let read = read?;
                is_at_end = read == 0;
                if let Some(bytes) = &mut bytes {
                    **bytes += read as u64;
                }
                if read > 0 {
                    let mut due = Instant::now();
                    if let Some(bytes_per_second) = now.bytes_per_second {
                        free_at = free_at.max(due) + time_for(read, bytes_per_second);
                        due = free_at;
                    }
                    queued_bytes += read;
                    queue.push_back(Chunk { due: due + now.delay, bytes: buffer[..read].to_vec(), written: 0 });
                }
            }
            written = write_first(&mut to, queue.front()), if !queue.is_empty() && !stalls => {
                let written = written?;
                queued_bytes -= written;
                if let Some(first) = queue.front_mut() {
                    first.written += written;
                    if first.written == first.bytes.len() {
                        queue.pop_front();
                    }
                }
            }
        }
        if is_at_end && queue.is_empty() {
            return to.shutdown().await;
        }
    }
}

async fn changed(behaviour: &mut watch::Receiver<Behaviour>) {
    // The door lives as long as the passage does.
    let _ = behaviour.changed().await;
}

fn piece(behaviour: &Behaviour) -> usize {
    let piece = behaviour.bytes_per_second.map_or(u64::MAX, |per_second| per_second / PIECES_PER_SECOND);
    usize::try_from(piece).unwrap_or(usize::MAX).max(1)
}

async fn write_first(to: &mut WriteHalf<'_>, first: Option<&Chunk>) -> io::Result<usize> {
    let Some(first) = first else { return Ok(0) };
    tokio::time::sleep_until(first.due).await;
    to.write(&first.bytes[first.written..]).await
}

/// Reads until whoever sends has given up, and says nothing of it to anybody.
async fn swallow(mut from: ReadHalf<'_>, buffer: &mut [u8]) {
    while let Ok(1..) = from.read(buffer).await {}
}
