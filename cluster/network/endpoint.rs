//! The node's one UDP socket: accepts peers and dials them.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use quinn::TokioRuntime;

use super::client::{Peer, Slot};
use super::dial::Dialer;
use super::enrol;
use super::error::{close, close_with_endpoint};
use super::hello::LocalIdentity;
use super::notices::Notices;
use super::server::{self, Handler, Server};
use super::socket;
use super::tls::NetworkTls;
use super::transport;

/// Addresses remembered at most; beyond it, those without a connection that nobody holds are forgotten.
const ADDRESSES_MAX: usize = 1024;
/// Closing waits this long for the peers to be told.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Why the endpoint does not come up.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Another process has the port.
    #[error(
        "--cluster-addr (WEBSOCKET_CLUSTER_ADDR) {addr}: the UDP port is in use by another process; \
         stop it, or choose another port"
    )]
    AddrInUse {
        /// As configured.
        addr: SocketAddr,
    },
    /// Without certificates anybody on the network could pose as a node.
    #[error(
        "--cluster-addr (WEBSOCKET_CLUSTER_ADDR) {addr}: refused without certificates, it is not a loopback address; \
         add --tls-ca, --tls-cert and --tls-key (make them with `vedfolnir cert init`), or use 127.0.0.1"
    )]
    InsecureAddr {
        /// As configured.
        addr: SocketAddr,
    },
    /// Any other reason.
    #[error("--cluster-addr (WEBSOCKET_CLUSTER_ADDR) {addr}: {reason}; use an address of this machine and a free port")]
    Bind {
        /// As configured.
        addr: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
}

/// What a connection to a peer is for. Streams and windows are counted for each connection, so what clients cause cannot
/// stand in the way of heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Raft, membership and proposals.
    Cluster,
    /// What a node's service asks of another node's.
    Service,
}

/// The node's end of all connections; cheap to clone. Closed when the last clone is dropped.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    quinn: quinn::Endpoint,
    local_addr: SocketAddr,
    dialer: Arc<Dialer>,
    peers: Mutex<HashMap<(Lane, String), Arc<Slot>>>,
    volatile_dropped: Arc<AtomicU64>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        close_with_endpoint(&self.quinn, close::SHUTDOWN);
    }
}

impl Endpoint {
    /// Binds the socket and accepts peers from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn bind(
        bind: SocketAddr,
        tls: NetworkTls,
        identity: Arc<LocalIdentity>,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, NetworkError> {
        if tls.is_insecure() && !bind.ip().is_loopback() {
            return Err(NetworkError::InsecureAddr { addr: bind });
        }
        let failed = |reason: io::Error| match reason.kind() {
            io::ErrorKind::AddrInUse => NetworkError::AddrInUse { addr: bind },
            _ => NetworkError::Bind { addr: bind, reason },
        };
        let socket = socket::open(bind).map_err(failed)?;
        let local_addr = socket.local_addr().map_err(failed)?;
        let transport = Arc::new(transport::transport());
        let mut server_config = quinn::ServerConfig::with_crypto(tls.server());
        server_config.transport_config(Arc::clone(&transport)).migration(false);
        let mut client = quinn::ClientConfig::new(tls.client());
        client.transport_config(transport);
        let config = transport::endpoint_config(&tls.reset_secret(local_addr));
        let quinn =
            quinn::Endpoint::new(config, Some(server_config), socket, Arc::new(TokioRuntime)).map_err(failed)?;
        let notices = Arc::new(Notices::default());
        let server = Server {
            identity: Arc::clone(&identity),
            handler: Arc::clone(&handler),
            notices: Arc::clone(&notices),
            authenticated: !tls.is_insecure(),
            gate: enrol::Gate::default(),
        };
        tokio::spawn(server::accept(quinn.clone(), Arc::new(server)));
        let dialer = Arc::new(Dialer { endpoint: quinn.clone(), client, local_addr, identity, notices, handler });
        let inner =
            Inner { quinn, local_addr, dialer, peers: Mutex::default(), volatile_dropped: Arc::new(AtomicU64::new(0)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The peer at HOST:PORT. With `expect_node`, calls fail unless that node answers there.
    #[must_use]
    pub fn peer(&self, addr: &str, expect_node: Option<u64>) -> Peer {
        self.peer_on(Lane::Cluster, addr, expect_node)
    }

    /// As [`Endpoint::peer`], over the connection of a lane.
    #[must_use]
    pub fn peer_on(&self, lane: Lane, addr: &str, expect_node: Option<u64>) -> Peer {
        let mut peers = self.inner.peers.lock();
        let key = (lane, addr.to_owned());
        if let Some(slot) = peers.get(&key) {
            return Peer::new(Arc::clone(slot), expect_node);
        }
        if peers.len() >= ADDRESSES_MAX {
            peers.retain(|_, slot| slot.is_connected() || Arc::strong_count(slot) > 1);
        }
        let dropped = Arc::clone(&self.inner.volatile_dropped);
        let slot = Arc::new(Slot::new(addr.to_owned(), Arc::clone(&self.inner.dialer), dropped));
        peers.insert(key, Arc::clone(&slot));
        Peer::new(slot, expect_node)
    }

    /// Where the endpoint is bound, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// Volatile frames dropped, to all peers; counts on.
    #[must_use]
    pub fn volatile_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.inner.volatile_dropped)
    }

    /// Closes all connections and accepts no more; calls under way fail.
    pub fn close(&self) {
        close_with_endpoint(&self.inner.quinn, close::SHUTDOWN);
    }

    #[cfg(test)]
    pub(super) fn open_connections(&self) -> usize {
        self.inner.quinn.open_connections()
    }

    /// Waits until the peers were told of [`Endpoint::close`], for half a second at most.
    pub async fn wait_closed(&self) {
        // Too late: the peers find out by themselves.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.inner.quinn.wait_idle()).await;
    }
}
