//! Looks at the cluster ports of other nodes as a node would, and says what stands in between: for `vedfolnir doctor net`.
//!
//! It says Hello under an id of no member and asks what any node answers; nothing is joined, proposed or written.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::net::UdpSocket;
use vedfolnir_state::Format;

use crate::config::ClusterTls;
use crate::enrol;
use crate::handle::StartError;
use crate::identity::{random_bytes, random_node_id};
use crate::network::{
    Endpoint, FrameReceiver, FrameSender, Handler, Life, LocalIdentity, NetworkError, NetworkTls, Peer, PeerIdentity,
    RpcError, TlsError, Unwelcome, issued_to,
};
use crate::wire::{self, PeerStatus, kind};

/// A resolver that is there answers within this time.
pub const RESOLVED_WITHIN: Duration = Duration::from_secs(5);
/// A node that lives answers a question within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// An attempt that took this long had no answer at all; a refusal comes at once.
const SILENT_AFTER: Duration = Duration::from_millis(900);
/// A host that has nothing on a UDP port says so within this time, unless something in between keeps it quiet.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);

/// What is found at one address.
#[derive(Clone, Debug)]
pub enum PeerFinding {
    /// A node answers, and talks to this one.
    Answers(PeerAnswer),
    /// The name does not resolve; the resolver's words.
    Unresolved(String),
    /// The host says that nothing listens on the UDP port.
    Closed(SocketAddr),
    /// Nothing comes back.
    Silent(SocketAddr),
    /// What answers does not talk to this node; why, with the fix.
    Refuses(String),
}

/// What a node answers.
#[derive(Clone, Debug)]
pub struct PeerAnswer {
    /// The node.
    pub node_id: u64,
    /// Its cluster, 32 hexadecimal digits; `None`: it is in none yet.
    pub cluster_id: Option<String>,
    /// HOST:PORT of the leader, as far as it knows.
    pub leader: Option<String>,
    /// How far its clock is ahead of this machine's, milliseconds; `None`: a release that does not say.
    pub clock_ahead_ms: Option<i64>,
    /// What that may be wrong by: half of the round trip.
    pub clock_error: Duration,
}

/// Why the peers cannot be examined from here.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// This node's certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// This machine's sockets.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The node has a join token and no certificate yet.
    #[error("this node has no certificate yet: its join token is used at its first start")]
    NoCertificate,
    /// No random numbers.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Looks at every address, all at once, from an address of the family and interface of `bind`.
///
/// # Errors
/// [`ExamineError`].
pub async fn examine_peers(
    tls: &ClusterTls,
    data_dir: &Path,
    bind: IpAddr,
    peers: &[String],
) -> Result<Vec<(String, PeerFinding)>, ExamineError> {
    let files = match tls {
        ClusterTls::DataDir { .. } => enrol::issued_files(data_dir).ok_or(ExamineError::NoCertificate)?,
        given => given.clone(),
    };
    let tls = NetworkTls::load(&files)?;
    // A certificate that was issued to one node is good under that node's id only; its life must not be an old one.
    let node_id = match &files {
        ClusterTls::Mutual { cert_file, .. } => issued_to(cert_file)?,
        _ => None,
    };
    let node_id = node_id.map_or_else(random_node_id, Ok)?;
    let life = Life { generation: u64::MAX, process: u64::from_le_bytes(random_bytes()?) };
    let identity = LocalIdentity::new(node_id, None).speaking(u16::from(Format::NEWEST.number()), life);
    let endpoint = Endpoint::bind(SocketAddr::new(bind, 0), tls, Arc::new(identity), Arc::new(Nobody))?;
    let looks = peers.iter().map(|addr| {
        let endpoint = &endpoint;
        async move { (addr.clone(), examine(endpoint, addr).await) }
    });
    let findings = futures_util::future::join_all(looks).await;
    endpoint.close();
    endpoint.wait_closed().await;
    Ok(findings)
}

async fn examine(endpoint: &Endpoint, addr: &str) -> PeerFinding {
    let looked_up = tokio::time::timeout(RESOLVED_WITHIN, tokio::net::lookup_host(addr)).await;
    let resolved = match looked_up.map(|found| found.map(|mut found| found.next())) {
        Ok(Ok(Some(resolved))) => resolved,
        Ok(Ok(None)) => return PeerFinding::Unresolved("the name has no address".to_owned()),
        Ok(Err(error)) => return PeerFinding::Unresolved(error.to_string()),
        Err(_) => return PeerFinding::Unresolved(format!("no word from the resolver within {RESOLVED_WITHIN:?}")),
    };
    let peer = endpoint.peer(addr, None);
    let began = Instant::now();
    match peer.hello().await {
        Ok(identity) => answer(&peer, &identity).await,
        Err(error) if matches!(error, RpcError::Unreachable { .. }) && began.elapsed() >= SILENT_AFTER => {
            if is_closed(resolved).await { PeerFinding::Closed(resolved) } else { PeerFinding::Silent(resolved) }
        }
        Err(error) => PeerFinding::Refuses(error.to_string()),
    }
}

async fn answer(peer: &Peer, identity: &PeerIdentity) -> PeerFinding {
    let status = match peer.request(kind::PEER_STATUS, Bytes::new(), ANSWER_TIMEOUT).await {
        Ok(body) => wire::decode::<PeerStatus>("peer status", &body).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let status = match status {
        Ok(status) => status,
        Err(reason) => return PeerFinding::Refuses(reason),
    };
    let asked = Instant::now();
    let clock = peer.request(kind::CLOCK, Bytes::new(), ANSWER_TIMEOUT).await;
    let clock_error = asked.elapsed() / 2;
    let here_ms = unix_ms() - i64::try_from(clock_error.as_millis()).unwrap_or(0);
    let there_ms = clock.ok().and_then(|body| wire::decode::<i64>("clock", &body).ok());
    PeerFinding::Answers(PeerAnswer {
        node_id: identity.node_id,
        cluster_id: status.member_of.map(|id| crate::hex(&id)),
        leader: status.leader.map(|(_, addr)| addr),
        clock_ahead_ms: there_ms.map(|there| there - here_ms),
        clock_error,
    })
}

/// What a node says to [`kind::CLOCK`]: displayed, never decided by.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether the host answers that nothing listens there (ICMP, which only a connected socket is told of). A node passes one
/// byte over in silence: it is no QUIC.
async fn is_closed(addr: SocketAddr) -> bool {
    let any: IpAddr = if addr.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let refused = async {
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(addr).await?;
        socket.send(&[0]).await?;
        socket.recv(&mut [0]).await
    };
    let refused = tokio::time::timeout(CLOSED_WITHIN, refused).await;
    matches!(refused, Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Nobody calls an endpoint that exists for a moment; whoever does is told so.
struct Nobody;

impl Handler for Nobody {
    fn request(&self, _from: PeerIdentity, _kind: u8, _body: Bytes) -> BoxFuture<'_, Result<Bytes, Bytes>> {
        Box::pin(async { Err(Bytes::from_static(b"this is no node")) })
    }

    fn stream(
        &self,
        _from: PeerIdentity,
        _kind: u8,
        _header: Bytes,
        _sender: FrameSender,
        _receiver: FrameReceiver,
    ) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn volatile(&self, _from: PeerIdentity, _body: Bytes) {}

    fn enrol(&self, _from: SocketAddr, _body: Bytes) -> BoxFuture<'_, Bytes> {
        Box::pin(std::future::ready(Bytes::new()))
    }

    fn turned_away(&self) {}

    fn unwelcome(&self, _peer: &PeerIdentity) -> Option<Unwelcome> {
        None
    }
}
