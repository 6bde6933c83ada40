//! One connection to a receiver, kept between batches: HTTP/1.1 over TCP or TLS, without redirects, bounded in time and bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::security::endpoint::Endpoint;

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer's body; a connection with more of them is thrown away.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What the receiver said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    /// Empty when it was longer than is read.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("{endpoint}: no answer within {} s", .timeout.as_secs_f64())]
    Timeout { endpoint: Endpoint, timeout: Duration },
    #[error("{0}: cannot connect ({1})")]
    Connect(Endpoint, io::Error),
    #[error("{0}: TLS failed ({1})")]
    Tls(Endpoint, io::Error),
    #[error("{0}: HTTP failed ({1})")]
    Http(Endpoint, hyper::Error),
}

/// Whom a client talks to, and how.
#[derive(Debug)]
pub(crate) struct ClientSettings {
    pub(crate) endpoint: Endpoint,
    /// Of the bodies.
    pub(crate) content_type: &'static str,
    /// In every request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether bodies are said to be compressed.
    pub(crate) gzip: bool,
    /// Needed for `https`.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// How long one request may take, from the connection to the answer.
    pub(crate) timeout: Duration,
}

/// See the module.
pub(crate) struct Client {
    endpoint: Endpoint,
    host: HeaderValue,
    content_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    gzip: bool,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// # Errors
    /// The host is no header's value.
    pub(crate) fn new(settings: ClientSettings) -> io::Result<Self> {
        let ClientSettings { endpoint, content_type, headers, gzip, tls, timeout } = settings;
        let host = HeaderValue::from_str(endpoint.authority()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{endpoint}: its host is no header's value"))
        })?;
        Ok(Self { endpoint, host, content_type, headers, gzip, tls, timeout, sender: None })
    }

    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether bodies are said to be compressed.
    pub(crate) const fn is_compressing(&self) -> bool {
        self.gzip
    }

    /// From now on they are not.
    pub(crate) const fn stop_compressing(&mut self) {
        self.gzip = false;
    }

    /// Posts a body and waits for the answer. After an error the connection is another one.
    pub(crate) async fn post(&mut self, body: Bytes) -> Result<Answer, PostError> {
        let sender = self.sender.take();
        match tokio::time::timeout(self.timeout, self.exchange(sender, body)).await {
            Ok(Ok((answer, sender))) => {
                self.sender = sender;
                Ok(answer)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PostError::Timeout { endpoint: self.endpoint.clone(), timeout: self.timeout }),
        }
    }

    async fn exchange(
        &self,
        kept: Option<SendRequest<Full<Bytes>>>,
        body: Bytes,
    ) -> Result<(Answer, Option<SendRequest<Full<Bytes>>>), PostError> {
        let failed = |error| PostError::Http(self.endpoint.clone(), error);
        if let Some(mut sender) = kept {
            // A kept connection may have been closed meanwhile: that is no failure, but a reason to open another one.
            if sender.ready().await.is_ok()
                && let Ok(exchanged) = self.send(sender, body.clone()).await
            {
                return Ok(exchanged);
            }
        }
        let sender = self.connect().await?;
        self.send(sender, body).await.map_err(failed)
    }

    async fn send(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        body: Bytes,
    ) -> Result<(Answer, Option<SendRequest<Full<Bytes>>>), hyper::Error> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        // The target was read as a part of an address.
        *request.uri_mut() = self.endpoint.target().parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("vedfolnir"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.extend(self.headers.iter().cloned());
        let response = sender.send_request(request).await?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // One that is not read to its end is in the way of the next answer.
        let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let (body, kept) = read.map_or((Bytes::new(), None), |read| (read.to_bytes(), Some(sender)));
        Ok((Answer { status, retry_after, body }, kept))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, PostError> {
        let stream = self.open().await.map_err(|error| PostError::Connect(self.endpoint.clone(), error))?;
        if !self.endpoint.is_secure() {
            return self.handshake(stream).await;
        }
        let failed = |error| PostError::Tls(self.endpoint.clone(), error);
        let config = self.tls.as_ref().ok_or_else(|| failed(io::Error::other("no TLS is configured")))?;
        let name =
            ServerName::try_from(self.endpoint.host().to_owned()).map_err(|error| failed(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(failed)?;
        self.handshake(stream).await
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let addresses = tokio::net::lookup_host((self.endpoint.host(), self.endpoint.port())).await?;
        let mut last = io::Error::other("the host has no address");
        for address in addresses.take(ADDRESSES_MAX) {
            // An address that swallows packets leaves time for the next.
            match tokio::time::timeout(self.timeout / 2, TcpStream::connect(address)).await {
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

    async fn handshake(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, PostError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| PostError::Http(self.endpoint.clone(), error))?;
        // It ends with its sender; its error is heard through the exchange.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}
