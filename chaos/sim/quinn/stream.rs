//! The two halves of a stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use quinn::{ClosedStream, ReadError, ReadToEndError, VarInt, WriteError};

use crate::connection::Handle;
use crate::wire::Packet;

/// Bytes that may be sent and not read.
const WINDOW_BYTES: usize = 8 << 20;

/// Sends. Dropping it ends the stream regularly.
#[derive(Debug)]
pub struct SendStream {
    handle: Arc<Handle>,
    number: u64,
    ended: bool,
}

impl SendStream {
    pub(crate) fn new(handle: Arc<Handle>, number: u64) -> Self {
        Self { handle, number, ended: false }
    }

    /// All of them, in order.
    ///
    /// # Errors
    /// The connection is over, or the peer no longer reads.
    pub async fn write_all_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        for chunk in chunks {
            self.write_chunk(std::mem::take(chunk)).await?;
        }
        Ok(())
    }

    /// One of them.
    ///
    /// # Errors
    /// The connection is over, or the peer no longer reads.
    pub async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        let Handle { wire, side } = self.handle.as_ref();
        poll_fn(|cx| {
            let mut state = wire.state.lock();
            if let Some(error) = &state.sides[*side].closed {
                return Poll::Ready(Err(WriteError::ConnectionLost(error.clone())));
            }
            if let Some(stream) = state.streams.get_mut(&self.number) {
                let pipe = &mut stream.pipes[*side];
                if let Some(code) = pipe.stopped {
                    return Poll::Ready(Err(WriteError::Stopped(code)));
                }
                if pipe.unread_bytes < WINDOW_BYTES {
                    pipe.unread_bytes += chunk.len();
                    return Poll::Ready(Ok(()));
                }
            }
            state.sides[*side].wait(cx.waker());
            Poll::Pending
        })
        .await?;
        wire.send(*side, Packet::Data { stream: self.number, bytes: chunk });
        Ok(())
    }

    /// A copy of them.
    ///
    /// # Errors
    /// The connection is over, or the peer no longer reads.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.write_chunk(Bytes::copy_from_slice(bytes)).await
    }

    /// No more follows.
    ///
    /// # Errors
    /// It has ended already.
    pub fn finish(&mut self) -> Result<(), ClosedStream> {
        if std::mem::replace(&mut self.ended, true) {
            return Err(ClosedStream::default());
        }
        self.handle.wire.send(self.handle.side, Packet::Finish { stream: self.number });
        Ok(())
    }

    /// Gives it up.
    ///
    /// # Errors
    /// It has ended already.
    pub fn reset(&mut self, code: VarInt) -> Result<(), ClosedStream> {
        if std::mem::replace(&mut self.ended, true) {
            return Err(ClosedStream::default());
        }
        self.handle.wire.send(self.handle.side, Packet::Reset { stream: self.number, code });
        Ok(())
    }

    /// Links here know no priorities.
    ///
    /// # Errors
    /// It has ended already.
    pub fn set_priority(&self, _priority: i32) -> Result<(), ClosedStream> {
        if self.ended { Err(ClosedStream::default()) } else { Ok(()) }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        // Ended already: nothing to end.
        let _ = self.finish();
    }
}

/// Receives. Dropping it before its end tells the peer to stop.
#[derive(Debug)]
pub struct RecvStream {
    handle: Arc<Handle>,
    number: u64,
    ended: bool,
}

impl RecvStream {
    pub(crate) fn new(handle: Arc<Handle>, number: u64) -> Self {
        Self { handle, number, ended: false }
    }

    /// What has arrived, at most as many pieces as there is room for; `None`: the peer has finished.
    ///
    /// # Errors
    /// The connection is over, or the peer gave the stream up.
    pub async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> Result<Option<usize>, ReadError> {
        let Handle { wire, side } = self.handle.as_ref();
        let (result, room) = poll_fn(|cx| {
            let mut state = wire.state.lock();
            if let Some(stream) = state.streams.get_mut(&self.number) {
                let pipe = &mut stream.pipes[1 - *side];
                let mut count = 0;
                let full = pipe.unread_bytes >= WINDOW_BYTES;
                while count < chunks.len()
                    && let Some(chunk) = pipe.arrived.pop_front()
                {
                    pipe.unread_bytes -= chunk.len();
                    chunks[count] = chunk;
                    count += 1;
                }
                if count > 0 {
                    return Poll::Ready((Ok(Some(count)), full && pipe.unread_bytes < WINDOW_BYTES));
                }
                if let Some(code) = pipe.reset {
                    return Poll::Ready((Err(ReadError::Reset(code)), false));
                }
                if pipe.finished {
                    return Poll::Ready((Ok(None), false));
                }
            }
            if let Some(error) = &state.sides[*side].closed {
                return Poll::Ready((Err(ReadError::ConnectionLost(error.clone())), false));
            }
            state.sides[*side].wait(cx.waker());
            Poll::Pending
        })
        .await;
        if room {
            wire.wake(1 - *side);
        }
        self.ended |= !matches!(result, Ok(Some(_)));
        result
    }
}

impl RecvStream {
    /// Everything.
    ///
    /// # Errors
    /// The connection is over, the peer gave the stream up, or it is longer than that.
    pub async fn read_to_end(&mut self, bytes_max: usize) -> Result<Vec<u8>, ReadToEndError> {
        let mut bytes = Vec::new();
        let mut chunk = [Bytes::new()];
        while self.read_chunks(&mut chunk).await?.is_some() {
            bytes.extend_from_slice(&chunk[0]);
            if bytes.len() > bytes_max {
                return Err(ReadToEndError::TooLong);
            }
        }
        Ok(bytes)
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if !self.ended {
            self.handle.wire.send(self.handle.side, Packet::Stop { stream: self.number, code: VarInt::from_u32(0) });
        }
    }
}
