//! Asks a node's HTTP API, as any program would: one request, bounded in time and size.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::publish::IDEMPOTENCY_KEY;
use crate::security::secret::Secret;

/// Bytes of an answer's body.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where an API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl {
    is_secure: bool,
    host: String,
    port: u16,
    /// What stands before `/api/v1`: a proxy's. Begins with a slash and does not end with one, or is empty.
    prefix: String,
}

impl ApiUrl {
    /// Over TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for ApiUrl {
    type Err = &'static str;

    /// `http://HOST:PORT`, `https://HOST[:PORT]`, with or without the path of a proxy, or `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "accepted: http://HOST:PORT, https://HOST[:PORT] or HOST:PORT";
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: http::Uri = with_scheme.parse().map_err(|_| FORM)?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(FORM),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(FORM)?;
        let has_more =
            uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let port = uri.port_u16().or(is_secure.then_some(443)).filter(|port| *port != 0 && !has_more).ok_or(FORM)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { is_secure, host, port, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiClientError {
    /// Nothing listens there, or it cannot be reached.
    #[error("nothing answers at {url}: {reason}")]
    Unreachable {
        /// Who was asked.
        url: ApiUrl,
        /// What the system said.
        reason: String,
    },
    /// It took longer than allowed.
    #[error("{url} did not answer within {timeout:?}")]
    TimedOut {
        /// Who was asked.
        url: ApiUrl,
        /// How long it was given.
        timeout: Duration,
    },
    /// What answers speaks no HTTP, or too much of it.
    #[error("what answers at {url} is not a node's HTTP API: {reason}")]
    NotAnApi {
        /// Who was asked.
        url: ApiUrl,
        /// What was wrong.
        reason: String,
    },
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// `Retry-After`, if it says so in seconds.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: Bytes,
}

/// Asks with a token or without.
pub struct ApiClient {
    token: Option<Secret>,
    tls: Option<Arc<ClientConfig>>,
}

impl ApiClient {
    /// `tls`: for addresses that are secure.
    #[must_use]
    pub const fn new(token: Option<Secret>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { token, tls }
    }

    /// `POST path` with a JSON body, under an idempotency key if there is one; the whole exchange takes `timeout` at most.
    ///
    /// # Errors
    /// When there is no answer; every status is one.
    pub async fn post(
        &self,
        url: &ApiUrl,
        path: &str,
        idempotency_key: Option<&str>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, ApiClientError> {
        let exchange = async {
            let request = self.request(url, path, idempotency_key, body);
            let request = request.map_err(|error| not_an_api(url, &error))?;
            let unreachable = |reason: String| ApiClientError::Unreachable { url: url.clone(), reason };
            let stream = TcpStream::connect((url.host.as_str(), url.port)).await;
            let stream = stream.map_err(|error| unreachable(error.to_string()))?;
            if !url.is_secure {
                return send(url, stream, request).await;
            }
            let tls =
                self.tls.as_ref().ok_or_else(|| unreachable("no certificate authorities were read".to_owned()))?;
            let name = ServerName::try_from(url.host.clone()).map_err(|error| unreachable(error.to_string()))?;
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
            send(url, stream.map_err(|error| unreachable(format!("TLS failed: {error}")))?, request).await
        };
        let late = |_| Err(ApiClientError::TimedOut { url: url.clone(), timeout });
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(late)
    }

    fn request(
        &self,
        url: &ApiUrl,
        path: &str,
        idempotency_key: Option<&str>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::post(format!("{}{path}", url.prefix))
            .header(header::HOST, url.authority())
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, concat!("vedfolnir/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        if let Some(key) = idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        request.body(Full::new(body))
    }
}

fn not_an_api(url: &ApiUrl, error: &impl ToString) -> ApiClientError {
    ApiClientError::NotAnApi { url: url.clone(), reason: error.to_string() }
}

async fn send(
    url: &ApiUrl,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, ApiClientError> {
    let handshake = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| not_an_api(url, &error))?;
    // It ends with the answer, or with whoever waits for it.
    let connection = tokio::spawn(connection);
    let _ends = tokio_util::task::AbortOnDropHandle::new(connection);
    let response = sender.send_request(request).await.map_err(|error| not_an_api(url, &error))?;
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| not_an_api(url, &error))?.to_bytes();
    Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for (text, read) in [
            ("127.0.0.1:5003", "http://127.0.0.1:5003"),
            ("http://a.example:80/", "http://a.example:80"),
            ("https://a.example", "https://a.example:443"),
            ("https://a.example:8443/push/", "https://a.example:8443/push"),
            ("http://[::1]:5003", "http://[::1]:5003"),
        ] {
            let url: ApiUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), read);
            assert_eq!(url.is_secure(), read.starts_with("https"));
        }
        for bad in ["", "a", "http://a", "ftp://a:1", "http://:1", "a:0", "a:65536", "http://u@a:1", "http://a:1/?b"] {
            assert!(bad.parse::<ApiUrl>().is_err(), "{bad:?}");
        }
    }
}
