//! What a connection runs over: TCP or TLS of this node's clients, a stream inside an HTTP/2 connection, or a tunnel from
//! the node that the client came to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::Peek;

/// A TCP connection of which something was read before it was known what it speaks; that is read again.
#[derive(Debug)]
pub(crate) struct Rewound {
    ahead: Bytes,
    tcp: TcpStream,
}

impl Rewound {
    pub(crate) const fn new(ahead: Bytes, tcp: TcpStream) -> Self {
        Self { ahead, tcp }
    }
}

impl Peek for Rewound {
    async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return self.tcp.peek(buffer).await;
        }
        let shown = self.ahead.len().min(buffer.len());
        buffer[..shown].copy_from_slice(&self.ahead[..shown]);
        Ok(shown)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) enum Io {
    /// The client is connected to this node.
    Tcp(Rewound),
    /// The same over TLS.
    Tls(Box<TlsStream<Rewound>>),
    /// A WebSocket inside the client's HTTP/2 connection (RFC 8441).
    Http2(Box<TokioIo<Upgraded>>),
    /// Another node passes the bytes on.
    Tunnel(DuplexStream),
}

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.tcp).poll_read(cx, buffer);
        }
        let taken = this.ahead.len().min(buffer.remaining());
        buffer.put_slice(&this.ahead[..taken]);
        this.ahead.advance(taken);
        if this.ahead.is_empty() {
            // The memory behind it goes as well.
            this.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

/// The same call on whichever it is.
macro_rules! on_each {
    ($io:expr, $inner:ident => $call:expr) => {
        match $io.get_mut() {
            Io::Tcp($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            Io::Tls($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $call
            }
            Io::Http2($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $call
            }
            Io::Tunnel($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_each!(self, inner => inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_each!(self, inner => inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_each!(self, inner => inner.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(inner) => inner.is_write_vectored(),
            Self::Tls(inner) => inner.is_write_vectored(),
            Self::Http2(inner) => inner.is_write_vectored(),
            Self::Tunnel(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, inner => inner.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_was_read_ahead_is_read_again_before_the_rest() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async {
            listener.accept().await.unwrap().0
        });
        let mut client = client.unwrap();
        client.write_all(b"rest").await.unwrap();
        client.shutdown().await.unwrap();
        let mut stream = Io::Tcp(Rewound::new(Bytes::from_static(b"ahead "), accepted));
        let mut first = [0; 3];
        stream.read_exact(&mut first).await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!((&first[..], all.as_str()), (&b"ahe"[..], "ad rest"));
    }
}
