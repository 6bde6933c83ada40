//! The first bytes of a connection to the TLS port: a handshake within a time, or a client that speaks plain HTTP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::handshake_failure::{HandshakeFailure, HandshakeFailureKind};

/// The content type of every first record of TLS (RFC 8446, section 5.1).
const RECORD_HANDSHAKE: u8 = 22;
/// The type of every first handshake message (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;
/// Header of the record, header of the message, and the version that the client speaks at most.
const HELLO_START_BYTES: usize = 5 + 4 + 2;
/// A `legacy_version` of TLS 1.2; clients of TLS 1.3 send it too (RFC 8446, section 4.1.2).
const TLS12_WIRE: [u8; 2] = [3, 3];
/// Bytes that are read of a client that is refused, so that the answer is not lost to a reset.
const REFUSED_BYTES_MAX: usize = 64 << 10;
/// The answer to plain HTTP where no redirect is configured.
pub const PLAIN_HTTP_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                                     Content-Length: 55\r\nConnection: close\r\n\r\n\
                                     This port speaks TLS: use https:// or wss:// addresses.";

/// A connection whose first bytes can be looked at before anybody reads them.
pub trait Peek: AsyncRead + AsyncWrite + Unpin + Send {
    /// Waits for something to read, and shows it; 0: the peer has closed.
    fn peek(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

impl Peek for TcpStream {
    async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::peek(self, buffer).await
    }
}

/// A connection whose first bytes are understood.
#[derive(Debug)]
pub enum Accepted<S> {
    /// The handshake is over.
    Tls(Box<TlsStream<S>>),
    /// The client sent plain HTTP; nothing is read yet. To be answered with a redirect, or by [`refuse_plain_http`].
    PlainHttp(S),
}

/// Performs the handshake; the whole of it takes at most `limit`.
///
/// # Errors
/// [`HandshakeFailure`]; the client has been sent an alert where TLS has one.
pub async fn accept<S: Peek>(
    config: Arc<ServerConfig>,
    stream: S,
    limit: Duration,
) -> Result<Accepted<S>, HandshakeFailure> {
    match timeout(limit, accept_unlimited(config, stream)).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeFailure::new(HandshakeFailureKind::Timeout, format!("not over after {limit:?}"))),
    }
}

async fn accept_unlimited<S: Peek>(config: Arc<ServerConfig>, mut stream: S) -> Result<Accepted<S>, HandshakeFailure> {
    use HandshakeFailureKind as Kind;
    let mut start = [0; HELLO_START_BYTES];
    let read = stream.peek(&mut start).await.map_err(|error| HandshakeFailure::from_io(&error))?;
    match &start[..read] {
        [] => Err(HandshakeFailure::new(Kind::Io, "closed before the first byte")),
        [RECORD_HANDSHAKE, _, _, _, _, CLIENT_HELLO, _, _, _, version @ ..] if is_outdated(version) => {
            // The TLS library would miss an extension first that these versions do not have, and say so.
            // What fails here does not matter: the client is refused in any case.
            let _ = answer_and_close(&mut stream, &protocol_version_alert(version)).await;
            Err(HandshakeFailure::new(
                Kind::ProtocolVersion,
                format!("the client speaks version {}.{} at most", version[0], version[1]),
            ))
        }
        [RECORD_HANDSHAKE, ..] => match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => Ok(Accepted::Tls(Box::new(stream))),
            Err(error) => Err(HandshakeFailure::from_io(&error)),
        },
        // A method (RFC 9110, section 9); the methods in use are of upper-case letters.
        [b'A'..=b'Z', ..] => Ok(Accepted::PlainHttp(stream)),
        [first, ..] => Err(HandshakeFailure::new(Kind::NotTls, format!("the first byte is {first:#04x}"))),
    }
}

/// Whether a hello whose start has arrived names a version before TLS 1.2 as its highest.
fn is_outdated(version: &[u8]) -> bool {
    version.len() == TLS12_WIRE.len() && version < TLS12_WIRE.as_slice()
}

/// A fatal alert `protocol_version` (RFC 5246, section 7.2), in a record of the client's own version.
fn protocol_version_alert(version: &[u8]) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    const PROTOCOL_VERSION: u8 = 70;
    [ALERT, version[0], version[1], 0, 2, FATAL, PROTOCOL_VERSION]
}

/// Answers plain HTTP with `answer`, [`PLAIN_HTTP_ANSWER`] with whatever headers every answer has, and closes, in at most
/// `limit`. What fails does not matter any more.
pub async fn refuse_plain_http<S: Peek>(mut stream: S, answer: &[u8], limit: Duration) {
    let _ = timeout(limit, answer_and_close(&mut stream, answer)).await;
}

async fn answer_and_close<S: Peek>(stream: &mut S, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut sink = [0; 4096];
    let mut left = REFUSED_BYTES_MAX;
    while left > 0 {
        match stream.read(&mut sink).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
