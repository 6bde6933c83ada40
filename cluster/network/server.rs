//! Accepts peers, checks who they are, and hands their requests, streams and volatile frames to the [`Handler`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quinn::{ConnectionError, Incoming, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::enrol;
use super::error::{RpcError, close, close_to_unwelcome, close_with};
use super::frame::{Frame, FrameError, FrameKind};
use super::hello::{self, HelloError, LocalIdentity, PeerIdentity, Unwelcome};
use super::named;
use super::notices::Notices;
use super::stream::{Channel, FrameReceiver, FrameSender};
use super::tls;

/// Connections that peers keep open here, handshakes included; further ones are refused.
const CONNECTIONS_MAX: usize = 512;
/// From the first packet to the Hello.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// What answers the peers. Requests and streams run as tasks of their own; at most
/// [`STREAMS_MAX`](super::transport::STREAMS_MAX) of them for each connection, QUIC grants no more streams.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request; an error is a text for the caller.
    fn request(&self, from: PeerIdentity, kind: u8, body: Bytes) -> BoxFuture<'_, Result<Bytes, Bytes>>;

    /// Serves a stream until it returns; dropping the halves ends them.
    fn stream(
        &self,
        from: PeerIdentity,
        kind: u8,
        header: Bytes,
        sender: FrameSender,
        receiver: FrameReceiver,
    ) -> BoxFuture<'_, ()>;

    /// Takes a volatile frame; must not block.
    fn volatile(&self, from: PeerIdentity, body: Bytes);

    /// Answers the request of a node that has no certificate yet; the caller is not authenticated.
    fn enrol(&self, from: SocketAddr, body: Bytes) -> BoxFuture<'_, Bytes>;

    /// A stranger was turned away unheard: one too many.
    fn turned_away(&self);

    /// Why a peer that is of the cluster must not come in, if so; asked at the Hello.
    fn unwelcome(&self, peer: &PeerIdentity) -> Option<Unwelcome>;

    /// Why it must not come in any more; asked with each call on a connection that stands. Must not wait: `None` as well
    /// when it cannot be said just now. Must not come back to the endpoint: its connections are locked meanwhile.
    fn unwelcome_by_now(&self, peer: &PeerIdentity) -> Option<Unwelcome> {
        self.unwelcome(peer)
    }
}

/// What the tasks of the accepting side share.
pub(super) struct Server {
    pub(super) identity: Arc<LocalIdentity>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) notices: Arc<Notices>,
    /// Whether peers show certificates.
    pub(super) authenticated: bool,
    pub(super) gate: enrol::Gate,
}

/// Who came in.
enum Greeted {
    Peer(Arc<Channel>, PeerIdentity),
    /// A node without a certificate that may ask for one, and for nothing else.
    Stranger(quinn::Connection),
}

/// Accepts until the endpoint is closed.
pub(super) async fn accept(endpoint: quinn::Endpoint, server: Arc<Server>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(incoming) = endpoint.accept().await {
        match Arc::clone(&connections).try_acquire_owned() {
            Ok(permit) => {
                tokio::spawn(serve(incoming, Arc::clone(&server), permit));
            }
            Err(_) => {
                if server.notices.is_due("connections".to_owned(), Instant::now()) {
                    let from = incoming.remote_address();
                    tracing::warn!(%from, "a connection was refused: {CONNECTIONS_MAX} are open already");
                }
                incoming.refuse();
            }
        }
    }
}

async fn serve(incoming: Incoming, server: Arc<Server>, _permit: OwnedSemaphorePermit) {
    let from = incoming.remote_address();
    let greeted = tokio::time::timeout(HANDSHAKE_TIMEOUT, server.greet(incoming)).await;
    let (channel, peer) = match greeted {
        Ok(Ok(Greeted::Peer(channel, peer))) => (channel, peer),
        Ok(Ok(Greeted::Stranger(connection))) => {
            if let Err(refusal) = enrol::serve(connection, &server.gate, &server.handler).await {
                server.log_refusal(&from.to_string(), refusal);
            }
            return;
        }
        Ok(Err(refusal)) => return server.log_refusal(&from.to_string(), refusal),
        Err(_) => {
            let silent = RpcError::unreachable(&from.to_string(), format!("no Hello within {HANDSHAKE_TIMEOUT:?}"));
            return server.log_refusal(&from.to_string(), silent);
        }
    };
    tracing::debug!(%peer, "a peer connected");
    let reason = server.serve_streams(&channel, peer).await;
    // Only what a peer of the same cluster says about this node counts.
    if let Some(why) = RpcError::connection(&channel.peer, &reason).unwelcome()
        && peer.cluster_id.is_some()
    {
        server.identity.set_unwelcome(why);
    }
    tracing::debug!(%peer, "a peer's connection ended: {reason}");
}

impl Server {
    /// Handshake and Hellos.
    async fn greet(&self, incoming: Incoming) -> Result<Greeted, RpcError> {
        let addr = incoming.remote_address();
        let name = addr.to_string();
        let connection = incoming.await.map_err(|error| RpcError::connection(&name, &error))?;
        if tls::is_enrolment(&connection) {
            return Ok(Greeted::Stranger(connection));
        }
        if self.authenticated && named::certificates(&connection).is_none() {
            close_with(&connection, close::CERTIFICATE, tls::CERTIFICATE_DEMANDED);
            let reason = "it sent no certificates; start it with --tls-ca, --tls-cert and --tls-key".to_owned();
            return Err(RpcError::Tls { peer: name, reason });
        }
        let channel = Arc::new(Channel { connection, peer: name.clone(), notices: Arc::clone(&self.notices) });
        let (send, recv) = channel.connection.accept_bi().await.map_err(|error| RpcError::connection(&name, &error))?;
        let mut sender = FrameSender::new(send, Arc::clone(&channel));
        let mut receiver = FrameReceiver::new(recv, Arc::clone(&channel));
        let body = match receiver.recv_frame().await? {
            Some(Frame { kind: FrameKind::Hello, body }) => body,
            Some(frame) => {
                return Err(receiver.violated(FrameError::Unexpected { expected: "Hello", found: frame.kind as u8 }));
            }
            None => return Err(receiver.violated(FrameError::Missing { expected: "a Hello" })),
        };
        let peer = hello::check(&body, &self.identity, addr).map_err(|error| match error {
            HelloError::Frame(error) => receiver.violated(error),
            HelloError::Incompatible(reason) => {
                close_with(&channel.connection, close::INCOMPATIBLE, &reason);
                RpcError::Incompatible { peer: name.clone(), reason }
            }
            HelloError::WrongCluster(reason) => {
                close_with(&channel.connection, close::WRONG_CLUSTER, &reason);
                RpcError::WrongCluster { peer: name.clone(), reason }
            }
        })?;
        if let Some(reason) = named::conflict(&channel.connection, &peer) {
            close_with(&channel.connection, close::CERTIFICATE, &reason);
            return Err(RpcError::Tls { peer: name, reason });
        }
        if let Some(why) = self.handler.unwelcome(&peer) {
            close_to_unwelcome(&channel.connection, &why);
            return Err(RpcError::Barred { peer: name, why });
        }
        sender.send_frame(FrameKind::Hello, &[], hello::encode(&self.identity)).await?;
        sender.finish().await?;
        Ok(Greeted::Peer(channel, peer))
    }

    /// Runs until the connection ends.
    async fn serve_streams(self: &Arc<Self>, channel: &Arc<Channel>, peer: PeerIdentity) -> ConnectionError {
        loop {
            tokio::select! {
                opened = channel.connection.accept_bi() => match opened {
                    Ok((send, recv)) => {
                        if self.is_still_welcome(channel, &peer) {
                            let (server, channel) = (Arc::clone(self), Arc::clone(channel));
                            tokio::spawn(async move { server.serve_call(channel, peer, send, recv).await });
                        }
                    }
                    Err(error) => return error,
                },
                opened = channel.connection.accept_uni() => match opened {
                    Ok(recv) => {
                        if self.is_still_welcome(channel, &peer) {
                            let (server, channel) = (Arc::clone(self), Arc::clone(channel));
                            tokio::spawn(async move { server.serve_volatile(channel, peer, recv).await });
                        }
                    }
                    Err(error) => return error,
                },
            }
        }
    }

    /// This node may have come to belong to a cluster since the Hellos, and that may have removed the peer, or speak a
    /// format that the peer does not.
    fn is_still_welcome(&self, channel: &Channel, peer: &PeerIdentity) -> bool {
        if let Some(why) = self.handler.unwelcome_by_now(peer) {
            if channel.connection.close_reason().is_none() {
                close_to_unwelcome(&channel.connection, &why);
                self.log_refusal(&channel.peer, RpcError::Barred { peer: channel.peer.clone(), why });
            }
            return false;
        }
        let Some(reason) = hello::cluster_conflict(&self.identity, peer) else { return true };
        if channel.connection.close_reason().is_none() {
            close_with(&channel.connection, close::WRONG_CLUSTER, &reason);
            self.log_refusal(&channel.peer, RpcError::WrongCluster { peer: channel.peer.clone(), reason });
        }
        false
    }

    async fn serve_call(&self, channel: Arc<Channel>, peer: PeerIdentity, send: SendStream, recv: RecvStream) {
        let sender = FrameSender::new(send, Arc::clone(&channel));
        let mut receiver = FrameReceiver::new(recv, channel);
        // A caller that gave up before it sent anything, or a broken connection, is no news.
        let Ok(Some(Frame { kind, mut body })) = receiver.recv_frame().await else { return };
        if !matches!(kind, FrameKind::Request | FrameKind::Stream) {
            receiver.violated(FrameError::Unexpected { expected: "request or stream", found: kind as u8 });
            return;
        }
        if body.is_empty() {
            receiver.violated(FrameError::Missing { expected: "the kind of a request" });
            return;
        }
        let call = body.get_u8();
        if kind == FrameKind::Stream {
            return self.handler.stream(peer, call, body, sender, receiver).await;
        }
        let answer = self.handler.request(peer, call, body).await;
        if let Err(error) = send_answer(sender, answer).await {
            tracing::debug!(%peer, "an answer was not sent: {error}");
        }
        // The end of the request has arrived by now: reading it spares QUIC a frame that would stop the sender.
        let _ = receiver.recv_frame().now_or_never();
    }

    async fn serve_volatile(&self, channel: Arc<Channel>, peer: PeerIdentity, recv: RecvStream) {
        let mut receiver = FrameReceiver::new(recv, channel);
        while let Ok(Some(Frame { kind, body })) = receiver.recv_frame().await {
            if kind != FrameKind::Volatile {
                receiver.violated(FrameError::Unexpected { expected: "volatile frame", found: kind as u8 });
                return;
            }
            self.handler.volatile(peer, body);
        }
    }

    /// One line for each address and cause.
    fn log_refusal(&self, from: &str, refusal: RpcError) {
        // A violation was logged where the connection was closed.
        if matches!(refusal, RpcError::Frame { .. }) {
            return;
        }
        let host = from.rsplit_once(':').map_or(from, |(host, _)| host);
        if self.notices.is_due(format!("accept {host} {}", refusal.class()), Instant::now()) {
            tracing::warn!(from, "a connection was refused: {refusal}");
        } else {
            tracing::debug!(from, "a connection was refused: {refusal}");
        }
    }
}

async fn send_answer(mut sender: FrameSender, answer: Result<Bytes, Bytes>) -> Result<(), RpcError> {
    let (kind, body) = match answer {
        Ok(body) => (FrameKind::Answer, body),
        Err(text) => (FrameKind::Refusal, text),
    };
    match sender.send_frame(kind, &[], body).await {
        Err(RpcError::Frame { error, .. }) => {
            let text = format!("the answer cannot be sent: {error}");
            sender.send_frame(FrameKind::Refusal, &[], Bytes::from(text)).await?;
        }
        other => other?,
    }
    sender.finish().await
}
