//! Fetching a JWK Set: one GET over TLS, bounded in time and bytes, without redirects.
//!
//! hyper's connection over tokio-rustls is all it takes; a client with a pool, redirects and proxies would only have to be
//! told not to use them. Roots are the system's (`rustls-native-certs`): operators already keep those up to date, private
//! authorities among them, and `webpki-roots` would freeze Mozilla's into the binary under a licence that is not allowed
//! here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::jwk::JWKS_BYTES_MAX;
use super::jwks_url::JwksUrl;

/// How long one fetch may take, unless configured otherwise.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Why a JWK Set was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// No connection.
    #[error("cannot connect ({0})")]
    Connect(std::io::Error),
    /// The server is not who it should be, or speaks no TLS.
    #[error("TLS failed ({0})")]
    Tls(std::io::Error),
    /// Not HTTP, or broken off.
    #[error("HTTP failed ({0})")]
    Http(#[from] hyper::Error),
    /// Anything but 200; redirects are not followed.
    #[error("answered with {0}; only 200 is accepted, redirects are not followed")]
    Status(StatusCode),
    /// Too many bytes.
    #[error("the answer has more than {JWKS_BYTES_MAX} bytes")]
    TooLong,
    /// It broke off.
    #[error("the answer broke off ({0})")]
    Body(String),
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// Not certificates.
    #[error("the file of additional authorities is not PEM certificates ({0})")]
    Pem(String),
    /// Nobody would be trusted.
    #[error("no certificate authority: the system has none{system}, and none was given")]
    NoRoots {
        /// What was wrong with the system's.
        system: String,
    },
    /// What rustls says.
    #[error(transparent)]
    Rustls(#[from] tokio_rustls::rustls::Error),
}

/// TLS with the system's authorities, and those in `additional` (PEM). It blocks on the system's files: call it at the
/// start.
///
/// # Errors
/// [`ClientTlsError`] when the addition is not certificates, or nothing is trusted at all.
pub fn client_tls(additional: Option<&[u8]>) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // Some stores hold certificates that are not authorities: those are passed over.
    roots.add_parsable_certificates(system.certs);
    if let Some(pem) = additional {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| ClientTlsError::Pem(error.to_string()))?;
        if certificates.is_empty() {
            return Err(ClientTlsError::Pem("no certificate is in it".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| ClientTlsError::Pem(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        let system = system.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(ClientTlsError::NoRoots { system });
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Fetches one JWK Set.
#[derive(Clone)]
pub struct Fetcher {
    url: JwksUrl,
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("url", &self.url).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Fetches from `url`; the whole exchange takes `timeout` at most.
    #[must_use]
    pub const fn new(url: JwksUrl, tls: Arc<ClientConfig>, timeout: Duration) -> Self {
        Self { url, tls, timeout }
    }

    /// From where.
    #[must_use]
    pub const fn url(&self) -> &JwksUrl {
        &self.url
    }

    /// The answer's body, [`JWKS_BYTES_MAX`] at most. Cancel-safe: dropped, it closes its connection.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self) -> Result<Bytes, FetchError> {
        let exchange = async {
            let stream = self.connect().await?;
            if !self.url.endpoint().is_secure() {
                return self.get(stream).await;
            }
            let name = ServerName::try_from(self.url.endpoint().host().to_owned())
                .map_err(|error| FetchError::Tls(std::io::Error::other(error)))?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            self.get(connector.connect(name, stream).await.map_err(FetchError::Tls)?).await
        };
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| FetchError::Timeout(self.timeout))?
    }

    async fn connect(&self) -> Result<TcpStream, FetchError> {
        let addresses = tokio::net::lookup_host((self.url.endpoint().host(), self.url.endpoint().port())).await;
        let addresses = addresses.map_err(FetchError::Connect)?.filter(|address| self.url.may_connect(address));
        let mut last = std::io::Error::other("the host has no address that may be used");
        for address in addresses.take(ADDRESSES_MAX) {
            // An address that swallows packets leaves time for the next.
            match tokio::time::timeout(self.timeout / 2, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(FetchError::Connect(last))
    }

    async fn get(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Bytes, FetchError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() =
            self.url.endpoint().target().parse().map_err(|_| FetchError::Body("a bad path".to_owned()))?;
        let headers = request.headers_mut();
        if let Ok(host) = self.url.endpoint().authority().parse() {
            headers.insert(HOST, host);
        }
        headers.insert(ACCEPT, hyper::header::HeaderValue::from_static("application/jwk-set+json, application/json"));
        headers.insert(USER_AGENT, hyper::header::HeaderValue::from_static("vedfolnir"));
        let exchange = async {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            match Limited::new(response.into_body(), JWKS_BYTES_MAX).collect().await {
                Ok(body) => Ok(body.to_bytes()),
                Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong),
                Err(error) => Err(FetchError::Body(error.to_string())),
            }
        };
        // The connection is driven beside it; its end is heard through the exchange.
        let driver = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            fetched = exchange => fetched,
            never = driver => never,
        }
    }
}
