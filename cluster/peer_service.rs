//! What a node's service asks of another node's: a stream of frames, opaque to this floor, over a lane of its own.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use vedfolnir_state::NodeId;

use crate::handle::Cluster;
use crate::network::{FrameReceiver, FrameSender, Lane};
use crate::question::{Answer, Question};
use crate::wire::kind;

/// Answers the services of other nodes.
pub trait PeerService: Send + Sync + 'static {
    /// Serves a stream that began with `header`, until it returns.
    fn serve(&self, header: Bytes, stream: PeerStream) -> BoxFuture<'_, ()>;

    /// Answers a question, within the time that it says. Dropped with the node.
    fn answer(&self, from: NodeId, question: Question) -> BoxFuture<'_, Answer>;
}

/// Frames in both directions, in order; each at most 16 MiB. Dropping it ends both.
#[derive(Debug)]
pub struct PeerStream {
    sender: FrameSender,
    receiver: FrameReceiver,
}

/// The peer is no member, cannot be reached, or has ended the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node:016x}: {reason}")]
pub struct PeerUnreachable {
    /// The node.
    pub node: NodeId,
    /// What happened.
    pub reason: String,
}

impl PeerStream {
    pub(crate) fn new(sender: FrameSender, receiver: FrameReceiver) -> Self {
        Self { sender, receiver }
    }

    /// Sends a frame; waits while the peer does not read. False: nobody reads any more.
    pub async fn send(&mut self, frame: Bytes) -> bool {
        self.sender.send(frame).await.is_ok()
    }

    /// The next frame; `None` once the peer has ended the stream, in whichever way. Cancelling loses nothing.
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.receiver.recv().await.ok().flatten()
    }

    /// The two directions, for two tasks.
    #[must_use]
    pub fn split(self) -> (PeerSender, PeerReceiver) {
        (PeerSender(self.sender), PeerReceiver(self.receiver))
    }
}

/// One direction of a [`PeerStream`].
#[derive(Debug)]
pub struct PeerSender(FrameSender);

impl PeerSender {
    /// As [`PeerStream::send`].
    pub async fn send(&mut self, frame: Bytes) -> bool {
        self.0.send(frame).await.is_ok()
    }

    /// No more frames follow; what was sent still arrives.
    pub async fn finish(&mut self) {
        // A stream that is broken is finished as well.
        let _ = self.0.finish().await;
    }
}

/// The other direction of a [`PeerStream`].
#[derive(Debug)]
pub struct PeerReceiver(FrameReceiver);

impl PeerReceiver {
    /// As [`PeerStream::recv`].
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.0.recv().await.ok().flatten()
    }
}

impl Cluster {
    /// Sets what answers the services of other nodes; the first call counts.
    pub fn serve_peers(&self, service: std::sync::Arc<dyn PeerService>) {
        // A second service of one node would have no business here.
        let _ = self.inner.peer_service.set(service);
    }

    /// Opens a stream to another node's service.
    ///
    /// # Errors
    /// [`PeerUnreachable`], within two seconds.
    pub async fn open_peer_stream(&self, node: NodeId, header: Bytes) -> Result<PeerStream, PeerUnreachable> {
        let unreachable = |reason: String| PeerUnreachable { node, reason };
        let members = self.inner.other_members();
        let Some((_, addr)) = members.into_iter().find(|(id, _)| *id == node) else {
            return Err(unreachable("it is no member of the cluster".to_owned()));
        };
        let peer = self.inner.endpoint.peer_on(Lane::Service, &addr, Some(node));
        let opened = peer.open_stream(kind::SERVICE_STREAM, header).await;
        let (sender, receiver) = opened.map_err(|error| unreachable(error.to_string()))?;
        Ok(PeerStream { sender, receiver })
    }
}
