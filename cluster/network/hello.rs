//! Who the two ends of a connection are: the Hello that each sends first.
//!
//! ```text
//!   magic "VDFN" · version min u16 · version max u16 · node u64 · flags u8 (1: in a cluster) · cluster 16 bytes
//! ```
//!
//! A later release may append fields; what follows the known ones is ignored.

use std::fmt;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::frame::FrameError;

const MAGIC: [u8; 4] = *b"VDFN";
/// Protocol versions that this release speaks.
const VERSION_MIN: u16 = 1;
const VERSION_MAX: u16 = 1;
const HELLO_BYTES_MIN: usize = 4 + 2 + 2 + 8 + 1 + 16;
const FLAG_CLUSTER: u8 = 1;

/// Who this node is, as it tells its peers; the cluster may become known later.
#[derive(Debug)]
pub struct LocalIdentity {
    node_id: u64,
    cluster_id: RwLock<Option<[u8; 16]>>,
    /// Set once a peer has said that the cluster removed this node.
    removed: watch::Sender<bool>,
}

impl LocalIdentity {
    /// `cluster_id`: `None` while the node belongs to no cluster yet.
    #[must_use]
    pub fn new(node_id: u64, cluster_id: Option<[u8; 16]>) -> Self {
        Self { node_id, cluster_id: RwLock::new(cluster_id), removed: watch::channel(false).0 }
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

    /// A peer said that the cluster removed this node.
    pub(super) fn set_removed(&self) {
        self.removed.send_replace(true);
    }

    /// Follows whether a peer has said that the cluster removed this node.
    #[must_use]
    pub fn removed(&self) -> watch::Receiver<bool> {
        self.removed.subscribe()
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
    let mut body = BytesMut::with_capacity(HELLO_BYTES_MIN);
    body.put_slice(&MAGIC);
    body.put_u16(VERSION_MIN);
    body.put_u16(VERSION_MAX);
    body.put_u64(local.node_id());
    body.put_u8(if cluster_id.is_some() { FLAG_CLUSTER } else { 0 });
    body.put_slice(&cluster_id.unwrap_or_default());
    body.freeze()
}

/// Reads the peer's Hello and checks that the two belong together.
pub(super) fn check(mut body: &[u8], local: &LocalIdentity, addr: SocketAddr) -> Result<PeerIdentity, HelloError> {
    if !body.starts_with(&MAGIC) || body.len() < HELLO_BYTES_MIN {
        return Err(HelloError::Frame(FrameError::NoHello));
    }
    body.advance(MAGIC.len());
    let (min, max) = (body.get_u16(), body.get_u16());
    if min > VERSION_MAX || max < VERSION_MIN {
        return Err(HelloError::Incompatible(format!(
            "one side speaks protocol versions {VERSION_MIN} to {VERSION_MAX}, the other {min} to {max}"
        )));
    }
    let node_id = body.get_u64();
    let in_cluster = body.get_u8() & FLAG_CLUSTER != 0;
    let mut cluster_id = [0; 16];
    body.copy_to_slice(&mut cluster_id);
    let peer = PeerIdentity { node_id, cluster_id: in_cluster.then_some(cluster_id), addr };
    match cluster_conflict(local, &peer) {
        Some(reason) => Err(HelloError::WrongCluster(reason)),
        None => Ok(peer),
    }
}

/// Says so if both belong to a cluster and not to the same one.
pub(super) fn cluster_conflict(local: &LocalIdentity, peer: &PeerIdentity) -> Option<String> {
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
