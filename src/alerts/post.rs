//! One attempt to hand a message to the webhook: its name is resolved once and judged, redirects are not followed, the answer
//! is bounded in time and bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::message::{Message, signature};
use super::{AlertConfig, is_private};

/// An attempt that takes longer has failed.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer's body; they are thrown away.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-vedfolnir-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-vedfolnir-signature");

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// The receiver will say the same again.
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// It may take it later.
    #[error("it answers {status}")]
    NotNow { status: StatusCode, retry_after: Option<Duration> },
    /// It is at an address that is not allowed.
    #[error(
        "{0} is a private address; accepted: a public one, or WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE=true for a receiver of your own network"
    )]
    Private(SocketAddr),
    /// It cannot be reached, or speaks something else.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {} s", ATTEMPT_TIMEOUT.as_secs())]
    Timeout,
}

/// Makes one attempt, signed with the time that it is.
pub(super) async fn post(config: &AlertConfig, message: &Message, now: u64) -> Result<(), PostError> {
    tokio::time::timeout(ATTEMPT_TIMEOUT, exchange(config, message, now)).await.unwrap_or(Err(PostError::Timeout))
}

async fn exchange(config: &AlertConfig, message: &Message, now: u64) -> Result<(), PostError> {
    let endpoint = &config.endpoint;
    let stream = connect(config).await?;
    let request = request(config, message, now)?;
    if !endpoint.is_secure() {
        return send(stream, request).await;
    }
    let failed = |error: String| PostError::Unreachable(format!("TLS failed ({error})"));
    let tls = config.tls.as_ref().ok_or_else(|| failed("no authorities were read".to_owned()))?;
    let name = ServerName::try_from(endpoint.host().to_owned()).map_err(|error| failed(error.to_string()))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    send(stream.map_err(|error| failed(error.to_string()))?, request).await
}

/// To the address that was judged, and no other: a name that resolves to something else a moment later changes nothing.
async fn connect(config: &AlertConfig) -> Result<TcpStream, PostError> {
    let unreachable = |error: io::Error| PostError::Unreachable(format!("cannot connect ({error})"));
    let found = tokio::net::lookup_host((config.endpoint.host(), config.endpoint.port())).await.map_err(unreachable)?;
    let mut last = PostError::Unreachable("its name has no address".to_owned());
    for address in found {
        if !config.allow_private && is_private(address.ip()) {
            return Err(PostError::Private(address));
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = unreachable(error),
        }
    }
    Err(last)
}

fn request(config: &AlertConfig, message: &Message, now: u64) -> Result<Request<Full<Bytes>>, PostError> {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| PostError::Unreachable("its address is no header's value".to_owned()))
    };
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(&message.body)));
    *request.method_mut() = Method::POST;
    // The target was read as a part of an address.
    *request.uri_mut() = config.endpoint.target().parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(HOST, value(config.endpoint.authority())?);
    headers.insert(USER_AGENT, HeaderValue::from_static("vedfolnir"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(IDEMPOTENCY_KEY, value(&message.idempotency_key)?);
    headers.insert(TIMESTAMP, value(&now.to_string())?);
    if let Some(secret) = &config.secret {
        headers.insert(SIGNATURE, value(&signature(secret, now, &message.body))?);
    }
    Ok(request)
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(), PostError> {
    let failed = |error: hyper::Error| PostError::Unreachable(format!("HTTP failed ({error})"));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // It ends with its sender; its error is heard through the exchange.
    tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let _ = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(PostError::NotNow { status, retry_after: retry_after.map(Duration::from_secs) })
        }
        status if status.is_server_error() => {
            Err(PostError::NotNow { status, retry_after: retry_after.map(Duration::from_secs) })
        }
        // Redirects among them: where they lead was never judged.
        status => Err(PostError::Refused(status)),
    }
}
