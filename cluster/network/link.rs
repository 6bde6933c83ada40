//! A connection to a peer that this node dialled, and how it is found out to be dead.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::{RpcError, close, close_with};
use super::frame::{Frame, FrameError, FrameKind};
use super::hello::PeerIdentity;
use super::stream::{Channel, FrameReceiver, FrameSender};

/// A peer that sends nothing at all for this long while it owes an answer has its connection dropped: QUIC's own
/// retransmission slows down exponentially, so after a partition a new connection is up sooner than the old one.
const LINK_SILENCE_MAX: Duration = Duration::from_secs(1);
/// Requests (heartbeats, votes) pass everything else.
const REQUEST_PRIORITY: i32 = 1;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) channel: Arc<Channel>,
    pub(super) identity: PeerIdentity,
    /// What this node told the peer when it dialled.
    pub(super) told_cluster: Option<[u8; 16]>,
    pub(super) since: Instant,
    owed: Mutex<Owed>,
}

/// Since when the peer owes an answer without having sent a single datagram.
#[derive(Debug, Default)]
struct Owed {
    datagrams_seen: u64,
    since: Option<Instant>,
}

impl Link {
    pub(super) fn new(channel: Arc<Channel>, identity: PeerIdentity, told_cluster: Option<[u8; 16]>) -> Self {
        Self { channel, identity, told_cluster, since: Instant::now(), owed: Mutex::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.channel.connection.close_reason().is_none()
    }

    /// One request, one answer.
    pub(super) async fn call(&self, kind: u8, body: Bytes) -> Result<Bytes, CallError> {
        let (mut sender, mut receiver) = self.open().await.map_err(CallError::NotSent)?;
        sender.set_priority(REQUEST_PRIORITY);
        self.ask();
        sender.send_frame(FrameKind::Request, &[kind], body).await?;
        sender.finish().await?;
        let answer = receiver.recv_frame().await?;
        self.answered();
        match answer {
            Some(Frame { kind: FrameKind::Answer, body }) => Ok(body),
            Some(Frame { kind: FrameKind::Refusal, body }) => {
                Err(RpcError::Remote(String::from_utf8_lossy(&body).into_owned()).into())
            }
            Some(frame) => {
                Err(receiver.violated(FrameError::Unexpected { expected: "answer", found: frame.kind as u8 }).into())
            }
            None => Err(RpcError::frame(&self.channel.peer, FrameError::Missing { expected: "an answer" }).into()),
        }
    }

    /// A stream in both directions.
    pub(super) async fn stream(&self, kind: u8, header: Bytes) -> Result<(FrameSender, FrameReceiver), CallError> {
        let (mut sender, receiver) = self.open().await.map_err(CallError::NotSent)?;
        sender.send_frame(FrameKind::Stream, &[kind], header).await?;
        Ok((sender, receiver))
    }

    async fn open(&self) -> Result<(FrameSender, FrameReceiver), RpcError> {
        let opened = self.channel.connection.open_bi().await;
        let (send, recv) = opened.map_err(|error| RpcError::connection(&self.channel.peer, &error))?;
        Ok((FrameSender::new(send, Arc::clone(&self.channel)), FrameReceiver::new(recv, Arc::clone(&self.channel))))
    }

    fn ask(&self) {
        let datagrams = self.datagrams();
        let mut owed = self.owed.lock();
        if owed.since.is_none() || owed.datagrams_seen != datagrams {
            *owed = Owed { datagrams_seen: datagrams, since: Some(Instant::now()) };
        }
    }

    fn answered(&self) {
        self.owed.lock().since = None;
    }

    /// A request had no answer in time: drops the connection if the peer has been silent altogether.
    pub(super) fn drop_if_silent(&self) {
        let datagrams = self.datagrams();
        let silent = {
            let owed = self.owed.lock();
            owed.datagrams_seen == datagrams && owed.since.is_some_and(|since| since.elapsed() >= LINK_SILENCE_MAX)
        };
        if silent && self.is_open() {
            tracing::info!(peer = self.channel.peer, "the peer is silent; its connection is dropped");
            close_with(&self.channel.connection, close::SILENT, "no datagram for too long");
        }
    }

    fn datagrams(&self) -> u64 {
        self.channel.connection.stats().udp_rx.datagrams
    }
}

/// Whether a failed call may be made again on a new connection.
#[derive(Debug)]
pub(super) enum CallError {
    /// The connection was dead before the call began.
    NotSent(RpcError),
    /// The peer may have handled it.
    Unknown(RpcError),
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        Self::Unknown(error)
    }
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(error) | CallError::Unknown(error) => error,
        }
    }
}
