//! One signed request and its answer, over a connection of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer that is read as a whole: a page of a list has a thousand objects.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// A request is made so many times, if what goes wrong may pass.
const ATTEMPTS_MAX: usize = 3;
/// Before the second time; four times as long before the third.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Of what a store says when it refuses something.
const WORDS_CHARS_MAX: usize = 300;

/// Why the store was not reached, or what it refused. Nothing of a signed address is in it.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// Bad settings.
    #[error("{0}")]
    Settings(String),
    /// Not in time.
    #[error("the store {store} does not answer within {} s", .timeout.as_secs_f64())]
    Timeout {
        /// Its host and port.
        store: String,
        /// The bound.
        timeout: Duration,
    },
    /// No connection.
    #[error("the store {store} cannot be reached: {error}")]
    Connect {
        /// Its host and port.
        store: String,
        /// What the system says.
        error: io::Error,
    },
    /// Not HTTP, or broken off.
    #[error("the store broke off: {0}")]
    Http(#[from] hyper::Error),
    /// It says no.
    #[error("the store refuses to {verb}: {status}{words}")]
    Refused {
        /// What was asked for.
        verb: &'static str,
        /// HTTP's word for it.
        status: StatusCode,
        /// Its own words, behind a separator; empty: it has none.
        words: String,
    },
    /// Not what S3 answers.
    #[error("the store's answer to {verb} cannot be read: {reason}")]
    Unreadable {
        /// What was asked for.
        verb: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// More than a place of backups holds.
    #[error("there are more than {objects_max} objects: give the backups a prefix of their own")]
    TooMany {
        /// The bound.
        objects_max: usize,
    },
    /// The object has more parts than S3 allows.
    #[error("the object is larger than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
}

impl S3Error {
    pub(super) fn unreadable(verb: &'static str, reason: impl ToString) -> Self {
        Self::Unreadable { verb, reason: reason.to_string() }
    }

    /// Whether the same request may be answered otherwise a little later. One that took all its time may not: whoever waits has
    /// waited enough.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Http(_) => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }

    /// Whether there is no such object.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, words, .. } if !words.contains("NoSuchBucket"))
    }
}

/// An answer that was read as a whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Which version of the object it is about.
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn refused(&self, verb: &'static str) -> S3Error {
        S3Error::Refused { verb, status: self.status, words: words(&self.body) }
    }
}

/// Code and message of S3's error document; nothing else of it, for some stores repeat the request.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let (_, behind) = text.split_once(&format!("<{name}>"))?;
        let (inside, _) = behind.split_once(&format!("</{name}>"))?;
        Some(inside.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect::<String>())
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!(", {code}: {message}"),
        (Some(one), None) | (None, Some(one)) => format!(", {one}"),
        (None, None) => String::new(),
    }
}

/// Reads an answer, which is short; an error unless it is one of success.
async fn answer_of(verb: &'static str, response: Response<Incoming>, within: Duration) -> Result<Answer, S3Error> {
    let status = response.status();
    let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let read = timeout(within, Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect()).await;
    let read = read.map_err(|_| S3Error::unreadable(verb, "it does not end"))?;
    let body = read.map_err(|error| S3Error::unreadable(verb, error))?.to_bytes();
    let answer = Answer { status, etag, body };
    if status.is_success() { Ok(answer) } else { Err(answer.refused(verb)) }
}

/// Asks again, after a while that grows, when what went wrong may pass.
async fn patiently<T, F: Future<Output = Result<T, S3Error>>>(ask: impl Fn() -> F) -> Result<T, S3Error> {
    let mut pause = PAUSE_FIRST;
    for _ in 1..ATTEMPTS_MAX {
        match ask().await {
            Err(error) if error.may_pass() => tokio::time::sleep(pause).await,
            decided => return decided,
        }
        pause *= 4;
    }
    ask().await
}

/// See the module.
pub(super) struct Exchange {
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
}

impl Exchange {
    pub(super) const fn new(tls: Option<Arc<ClientConfig>>, timeout: Duration) -> Self {
        Self { tls, timeout }
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A request whose answer is short, and an error unless it is one of success. What may pass is asked again.
    pub(super) async fn small(
        &self,
        verb: &'static str,
        method: Method,
        url: &impl ToString,
        body: Bytes,
    ) -> Result<Answer, S3Error> {
        patiently(|| self.once(verb, method.clone(), url, body.clone())).await
    }

    /// The same, asked once.
    pub(super) async fn once(
        &self,
        verb: &'static str,
        method: Method,
        url: &impl ToString,
        body: Bytes,
    ) -> Result<Answer, S3Error> {
        let response = self.send(verb, method, url, body).await?;
        answer_of(verb, response, self.timeout).await
    }

    /// A request whose answer is long: its head is there and says success, its body is to be read.
    pub(super) async fn begin(
        &self,
        verb: &'static str,
        method: Method,
        url: &impl ToString,
        body: Bytes,
    ) -> Result<Response<Incoming>, S3Error> {
        patiently(|| async {
            let response = self.send(verb, method.clone(), url, body.clone()).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let answer = answer_of(verb, response, self.timeout).await?;
            Err(answer.refused(verb))
        })
        .await
    }

    async fn send(
        &self,
        verb: &'static str,
        method: Method,
        url: &impl ToString,
        body: Bytes,
    ) -> Result<Response<Incoming>, S3Error> {
        let uri: Uri = url.to_string().parse().map_err(|error| S3Error::unreadable(verb, error))?;
        let Some(authority) = uri.authority().cloned() else {
            return Err(S3Error::unreadable(verb, "the store's address has no host"));
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(|error| S3Error::unreadable(verb, error))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| S3Error::unreadable(verb, error))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("vedfolnir"));
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len() as u64));
        let is_secure = uri.scheme_str() == Some("https");
        let store =
            format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }));
        let exchange = async {
            let failed = |error| S3Error::Connect { store: store.clone(), error };
            let stream = self.open(&store).await.map_err(failed)?;
            if !is_secure {
                return handshake(stream, request).await;
            }
            let config = self.tls.as_ref().ok_or_else(|| failed(io::Error::other("no TLS is configured")))?;
            let name = ServerName::try_from(authority.host().trim_matches(['[', ']']).to_owned());
            let name = name.map_err(|error| failed(io::Error::other(error)))?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(failed)?;
            handshake(stream, request).await
        };
        match timeout(self.timeout, exchange).await {
            Ok(response) => response,
            Err(_) => Err(S3Error::Timeout { store, timeout: self.timeout }),
        }
    }

    async fn open(&self, store: &str) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the host has no address");
        for address in tokio::net::lookup_host(store).await?.take(ADDRESSES_MAX) {
            // An address that swallows packets leaves time for the next.
            match timeout(self.timeout / 2, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, S3Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body; its error is heard through that.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender.send_request(request).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_document_only_code_and_message_are_told() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access\n Denied.</Message>\
            <Resource>/b?X-Amz-Signature=1</Resource></Error>";
        assert_eq!(words(body), ", AccessDenied: Access Denied.");
        assert_eq!(words(b"<Error><Code>Slow"), "");
        assert_eq!(words(b"\xff\xff"), "");
    }

    #[test]
    fn a_missing_object_is_not_a_missing_bucket() {
        let refused = |status, words: &str| S3Error::Refused { verb: "read", status, words: words.to_owned() };
        assert!(refused(StatusCode::NOT_FOUND, ", NoSuchKey: x").is_missing());
        assert!(!refused(StatusCode::NOT_FOUND, ", NoSuchBucket: x").is_missing());
        assert!(!refused(StatusCode::FORBIDDEN, "").is_missing());
    }
}
