//! The two halves of an open stream: frames out, frames in.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream};

use super::error::{RpcError, close, close_with};
use super::frame::{self, Frame, FrameBuffer, FrameError, FrameKind};
use super::notices::Notices;

/// Chunks taken from QUIC at once.
const CHUNKS_PER_READ: usize = 16;

/// A connection and what is needed to speak about it.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) connection: Connection,
    /// HOST:PORT as it was dialled, or where the peer dialled from.
    pub(super) peer: String,
    pub(super) notices: Arc<Notices>,
}

impl Channel {
    /// The peer broke the protocol: one line, and the connection is closed with everything on it.
    pub(super) fn violated(&self, error: &FrameError) {
        if self.connection.close_reason().is_some() {
            return;
        }
        close_with(&self.connection, close::PROTOCOL, &error.to_string());
        if self.notices.is_due(format!("protocol {}", self.peer), Instant::now()) {
            tracing::warn!(peer = self.peer, "the connection was closed, the peer broke the protocol: {error}");
        }
    }
}

/// Sends frames; QUIC packs small ones together, and its flow control is the only thing that a send waits for.
///
/// Invariant: only whole frames are on a stream that ends regularly. A send that was cancelled midway leaves `partial`
/// set, and the stream is then reset, never finished.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    channel: Arc<Channel>,
    partial: bool,
}

impl FrameSender {
    pub(super) fn new(stream: SendStream, channel: Arc<Channel>) -> Self {
        Self { stream, channel, partial: false }
    }

    /// Streams of a higher priority are sent first.
    pub(super) fn set_priority(&self, priority: i32) {
        // The only error is a stream that has ended, and its priority is of no interest.
        let _ = self.stream.set_priority(priority);
    }

    /// Sends one frame. Returns once QUIC has taken it, without waiting for the peer unless the window is full.
    ///
    /// If the call is cancelled while it waits, the frame may be half sent: every later call fails.
    ///
    /// # Errors
    /// [`RpcError::Frame`] for a body beyond [`FRAME_BYTES_MAX`](super::FRAME_BYTES_MAX) (nothing is sent then),
    /// [`RpcError::Unreachable`] when the peer stopped reading or the connection broke.
    pub async fn send(&mut self, body: Bytes) -> Result<(), RpcError> {
        self.send_frame(FrameKind::Data, &[], body).await
    }

    /// Says that no more frames follow; what was sent still arrives.
    ///
    /// # Errors
    /// [`RpcError::Unreachable`] if an earlier send was cancelled midway.
    pub async fn finish(&mut self) -> Result<(), RpcError> {
        self.check_whole()?;
        // The only error is a stream that has ended already.
        let _ = self.stream.finish();
        Ok(())
    }

    pub(super) async fn send_frame(&mut self, kind: FrameKind, prefix: &[u8], body: Bytes) -> Result<(), RpcError> {
        self.check_whole()?;
        let (mut chunks, count) =
            frame::encode(kind, prefix, body).map_err(|error| RpcError::frame(&self.channel.peer, error))?;
        self.partial = true;
        self.stream
            .write_all_chunks(&mut chunks[..count])
            .await
            .map_err(|error| RpcError::write(&self.channel.peer, error))?;
        self.partial = false;
        Ok(())
    }

    /// Sends bytes that are whole frames already.
    pub(super) async fn send_encoded(&mut self, frames: BytesMut) -> Result<(), RpcError> {
        self.check_whole()?;
        self.partial = true;
        self.stream.write_chunk(frames.freeze()).await.map_err(|error| RpcError::write(&self.channel.peer, error))?;
        self.partial = false;
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        !self.partial && self.channel.connection.close_reason().is_none()
    }

    fn check_whole(&self) -> Result<(), RpcError> {
        if self.partial {
            return Err(RpcError::unreachable(&self.channel.peer, "an earlier frame of this stream was cut off"));
        }
        Ok(())
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        if self.partial {
            // Already ended: nothing to give up.
            let _ = self.stream.reset(close::ABANDONED);
        }
    }
}

/// Receives frames. Dropping it tells the peer that nobody reads any more.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    channel: Arc<Channel>,
    buffer: FrameBuffer,
    ended: bool,
}

impl FrameReceiver {
    pub(super) fn new(stream: RecvStream, channel: Arc<Channel>) -> Self {
        Self { stream, channel, buffer: FrameBuffer::default(), ended: false }
    }

    /// Datagrams that have come from the peer on this connection, whatever was in them.
    #[must_use]
    pub fn datagrams(&self) -> u64 {
        self.channel.connection.stats().udp_rx.datagrams
    }

    /// The peer owes an answer and is silent altogether: closes the connection with everything on it. A peer that hears and is not
    /// heard must not be kept waiting by what it hears.
    pub fn give_up(&self) {
        if self.channel.connection.close_reason().is_none() {
            tracing::info!(peer = self.channel.peer, "the peer is silent; its connection is dropped");
            close_with(&self.channel.connection, close::SILENT, "no datagram for too long");
        }
    }

    /// The next frame; `None` once the peer has finished. Cancelling loses nothing.
    ///
    /// # Errors
    /// [`RpcError::Frame`] for bytes that are no acceptable frame (the connection is closed then),
    /// [`RpcError::Unreachable`] when the peer gave up the stream or the connection broke.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, RpcError> {
        match self.recv_frame().await? {
            None => Ok(None),
            Some(Frame { kind: FrameKind::Data, body }) => Ok(Some(body)),
            Some(frame) => Err(self.violated(FrameError::Unexpected { expected: "data", found: frame.kind as u8 })),
        }
    }

    pub(super) async fn recv_frame(&mut self) -> Result<Option<Frame>, RpcError> {
        loop {
            match self.buffer.next_frame() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => {}
                Err(error) => return Err(self.violated(error)),
            }
            let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
            match self.stream.read_chunks(&mut chunks).await {
                Ok(Some(count)) => {
                    for chunk in chunks.iter().take(count) {
                        self.buffer.push(chunk);
                    }
                }
                Ok(None) if self.buffer.is_empty() => self.ended = true,
                Ok(None) => return Err(self.violated(FrameError::Truncated)),
                Err(error) => return Err(RpcError::read(&self.channel.peer, error)),
            }
        }
    }

    /// Closes the connection, and is the error to return.
    pub(super) fn violated(&self, error: FrameError) -> RpcError {
        self.channel.violated(&error);
        RpcError::frame(&self.channel.peer, error)
    }
}
