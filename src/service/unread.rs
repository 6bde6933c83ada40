//! The answers that hyper gives by itself, to a head that it cannot read: no handler sees it, so it passes no gate, and the
//! connection adds to it the headers that every answer has.
//!
//! hyper has no hook for them. But it writes nothing of its own accord while an answer of ours is under way, so what it
//! writes at any other time is its own: `100 Continue`, which is none yet, or a refusal. An answer of ours is under way
//! from the moment a handler gives it until its body has been let go and the connection is flushed, for which hyper must
//! have written all of it. Looking at the bytes alone would not do: a body may say what a client wants.
//!
//! A refusal that hyper appends to an answer which the client has not taken yet (requests sent ahead of the answers, into a
//! full socket) goes out bare: it is taken for a part of that answer. Over HTTP/2 there is no such answer, except 431, which
//! its library writes in frames of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use axum::http::{HeaderMap, StatusCode};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::Io;

/// No answer of ours is under way.
const IDLE: u8 = 0;
/// One is.
const ANSWERING: u8 = 1;
/// hyper has all of it, and has yet to write it.
const LET_GO: u8 = 2;

/// Whose turn it is to be written; one task does everything about a connection, so no order is needed between threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<AtomicU8>);

impl Turn {
    /// An answer of ours, as hyper is given it.
    pub(super) fn answer<B>(&self, body: B) -> Answer<B> {
        self.0.store(ANSWERING, Ordering::Relaxed);
        Answer { body, turn: self.clone() }
    }

    fn is(&self, state: u8) -> bool {
        self.0.load(Ordering::Relaxed) == state
    }
}

/// A body that says when it is let go.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    turn: Turn,
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.turn.0.store(LET_GO, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a refusal of hyper's is to have besides: by its status.
pub(super) type Besides = Box<dyn Fn(StatusCode) -> HeaderMap + Send + Sync>;

/// A connection on which HTTP/1.1 is spoken.
pub(super) struct Watched {
    io: Io,
    turn: Turn,
    besides: Besides,
    /// A refusal that is being written.
    refusal: Bytes,
}

impl Watched {
    pub(super) fn new(io: Io, turn: Turn, besides: Besides) -> Self {
        Self { io, turn, besides, refusal: Bytes::new() }
    }

    /// The connection itself, which is no longer HTTP's.
    pub(super) fn into_io(self) -> Io {
        self.io
    }

    /// Takes a refusal of hyper's, to be written by the next flush: it is the last thing written on a connection.
    fn takes(&mut self, written: &[u8]) -> bool {
        if !self.turn.is(IDLE) || !written.ends_with(b"\r\n\r\n") {
            return false;
        }
        let Some(status) = status(written).filter(StatusCode::is_client_error) else { return false };
        self.refusal = with_headers(written, &(self.besides)(status));
        true
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.refusal))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// What the first line of an answer says.
fn status(answer: &[u8]) -> Option<StatusCode> {
    let line = answer.strip_prefix(b"HTTP/1.")?;
    StatusCode::from_bytes(line.get(2..5)?).ok()
}

/// An answer of HTTP/1, as it is written, with more headers right behind its first line.
pub(super) fn with_headers(answer: &[u8], headers: &HeaderMap) -> Bytes {
    let first_line = answer.windows(2).position(|end| end == b"\r\n").map_or(answer.len(), |at| at + 2);
    let (first_line, rest) = answer.split_at(first_line);
    let mut all = BytesMut::from(first_line);
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            all.extend_from_slice(part);
        }
    }
    all.extend_from_slice(rest);
    all.freeze()
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_refusal(cx))?;
        if self.takes(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_refusal(cx))?;
        // A head is in one piece, and a refusal has nothing behind it.
        if let [head] = slices
            && self.takes(head)
        {
            return Poll::Ready(Ok(head.len()));
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        if self.turn.is(LET_GO) {
            self.turn.0.store(IDLE, Ordering::Relaxed);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use hyper::Response;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    /// What a body says that wants to be taken for a refusal.
    const DISGUISED: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";

    /// A server that answers `/` at once, anything else in two pieces, the second of which is disguised.
    fn serve(io: DuplexStream) -> tokio::task::JoinHandle<()> {
        let turn = Turn::default();
        let besides: Besides = Box::new(|status| {
            let mut headers = HeaderMap::new();
            headers.insert("x-besides", HeaderValue::from(status.as_u16()));
            headers
        });
        let watched = Watched::new(Io::Tunnel(io), turn.clone(), besides);
        let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let body = if request.uri().path() == "/" {
                Full::new(Bytes::from_static(DISGUISED.as_bytes())).boxed()
            } else {
                let (pieces, taken) = tokio::sync::mpsc::channel(1);
                tokio::spawn(async move {
                    for piece in ["first", DISGUISED] {
                        let _ = pieces.send(Frame::data(Bytes::from_static(piece.as_bytes()))).await;
                        tokio::task::yield_now().await;
                    }
                });
                let stream = futures_util::stream::unfold(taken, |mut taken| async move {
                    Some((Ok::<_, Infallible>(taken.recv().await?), taken))
                });
                StreamBody::new(stream).boxed()
            };
            let response = Response::new(turn.answer(body));
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(watched), handler).await;
        })
    }

    async fn said(requests: &[&str], buffer_bytes: usize) -> String {
        let (mut client, server) = tokio::io::duplex(buffer_bytes);
        let serving = serve(server);
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let mut all = String::new();
        let asking = async {
            for request in requests {
                writer.write_all(request.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (_, read) = tokio::join!(asking, reader.read_to_string(&mut all));
        read.unwrap();
        serving.await.unwrap();
        all
    }

    const GOOD: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const STREAMED: &str = "GET /streamed HTTP/1.0\r\nhost: x\r\n\r\n";
    const BAD: &str = "GET / HTTP/1.1\r\nno colon\r\n\r\n";

    #[tokio::test]
    async fn a_head_that_hyper_cannot_read_is_answered_with_the_headers_of_every_answer() {
        for buffer_bytes in [7, 64, 4096] {
            let answer = said(&[BAD], buffer_bytes).await;
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\nx-besides: 400\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\n") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
        }
    }

    #[tokio::test]
    async fn behind_an_answer_of_ours_only_the_refusal_gets_them() {
        for requests in [&[GOOD, GOOD, BAD][..], &[concat!("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "bad\r\n\r\n")]] {
            let answers = said(requests, 4096).await;
            let (ours, refusal) = answers.rsplit_once("HTTP/1.1 400 Bad Request\r\n").unwrap();
            assert!(!ours.contains("x-besides") && ours.contains(DISGUISED), "{answers}");
            assert!(refusal.starts_with("x-besides: 400\r\n"), "{answers}");
        }
    }

    #[tokio::test]
    async fn what_a_body_says_is_never_taken_for_a_refusal() {
        for (request, buffer_bytes) in [(GOOD, 3), (STREAMED, 3), (STREAMED, 4096)] {
            let request = request.replace("host: x", "host: x\r\nconnection: close");
            let answer = said(&[&request], buffer_bytes).await;
            assert!(answer.ends_with(DISGUISED) && !answer.contains("x-besides"), "{answer}");
        }
    }
}
