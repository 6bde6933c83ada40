//! The one request of a node that has no certificate yet: for a certificate, with a join token.
//!
//! ```text
//!   client ── TLS: no certificate shown, the server's chain must lead to the pinned authority ──► server
//!          ── one stream: version u8 · request ──►  ◄── version u8 · answer ──          then the connection is closed
//! ```
//!
//! It has a protocol name (ALPN) of its own on the same UDP port. Whatever is not this one request ends the connection;
//! requests are bounded in size, in number and in rate, so that strangers cost the node little.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError};
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{RpcError, close, close_with};
use super::server::Handler;
use super::tls::{SERVER_NAME, provider};
use super::transport;

/// The protocol's name in the handshake.
pub(super) const ALPN_ENROL: &[u8] = b"vedfolnir-enrol/1";
const VERSION: u8 = 1;
/// Bytes of a request or an answer.
const BODY_BYTES_MAX: usize = 32 << 10;
/// Bytes that a stranger's connection may send in all, handshake and repetitions included.
const RECEIVED_BYTES_MAX: u64 = 128 << 10;
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Requests under way at once; further ones are told to come back.
const UNDER_WAY_MAX: usize = 4;
/// Requests a second in the long run, and how many may come at once after a pause.
const RATE_PER_SECOND: f64 = 5.0;
const BURST_MAX: f64 = 20.0;
/// From the handshake to the whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// The answer needs a commit, and perhaps another node's signature.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The client takes the answer and closes.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Lets so many requests in, and no more.
pub(super) struct Gate {
    under_way: Arc<Semaphore>,
    /// Requests that may still come at once, and when that was true.
    allowance: Mutex<(f64, Instant)>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)), allowance: Mutex::new((BURST_MAX, Instant::now())) }
    }
}

impl Gate {
    fn admit(&self, now: Instant) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.under_way).try_acquire_owned().ok()?;
        let mut allowance = self.allowance.lock();
        let (left, at) = *allowance;
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * RATE_PER_SECOND).min(BURST_MAX);
        let admitted = left >= 1.0;
        *allowance = (if admitted { left - 1.0 } else { left }, now);
        admitted.then_some(permit)
    }
}

/// Answers the one request of a connection and closes it; the error is for the log.
pub(super) async fn serve(connection: Connection, gate: &Gate, handler: &Arc<dyn Handler>) -> Result<(), RpcError> {
    let from = connection.remote_address();
    let Some(_permit) = gate.admit(Instant::now()) else {
        handler.turned_away();
        close_with(&connection, close::BUSY, "too many requests for certificates, come back in a moment");
        return Err(RpcError::unreachable(&from.to_string(), "too many requests for certificates"));
    };
    let flood = async {
        while connection.stats().udp_rx.bytes <= RECEIVED_BYTES_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let result = tokio::select! {
        result = exchange(&connection, handler) => result,
        () = flood => Err(format!("more than {RECEIVED_BYTES_MAX} bytes")),
    };
    result.map_err(|reason| {
        close_with(&connection, close::PROTOCOL, &reason);
        RpcError::unreachable(&from.to_string(), format!("no acceptable request for a certificate: {reason}"))
    })
}

async fn exchange(connection: &Connection, handler: &Arc<dyn Handler>) -> Result<(), String> {
    let request = async {
        let (send, mut recv) = connection.accept_bi().await.map_err(|error| error.to_string())?;
        let body = recv.read_to_end(BODY_BYTES_MAX).await.map_err(|error| error.to_string())?;
        Ok::<_, String>((send, body))
    };
    let (mut send, body) = tokio::time::timeout(REQUEST_TIMEOUT, request)
        .await
        .map_err(|_| format!("no whole request within {REQUEST_TIMEOUT:?}"))??;
    let body = unwrap(&body).ok_or("another version, or nothing")?;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, handler.enrol(connection.remote_address(), body))
        .await
        .map_err(|_| format!("no answer was found within {ANSWER_TIMEOUT:?}"))?;
    send.write_all(&wrap(&answer)).await.map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())?;
    // Closing at once could overtake the answer.
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, connection.closed()).await;
    close_with(connection, close::SHUTDOWN, "answered");
    Ok(())
}

pub(super) fn wrap(body: &[u8]) -> Vec<u8> {
    [&[VERSION], body].concat()
}

pub(super) fn unwrap(body: &[u8]) -> Option<Bytes> {
    match body.split_first() {
        Some((&VERSION, body)) => Some(Bytes::copy_from_slice(body)),
        _ => None,
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// What answers is no node of the authority that the token is pinned to.
    #[error(
        "{peer} is not of the cluster that the join token is for: its certificate does not lead to the token's authority"
    )]
    Foreign {
        /// HOST:PORT.
        peer: String,
    },
    /// Anything else; trying again may help.
    #[error("{0}")]
    Unreachable(RpcError),
}

/// Asks the node at HOST:PORT, if its certificate leads to the authority whose certificate has this SHA-256; from a
/// port of this address that the system chooses.
///
/// # Errors
/// [`EnrolError`].
pub async fn enrol(
    bind: IpAddr,
    peer: &str,
    authority: [u8; 32],
    body: &[u8],
    limit: Duration,
) -> Result<Bytes, EnrolError> {
    let unreachable = |reason: String| EnrolError::Unreachable(RpcError::unreachable(peer, reason));
    let foreign = Arc::new(AtomicBool::new(false));
    let config = client_config(authority, Arc::clone(&foreign)).map_err(unreachable)?;
    let endpoint = quinn::Endpoint::client(SocketAddr::new(bind, 0))
        .map_err(|error| unreachable(format!("no socket on {bind}: {error}")))?;
    let asked = tokio::time::timeout(limit, ask(&endpoint, config, peer, bind, body)).await;
    endpoint.close(close::SHUTDOWN, b"done");
    match asked {
        Ok(Ok(answer)) => Ok(answer),
        _ if foreign.load(Ordering::Acquire) => Err(EnrolError::Foreign { peer: peer.to_owned() }),
        Ok(Err(error)) => Err(EnrolError::Unreachable(error)),
        Err(_) => Err(unreachable(format!("no answer within {limit:?}"))),
    }
}

async fn ask(
    endpoint: &quinn::Endpoint,
    config: quinn::ClientConfig,
    peer: &str,
    bind: IpAddr,
    body: &[u8],
) -> Result<Bytes, RpcError> {
    // A name is resolved anew at every attempt.
    let found = tokio::net::lookup_host(peer)
        .await
        .map_err(|error| RpcError::unreachable(peer, format!("the address does not resolve ({error})")))?;
    let addr = found.into_iter().find(|addr| addr.is_ipv4() == bind.is_ipv4());
    let addr = addr.ok_or_else(|| RpcError::unreachable(peer, format!("it has no address of the family of {bind}")))?;
    let connecting = endpoint
        .connect_with(config, addr, SERVER_NAME)
        .map_err(|error| RpcError::unreachable(peer, error.to_string()))?;
    let failed = |error: ConnectionError| RpcError::connection(peer, &error);
    let connection = connecting.await.map_err(failed)?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(failed)?;
    send.write_all(&wrap(body)).await.map_err(|error| RpcError::write(peer, error))?;
    // Fails only for a stream that has ended, which the next line finds out.
    let _ = send.finish();
    let answer = recv.read_to_end(BODY_BYTES_MAX).await.map_err(|error| match connection.close_reason() {
        Some(closed) => RpcError::connection(peer, &closed),
        None => RpcError::unreachable(peer, error.to_string()),
    })?;
    unwrap(&answer).ok_or_else(|| RpcError::Incompatible {
        peer: peer.to_owned(),
        reason: format!("its answer is not of version {VERSION}"),
    })
}

fn client_config(authority: [u8; 32], foreign: Arc<AtomicBool>) -> Result<quinn::ClientConfig, String> {
    let provider = provider();
    let verifier = PinnedAuthority { authority, algorithms: provider.signature_verification_algorithms, foreign };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_ENROL.to_vec()];
    config.resumption = Resumption::disabled();
    let config = QuicClientConfig::try_from(config).map_err(|error| error.to_string())?;
    let mut config = quinn::ClientConfig::new(Arc::new(config));
    config.transport_config(Arc::new(transport::transport()));
    Ok(config)
}

/// Accepts a server whose certificate is of the one authority whose certificate has the pinned hash and is shown with
/// it. Names are not checked, as between nodes.
#[derive(Debug)]
struct PinnedAuthority {
    authority: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
    /// Set when the server is of another authority.
    foreign: Arc<AtomicBool>,
}

impl PinnedAuthority {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        shown: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let pinned = shown.iter().find(|shown| digest(&SHA256, shown).as_ref() == self.authority);
        let pinned = pinned.ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let certificate = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, shown, now, self.algorithms.all)
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = self.check(end_entity, intermediates, now);
        if let Err(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) = &checked
        {
            self.foreign.store(true, Ordering::Release);
        }
        checked.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
