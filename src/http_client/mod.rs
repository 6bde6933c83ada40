//! HTTP to somebody that the configuration names (a backend, a webhook, a receiver of alerts): pooled connections to one
//! endpoint, each to an address that was judged when its name was resolved; no redirects, answers bounded in time and bytes.

mod address;
mod connector;
mod signature;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::security::endpoint::Endpoint;

pub(crate) use address::is_private;
use connector::{ConnectError, Connector};
pub(crate) use signature::{Signer, hmac_sha256};

/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A connection that nobody uses for so long is closed: before the other side does it, in the moment of the next request,
/// of which then nobody knows whether it was taken. Two seconds is the shortest that is common.
const IDLE_MAX: Duration = Duration::from_millis(1_500);

/// Which addresses a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressRule {
    /// Whether to private, link-local and loopback ones.
    pub(crate) allow_private: bool,
    /// Whether to public ones without TLS.
    pub(crate) allow_public_plain: bool,
    /// The setting that allows private ones.
    pub(crate) setting: &'static str,
}

/// Whom a client talks to, and how.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) endpoint: Endpoint,
    /// Needed for `https`.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) rule: AddressRule,
    /// Connections that are kept while nobody uses them.
    pub(crate) idle_connections_max: usize,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// How long to wait before the next attempt, if the other side says so in seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the body says that it is JSON.
    pub(crate) is_json: bool,
    /// `None`: it was larger than is read, or broke off.
    pub(crate) body: Option<Bytes>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// It is at an address that is not allowed.
    #[error("{address} is a private address; accepted: a public one, or {setting}=true for one of your own network")]
    Private {
        /// The address that its name resolves to.
        address: SocketAddr,
        /// The setting that allows it.
        setting: &'static str,
    },
    /// What is sent could be read on the way.
    #[error("{0} is a public address, and http:// is not encrypted; accepted: https://")]
    PublicPlain(SocketAddr),
    /// There is no connection: nothing was sent.
    #[error("{0}")]
    NotConnected(String),
    /// The connection broke: the request may have been taken, or not.
    #[error("HTTP failed ({0})")]
    Broken(String),
    /// No answer in time: the request may have been taken, or not.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
}

/// See the module. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub(crate) struct HttpClient {
    endpoint: Endpoint,
    uri: Uri,
    client: Client<Connector, Full<Bytes>>,
}

impl HttpClient {
    pub(crate) fn new(settings: ClientSettings) -> Self {
        let ClientSettings { endpoint, tls, rule, idle_connections_max } = settings;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(idle_connections_max)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(Connector::new(endpoint.clone(), tls, rule));
        let scheme = if endpoint.is_secure() { "https" } else { "http" };
        // Its parts were read from an address.
        let uri = format!("{scheme}://{}{}", endpoint.authority(), endpoint.target()).parse().unwrap_or_default();
        Self { endpoint, uri, client }
    }

    /// Whom it talks to.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts JSON and waits for the answer, of whose body at most `bytes_max` are taken. It is sent at most once: only what
    /// no connection has taken goes over another one.
    pub(crate) async fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
        bytes_max: usize,
        timeout: Duration,
    ) -> Result<Answer, HttpError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.uri);
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("vedfolnir"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| judged(&error))?;
            Ok(read(response, bytes_max).await)
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(HttpError::Timeout(timeout)))
    }
}

async fn read(response: Response<Incoming>, bytes_max: usize) -> Answer {
    let status = response.status();
    let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let retry_after = text(RETRY_AFTER).and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
    let essence = text(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json");
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    Answer { status, retry_after, is_json, body: body.ok().map(|body| body.to_bytes()) }
}

/// Why there was no answer, by the innermost error that says something.
fn judged(error: &legacy::Error) -> HttpError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut innermost = error.to_string();
    while let Some(current) = cause {
        if let Some(refused) = current.downcast_ref::<ConnectError>() {
            return match *refused {
                ConnectError::Private { address, setting } => HttpError::Private { address, setting },
                ConnectError::PublicPlain(address) => HttpError::PublicPlain(address),
                _ => HttpError::NotConnected(refused.to_string()),
            };
        }
        innermost = current.to_string();
        cause = current.source();
    }
    if error.is_connect() { HttpError::NotConnected(innermost) } else { HttpError::Broken(innermost) }
}

#[cfg(test)]
#[path = "http_client_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
