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
    let mut request = Request::builder();
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    let request = request
        .method(method)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
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
