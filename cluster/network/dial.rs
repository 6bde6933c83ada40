//! Dials a peer: resolves its address anew, connects, exchanges Hellos.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_ok;
use quinn::{ClientConfig, ConnectError};

use super::error::{RpcError, close, close_to_unwelcome, close_with};
use super::frame::{Frame, FrameError, FrameKind};
use super::hello::{self, HelloError, LocalIdentity, PeerIdentity, Unwelcome};
use super::link::Link;
use super::named;
use super::notices::Notices;
use super::server::Handler;
use super::stream::{Channel, FrameReceiver, FrameSender};
use super::tls::SERVER_NAME;

/// Resolving, connecting and the Hellos together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Addresses of one name that are tried, at the same time.
const ADDRESSES_MAX: usize = 4;

/// Everything that is needed to dial.
pub(super) struct Dialer {
    pub(super) endpoint: quinn::Endpoint,
    pub(super) client: ClientConfig,
    pub(super) local_addr: SocketAddr,
    pub(super) identity: Arc<LocalIdentity>,
    pub(super) notices: Arc<Notices>,
    pub(super) handler: Arc<dyn Handler>,
}

impl Dialer {
    /// Connects to HOST:PORT within [`CONNECT_TIMEOUT`].
    pub(super) async fn dial(&self, peer: &str) -> Result<Link, RpcError> {
        let result = match tokio::time::timeout(CONNECT_TIMEOUT, self.dial_any(peer)).await {
            Ok(result) => result,
            Err(_) => Err(RpcError::unreachable(
                peer,
                format!(
                    "no valid answer within {CONNECT_TIMEOUT:?}: is the node up, and is this its UDP cluster port?"
                ),
            )),
        };
        self.log(peer, &result);
        result
    }

    /// Whether a peer that is connected must not be called any more.
    pub(super) fn is_barred_by_now(&self, peer: &PeerIdentity) -> bool {
        self.handler.unwelcome_by_now(peer).is_some_and(|why| why.bars_calls())
    }

    fn log(&self, peer: &str, result: &Result<Link, RpcError>) {
        match result {
            Ok(link) => {
                self.notices.forget(&format!("dial {peer} unreachable"));
                tracing::debug!(peer, node = format!("{:016x}", link.identity.node_id), "connected to a peer");
            }
            Err(error) => {
                let due = self.notices.is_due(format!("dial {peer} {}", error.class()), Instant::now());
                match error {
                    _ if !due => tracing::debug!(peer, "{error}"),
                    // A peer that is not up yet or any more is no fault of the configuration.
                    RpcError::Unreachable { .. } => tracing::info!(peer, "{error}"),
                    _ => tracing::warn!(peer, "{error}"),
                }
            }
        }
    }

    async fn dial_any(&self, peer: &str) -> Result<Link, RpcError> {
        let found = tokio::net::lookup_host(peer).await;
        let found = found.map_err(|error| {
            RpcError::unreachable(peer, format!("the address does not resolve ({error}); HOST:PORT is expected"))
        })?;
        // The socket is of one family; an IPv6 socket reaches IPv4 only when it is unspecified (dual-stack).
        let local = self.local_addr;
        let reachable =
            |addr: &SocketAddr| addr.is_ipv4() == local.is_ipv4() || (local.is_ipv6() && local.ip().is_unspecified());
        let dials: Vec<_> =
            found.filter(reachable).take(ADDRESSES_MAX).map(|addr| Box::pin(self.dial_one(peer, addr))).collect();
        if dials.is_empty() {
            return Err(RpcError::unreachable(
                peer,
                format!("it has no address of the family of --cluster-addr (WEBSOCKET_CLUSTER_ADDR) {local}"),
            ));
        }
        select_ok(dials).await.map(|(link, _others)| link)
    }

    async fn dial_one(&self, peer: &str, addr: SocketAddr) -> Result<Link, RpcError> {
        let connecting = self
            .endpoint
            .connect_with(self.client.clone(), addr, SERVER_NAME)
            .map_err(|error| RpcError::unreachable(peer, refused_locally(&error)))?;
        let connection = connecting.await.map_err(|error| RpcError::connection(peer, &error))?;
        let channel = Arc::new(Channel { connection, peer: peer.to_owned(), notices: Arc::clone(&self.notices) });
        let told_cluster = self.identity.cluster_id();
        let identity = self.greet(&channel, addr).await.inspect_err(|error| {
            if let Some(why) = error.unwelcome() {
                self.identity.set_unwelcome(why);
            }
        })?;
        if let Some(reason) = named::conflict(&channel.connection, &identity) {
            close_with(&channel.connection, close::CERTIFICATE, &reason);
            return Err(RpcError::Tls { peer: peer.to_owned(), reason });
        }
        if let Some(why) = self.handler.unwelcome(&identity).filter(Unwelcome::bars_calls) {
            close_to_unwelcome(&channel.connection, &why);
            return Err(RpcError::Barred { peer: peer.to_owned(), why });
        }
        Ok(Link::new(channel, identity, told_cluster))
    }

    async fn greet(&self, channel: &Arc<Channel>, addr: SocketAddr) -> Result<PeerIdentity, RpcError> {
        let peer = &channel.peer;
        let opened = channel.connection.open_bi().await;
        let (send, recv) = opened.map_err(|error| RpcError::connection(peer, &error))?;
        let mut sender = FrameSender::new(send, Arc::clone(channel));
        let mut receiver = FrameReceiver::new(recv, Arc::clone(channel));
        sender.send_frame(FrameKind::Hello, &[], hello::encode(&self.identity)).await?;
        sender.finish().await?;
        let body = match receiver.recv_frame().await? {
            Some(Frame { kind: FrameKind::Hello, body }) => body,
            Some(frame) => {
                return Err(receiver.violated(FrameError::Unexpected { expected: "Hello", found: frame.kind as u8 }));
            }
            None => return Err(receiver.violated(FrameError::Missing { expected: "a Hello" })),
        };
        hello::check(&body, &self.identity, addr).map_err(|error| match error {
            HelloError::Frame(error) => receiver.violated(error),
            HelloError::Incompatible(reason) => {
                close_with(&channel.connection, close::INCOMPATIBLE, &reason);
                RpcError::Incompatible { peer: peer.clone(), reason }
            }
            HelloError::WrongCluster(reason) => {
                close_with(&channel.connection, close::WRONG_CLUSTER, &reason);
                RpcError::WrongCluster { peer: peer.clone(), reason }
            }
        })
    }
}

fn refused_locally(error: &ConnectError) -> String {
    match error {
        ConnectError::EndpointStopping => "this node is stopping".to_owned(),
        other => other.to_string(),
    }
}
