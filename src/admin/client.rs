//! Asks a node's operators' door: one request, bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::target::Target;
use crate::security::secret::Secret;

/// An answer may be this large.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nothing listens there, or it cannot be reached.
    #[error("no node answers at {target}: {source}; is it running, and is --addr or --data-dir that of the node?")]
    Unreachable {
        /// Who was asked.
        target: Target,
        /// What the system said.
        source: std::io::Error,
    },
    /// It took longer than allowed.
    #[error("the node at {target} did not answer within {timeout:?}")]
    TimedOut {
        /// Who was asked.
        target: Target,
        /// How long it was given.
        timeout: Duration,
    },
    /// What came could not be kept.
    #[error("the answer could not be kept: {source}")]
    NotKept {
        /// What the system said.
        source: std::io::Error,
    },
    /// What answers speaks no HTTP, or too much of it.
    #[error("what answers at {target} is not a node's admin listener: {reason}")]
    NotANode {
        /// Who was asked.
        target: Target,
        /// What was wrong.
        reason: String,
    },
}

/// `GET path`, showing a token if there is one; the answer's status and body.
///
/// # Errors
/// When the node cannot be reached, takes too long, or is not one.
pub async fn get(
    target: &Target,
    token: Option<&Secret>,
    path: &str,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), AdminError> {
    send(target, token, Method::GET, path, Bytes::new(), timeout).await
}

/// `POST path` with a JSON body; the answer's status and body.
///
/// # Errors
/// As [`get`].
pub async fn post(
    target: &Target,
    token: Option<&Secret>,
    path: &str,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), AdminError> {
    send(target, token, Method::POST, path, Bytes::from(body), timeout).await
}

/// `PUT path` with a JSON body; the answer's status and body.
///
/// # Errors
/// As [`get`].
pub async fn put(
    target: &Target,
    token: Option<&Secret>,
    path: &str,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), AdminError> {
    send(target, token, Method::PUT, path, Bytes::from(body), timeout).await
}

/// `POST path` with a JSON body, whose answer may have any length: each piece of it is handed on as it comes. Returns the
/// status and, where it is no success, the body.
///
/// # Errors
/// As [`get`]; nothing came for `stall`, or `take` did not take a piece.
pub async fn post_into(
    target: &Target,
    token: Option<&Secret>,
    path: &str,
    body: Vec<u8>,
    stall: Duration,
    mut take: impl FnMut(Bytes) -> std::io::Result<()>,
) -> Result<(StatusCode, Bytes), AdminError> {
    let refused = |reason: String| AdminError::NotANode { target: target.clone(), reason };
    let timed_out = |_| AdminError::TimedOut { target: target.clone(), timeout: stall };
    let unreachable = |source| AdminError::Unreachable { target: target.clone(), source };
    let stream: Box<dyn Stream> = match target {
        Target::Tcp(host_port) => Box::new(TcpStream::connect(host_port.as_str()).await.map_err(unreachable)?),
        Target::Unix(socket) => Box::new(UnixStream::connect(socket).await.map_err(unreachable)?),
    };
    let host = if let Target::Tcp(host_port) = target { host_port.as_str() } else { "localhost" };
    let (mut sender, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(|error| refused(error.to_string()))?;
    // Ends with the connection, which ends with the answer.
    tokio::spawn(connection);
    let request = request(token, Method::POST, path, host, Bytes::from(body)).map_err(refused)?;
    let response = tokio::time::timeout(stall, sender.send_request(request)).await.map_err(timed_out)?;
    let response = response.map_err(|error| refused(error.to_string()))?;
    let status = response.status();
    let mut body = response.into_body();
    let mut kept = Vec::new();
    while let Some(frame) = tokio::time::timeout(stall, body.frame()).await.map_err(timed_out)? {
        let frame = frame.map_err(|error| refused(format!("the answer broke off: {error}")))?;
        let Ok(piece) = frame.into_data() else { continue };
        if status.is_success() {
            take(piece).map_err(|source| AdminError::NotKept { source })?;
        } else if kept.len() + piece.len() <= ANSWER_BYTES_MAX {
            kept.extend_from_slice(&piece);
        }
    }
    Ok((status, Bytes::from(kept)))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

fn request(
    token: Option<&Secret>,
    method: Method,
    path: &str,
    host: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder();
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    request
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| error.to_string())
}

async fn send(
    target: &Target,
    token: Option<&Secret>,
    method: Method,
    path: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), AdminError> {
    let request = async {
        let unreachable = |source| AdminError::Unreachable { target: target.clone(), source };
        match target {
            Target::Tcp(host_port) => {
                let stream = TcpStream::connect(host_port.as_str()).await.map_err(unreachable)?;
                exchange(stream, host_port, token, method, path, body).await
            }
            Target::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
                exchange(stream, "localhost", token, method, path, body).await
            }
        }
        .map_err(|reason| AdminError::NotANode { target: target.clone(), reason })
    };
    match tokio::time::timeout(timeout, request).await {
        Ok(result) => result,
        Err(_) => Err(AdminError::TimedOut { target: target.clone(), timeout }),
    }
}

async fn exchange<S>(
    stream: S,
    host: &str,
    token: Option<&Secret>,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = request(token, method, path, host, body)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    // The connection is driven beside its one request, in this very task.
    tokio::pin!(connection);
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
