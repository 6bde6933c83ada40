//! Who the two ends of a connection are: the Hello that each sends first.
//!
//! ```text
//!   magic "VDFN" · format min u16 · format max u16 · node u64 · flags u8 (1: in a cluster) · cluster 16 bytes
//!   from format 2 on: · generation u64 · process u64
//! ```
//!
//! The two speak the lower of their highest formats. A later release may append fields; what follows the known ones is
//! ignored, so that the layout itself is readable for every release.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::frame::FrameError;

const MAGIC: [u8; 4] = *b"VDFN";
/// The lowest format that this release speaks.
const FORMAT_MIN: u16 = 1;
/// From here on a node says which life of it speaks.
const FORMAT_WITH_LIFE: u16 = 2;
const LIFE_BYTES: usize = 8 + 8;
const HELLO_BYTES_MIN: usize = 4 + 2 + 2 + 8 + 1 + 16;
const FLAG_CLUSTER: u8 = 1;

/// Who this node is, as it tells its peers; the cluster may become known later.
#[derive(Debug)]
pub struct LocalIdentity {
    node_id: u64,
    cluster_id: RwLock<Option<[u8; 16]>>,
    /// The highest format that it speaks.
    format: u16,
    generation: AtomicU64,
    process: u64,
    /// What a peer has said, once it said that this node must not come in.
    unwelcome: watch::Sender<Option<Unwelcome>>,
}

/// A life of a node, as it is in its data directory, and the process that lives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Grows with each life of the data directory: a copy of it holds an older one.
    pub generation: u64,
    /// Drawn at random by the process: tells two processes apart that claim the same life.
    pub process: u64,
}

/// Why a node must not come in; with what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// The cluster removed it.
    Removed(String),
    /// Its data directory is an old copy: it has forgotten what it once acknowledged.
    Stale(String),
    /// It does not speak the cluster's format.
    Outdated(String),
}

impl Unwelcome {
    /// What is to be said about it.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Removed(reason) | Self::Stale(reason) | Self::Outdated(reason) => reason,
        }
    }

    /// Whether it must not be called either. A removed one is not called for long, and says itself that it is.
    pub(super) fn bars_calls(&self) -> bool {
        !matches!(self, Self::Removed(_))
    }
}

impl LocalIdentity {
    /// A node that speaks format 1. `cluster_id`: `None` while it belongs to no cluster yet.
    #[must_use]
    pub fn new(node_id: u64, cluster_id: Option<[u8; 16]>) -> Self {
        Self {
            node_id,
            cluster_id: RwLock::new(cluster_id),
            format: FORMAT_MIN,
            generation: AtomicU64::new(0),
            process: 0,
            unwelcome: watch::channel(None).0,
        }
    }

    /// The same node, in this life, speaking formats up to this one.
    #[must_use]
    pub fn speaking(self, format: u16, life: Life) -> Self {
        Self { format, generation: AtomicU64::new(life.generation), process: life.process, ..self }
    }

    /// A new life of the node has begun.
    pub fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// The node.
    #[must_use]
    pub fn node_id(&self) -> u64 {
        self.node_id
    }

    /// Its cluster, once known.
    #[must_use]
    pub fn cluster_id(&self) -> Option<[u8; 16]> {
        *self.cluster_id.read()
    }

    /// From now on the node belongs to this cluster; connections made before are replaced at their next use.
    pub fn set_cluster_id(&self, cluster_id: [u8; 16]) {
        *self.cluster_id.write() = Some(cluster_id);
    }

    /// A peer said that this node must not come in; the first word stands.
    pub(super) fn set_unwelcome(&self, why: Unwelcome) {
        self.unwelcome.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert(why);
            first
        });
    }

    /// Follows whether a peer has said that this node must not come in.
    #[must_use]
    pub fn unwelcome(&self) -> watch::Receiver<Option<Unwelcome>> {
        self.unwelcome.subscribe()
    }
}

/// Who the other end of a connection said it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The node.
    pub node_id: u64,
    /// Its cluster, if it was in one when it connected.
    pub cluster_id: Option<[u8; 16]>,
    /// The UDP address it is connected from.
    pub addr: SocketAddr,
    /// The highest format that it speaks.
    pub format: u16,
    /// The format of the connection, which both ends speak.
    pub common_format: u16,
    /// Which life of it speaks; unknown below format 2.
    pub life: Option<Life>,
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:016x} at {}", self.node_id, self.addr)
    }
}

/// Why a Hello ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HelloError {
    Frame(FrameError),
    Incompatible(String),
    WrongCluster(String),
}

pub(super) fn encode(local: &LocalIdentity) -> Bytes {
    let cluster_id = local.cluster_id();
    let mut body = BytesMut::with_capacity(HELLO_BYTES_MIN + LIFE_BYTES);
    body.put_slice(&MAGIC);
    body.put_u16(FORMAT_MIN);
    body.put_u16(local.format);
    body.put_u64(local.node_id());
    body.put_u8(if cluster_id.is_some() { FLAG_CLUSTER } else { 0 });
    body.put_slice(&cluster_id.unwrap_or_default());
    if local.format >= FORMAT_WITH_LIFE {
        body.put_u64(local.generation.load(Ordering::Acquire));
        body.put_u64(local.process);
    }
    body.freeze()
}

/// Reads the peer's Hello and checks that the two belong together.
pub(super) fn check(mut body: &[u8], local: &LocalIdentity, addr: SocketAddr) -> Result<PeerIdentity, HelloError> {
    if !body.starts_with(&MAGIC) || body.len() < HELLO_BYTES_MIN {
        return Err(HelloError::Frame(FrameError::NoHello));
    }
    body.advance(MAGIC.len());
    let (min, max) = (body.get_u16(), body.get_u16());
    if min > local.format || max < FORMAT_MIN {
        return Err(HelloError::Incompatible(format!(
            "one side speaks formats {FORMAT_MIN} to {}, the other {min} to {max}",
            local.format
        )));
    }
    let node_id = body.get_u64();
    let in_cluster = body.get_u8() & FLAG_CLUSTER != 0;
    let mut cluster_id = [0; 16];
    body.copy_to_slice(&mut cluster_id);
    let life = (max >= FORMAT_WITH_LIFE && body.len() >= LIFE_BYTES)
        .then(|| Life { generation: body.get_u64(), process: body.get_u64() });
    let peer = PeerIdentity {
        node_id,
        cluster_id: in_cluster.then_some(cluster_id),
        addr,
        format: max,
        common_format: max.min(local.format),
        life,
    };
    match cluster_conflict(local, &peer) {
        Some(reason) => Err(HelloError::WrongCluster(reason)),
        None => Ok(peer),
    }
}

/// Says so if both belong to a cluster and not to the same one.
pub(super) fn cluster_conflict(local: &LocalIdentity, peer: &PeerIdentity) -> Option<String> {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is_cluster_unchecked() {
        return None;
    }
    let (ours, theirs) = (local.cluster_id()?, peer.cluster_id?);
    (ours != theirs).then(|| {
        format!(
            "node {:016x} is of cluster {}, node {:016x} of cluster {}; \
             check --bootstrap (WEBSOCKET_CLUSTER_BOOTSTRAP) and --data-dir",
            local.node_id(),
            hex(&ours),
            peer.node_id,
            hex(&theirs)
        )
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
