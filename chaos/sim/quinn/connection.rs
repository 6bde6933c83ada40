//! A connection as one side holds it.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use quinn::{ConnectionError, ConnectionStats, VarInt};

use crate::endpoint::addr_of;
use crate::stream::{RecvStream, SendStream};
use crate::wire::Wire;

/// Closes its side when the last one who holds it lets go.
pub(crate) struct Handle {
    pub(crate) wire: Arc<Wire>,
    pub(crate) side: usize,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.wire.close(self.side, VarInt::from_u32(0), b"");
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

/// A connection; cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) handle: Arc<Handle>,
}

impl Connection {
    fn streams(&self, number: u64) -> (SendStream, RecvStream) {
        let sender = SendStream::new(Arc::clone(&self.handle), number);
        let receiver = RecvStream::new(Arc::clone(&self.handle), number);
        (sender, receiver)
    }

    /// A stream in both directions.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let number = self.handle.wire.open_stream(self.handle.side, false)?;
        Ok(self.streams(number))
    }

    /// A stream to the peer.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        let number = self.handle.wire.open_stream(self.handle.side, true)?;
        Ok(SendStream::new(Arc::clone(&self.handle), number))
    }

    /// The peer's next stream in both directions.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        Ok(self.streams(self.accepted(false).await?))
    }

    /// The peer's next stream in one direction.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(RecvStream::new(Arc::clone(&self.handle), self.accepted(true).await?))
    }

    async fn accepted(&self, uni: bool) -> Result<u64, ConnectionError> {
        poll_fn(|cx| {
            let mut state = self.handle.wire.state.lock();
            let side = &mut state.sides[self.handle.side];
            if let Some(error) = &side.closed {
                return Poll::Ready(Err(error.clone()));
            }
            let next = if uni { side.opened_uni.pop_front() } else { side.opened_bi.pop_front() };
            if let Some(number) = next {
                return Poll::Ready(Ok(number));
            }
            side.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Ends it, with a word to the peer.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        self.handle.wire.close(self.handle.side, code, reason);
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<ConnectionError> {
        self.handle.wire.state.lock().sides[self.handle.side].closed.clone()
    }

    /// Resolves once it is over.
    pub async fn closed(&self) -> ConnectionError {
        poll_fn(|cx| {
            let side = &mut self.handle.wire.state.lock().sides[self.handle.side];
            if let Some(error) = &side.closed {
                return Poll::Ready(error.clone());
            }
            side.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Where the other side is.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        addr_of(self.handle.wire.state.lock().sides[1 - self.handle.side].host)
    }

    /// Nobody shows certificates here.
    #[must_use]
    pub fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// There is no handshake here.
    #[must_use]
    pub fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// What arrived so far.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        let mut stats = ConnectionStats::default();
        let side = &self.handle.wire.state.lock().sides[self.handle.side];
        (stats.udp_rx.datagrams, stats.udp_rx.bytes) = (side.datagrams, side.bytes);
        stats
    }
}
