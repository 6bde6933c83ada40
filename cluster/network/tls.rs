//! Certificates between peers: read, checked at start, turned into the two sides of TLS 1.3.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use super::enrol::ALPN_ENROL;
use crate::config::ClusterTls;

/// Every node is asked for under this name: addresses change, the authority does not.
pub(crate) const SERVER_NAME: &str = "node.vedfolnir";
const ALPN: &[u8] = b"vedfolnir/1";
/// Another protocol on purpose: a node with certificates and one without must not talk, and must say why.
const ALPN_INSECURE: &[u8] = b"vedfolnir-insecure/1";

/// What a client without a certificate is told.
pub(super) const CERTIFICATE_DEMANDED: &str =
    "it demands a certificate: start this node with --tls-ca, --tls-cert and --tls-key, or with --join-token";

const CA: &str = "--tls-ca (WEBSOCKET_CLUSTER_TLS_CA_FILE)";
const CERT: &str = "--tls-cert (WEBSOCKET_CLUSTER_TLS_CERT_FILE)";
const KEY: &str = "--tls-key (WEBSOCKET_CLUSTER_TLS_KEY_FILE)";

/// Why certificates cannot be used; the message names the setting, the file, the reason and the fix.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be used.
    #[error("{setting} = {path}: {reason}; {fix}")]
    File {
        /// The setting's names.
        setting: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        fix: &'static str,
    },
    /// The cryptography itself refused.
    #[error("TLS between peers cannot be set up: {0}")]
    Setup(String),
}

/// Both sides of TLS between peers; cheap to clone.
#[derive(Clone)]
pub struct NetworkTls {
    server: Arc<QuicServerConfig>,
    client: Arc<QuicClientConfig>,
    /// Derived from the private key; `None` without certificates.
    secret: Option<[u8; 32]>,
    /// SHA-256 of the certificate of the authority that this node's own certificate is of.
    authority: Option<[u8; 32]>,
}

impl NetworkTls {
    /// Reads and checks the files, or makes a certificate for loopback use.
    ///
    /// # Errors
    /// [`TlsError`]: a file that is missing, unreadable or no PEM; a key of another certificate; a certificate that
    /// is not of the authority or not valid now.
    pub fn load(tls: &ClusterTls) -> Result<Self, TlsError> {
        match tls {
            ClusterTls::Mutual { ca_file, cert_file, key_file } => Self::mutual(ca_file, cert_file, key_file),
            ClusterTls::DataDir { .. } => {
                Err(TlsError::Setup("certificates in the data directory are read by their paths".to_owned()))
            }
            ClusterTls::InsecureLoopback => Self::insecure(),
        }
    }

    fn mutual(ca_file: &Path, cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let provider = provider();
        let roots = Arc::new(read_authority(ca_file)?);
        let chain = read_certificates(CERT, cert_file)?;
        let key = read_key(key_file)?;
        let secret = digest::digest(&digest::SHA256, &[b"vedfolnir stateless reset ", key.secret_der()].concat());
        let secret = secret.as_ref().try_into().ok();

        let of_authority =
            AnyNodeOfAuthority { roots: Arc::clone(&roots), algorithms: provider.signature_verification_algorithms };
        // A client without a certificate gets through the handshake, because it may be a node that asks for one; the
        // endpoint serves nothing else to it (`server::Server::greet`).
        let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| file(CA, ca_file, error.to_string(), "it must hold the authority of all nodes"))?;
        #[cfg(feature = "planted-bugs")]
        let clients = crate::planted::clients_in_date(clients);
        // What every peer would refuse is refused here already.
        if let Some((own, intermediates)) = chain.split_first() {
            let now = UnixTime::now();
            of_authority
                .check(own, intermediates, now)
                .and_then(|()| clients.verify_client_cert(own, intermediates, now).map(|_| ()))
                .map_err(|error| {
                    file(
                        CERT,
                        cert_file,
                        format!("not acceptable to peers that trust {}: {error}", ca_file.display()),
                        "issue it by that authority for server and client use (`vedfolnir cert init` does), \
                         and check its dates and the clock",
                    )
                })?;
        }
        let mismatch = |error: rustls::Error| {
            let fix = "give the key that the certificate was issued for";
            file(KEY, key_file, format!("does not belong to {}: {error}", cert_file.display()), fix)
        };
        let authority = authority_of(ca_file, &chain, &of_authority)?;
        let certified = |chain| CertifiedKey::from_der(chain, key.clone_key(), &provider).map_err(mismatch);
        let certificates = ByProtocol {
            peers: Arc::new(certified(chain.clone())?),
            strangers: Arc::new(certified(chain.iter().cloned().chain([authority.clone()]).collect())?),
        };
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(certificates));
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(of_authority))
            .with_client_auth_cert(chain, key)
            .map_err(mismatch)?;
        let mut tls = Self::assemble(server, client, &[ALPN, ALPN_ENROL], secret)?;
        tls.authority = digest::digest(&digest::SHA256, &authority).as_ref().try_into().ok();
        Ok(tls)
    }

    fn insecure() -> Result<Self, TlsError> {
        let provider = provider();
        let made = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()])
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .map_err(setup)?;
        let verifier = Arc::new(AnyCertificate { algorithms: provider.signature_verification_algorithms });
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Self::assemble(server, client, &[ALPN_INSECURE], None)
    }

    fn assemble(
        mut server: ServerConfig,
        mut client: ClientConfig,
        protocols: &[&[u8]],
        secret: Option<[u8; 32]>,
    ) -> Result<Self, TlsError> {
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // What is spoken between peers comes first.
        client.alpn_protocols = server.alpn_protocols.iter().take(1).cloned().collect();
        // Every handshake shows and checks certificates: none is resumed past an expiry.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        let server = QuicServerConfig::try_from(server).map_err(|error| TlsError::Setup(error.to_string()))?;
        let client = QuicClientConfig::try_from(client).map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), secret, authority: None })
    }

    /// Whether peers are not authenticated.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.secret.is_none()
    }

    /// SHA-256 of the certificate of the authority that this node's own certificate is of; `None` without certificates.
    #[must_use]
    pub fn authority(&self) -> Option<[u8; 32]> {
        self.authority
    }

    pub(super) fn server(&self) -> Arc<QuicServerConfig> {
        Arc::clone(&self.server)
    }

    pub(super) fn client(&self) -> Arc<QuicClientConfig> {
        Arc::clone(&self.client)
    }

    /// The same after a restart, and with certificates nobody else's. Without them there is no secret that survives a
    /// restart, and none is needed: whoever reaches the loopback port may do as it likes anyway.
    pub(super) fn reset_secret(&self, local: SocketAddr) -> Vec<u8> {
        match self.secret {
            Some(secret) => secret.to_vec(),
            None => format!("vedfolnir insecure {local}").into_bytes(),
        }
    }
}

/// Whether the client came to ask for a certificate.
pub(super) fn is_enrolment(connection: &quinn::Connection) -> bool {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    data.is_some_and(|data| data.protocol.as_deref() == Some(ALPN_ENROL))
}

/// Shows the authority's certificate to nodes that know only its hash; peers have it.
#[derive(Debug)]
struct ByProtocol {
    peers: Arc<CertifiedKey>,
    strangers: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByProtocol {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let stranger = client.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_ENROL));
        Some(Arc::clone(if stranger { &self.strangers } else { &self.peers }))
    }
}

/// The one of the file's authorities that the certificate is of; it was checked against all of them before.
fn authority_of(
    ca_file: &Path,
    chain: &[CertificateDer<'static>],
    checked: &AnyNodeOfAuthority,
) -> Result<CertificateDer<'static>, TlsError> {
    let (own, intermediates) = chain.split_first().ok_or_else(|| TlsError::Setup("no certificate".to_owned()))?;
    let now = UnixTime::now();
    let authorities = read_certificates(CA, ca_file)?;
    let own_authority = authorities.iter().find(|authority| {
        let mut roots = RootCertStore::empty();
        let added = roots.add((*authority).clone()).is_ok();
        let only = AnyNodeOfAuthority { roots: Arc::new(roots), algorithms: checked.algorithms };
        added && only.check(own, intermediates, now).is_ok()
    });
    own_authority.cloned().ok_or_else(|| TlsError::Setup("this node's certificate is of no authority".to_owned()))
}

/// Accepts a server whose certificate is of the authority, whatever names are in it.
///
/// Host names are not checked on purpose. Peers are dialled by addresses that come out of the cluster's own membership
/// and change with containers and leases, and certificates made by other tooling seldom carry them. What makes a node a
/// node is a certificate of the cluster's own authority: any of its holders may join the cluster anyway, so that a
/// matching name would add nothing. Which node answers is settled by the Hello. So the authority must serve this
/// cluster alone.
#[derive(Debug)]
struct AnyNodeOfAuthority {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyNodeOfAuthority {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let (roots, algorithms) = (&self.roots, self.algorithms.all);
        let checked = verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms);
        #[cfg(feature = "planted-bugs")]
        let checked = crate::planted::in_date(checked);
        checked
    }
}

impl ServerCertVerifier for AnyNodeOfAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
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

/// Accepts any certificate; only for nodes on loopback without certificates.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
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

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn read_authority(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(CA, path)? {
        roots.add(certificate).map_err(|error| {
            file(CA, path, format!("not an authority's certificate: {error}"), "give the authority's ca.pem")
        })?;
    }
    Ok(roots)
}

/// The node's own certificate and what goes with it.
pub(super) fn read_own_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    read_certificates(CERT, path)
}

fn read_certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fix = "give a readable PEM file with a certificate (`vedfolnir cert init` makes them)";
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(setting, path, pem_reason(&error), fix))?;
    if certificates.is_empty() {
        return Err(file(setting, path, "no certificate in it".to_owned(), fix));
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let fix = "give a readable PEM file with a private key (`vedfolnir cert init` makes them)";
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| file(KEY, path, pem_reason(&error), fix))?;
    warn_if_exposed(path);
    Ok(key)
}

#[cfg(unix)]
fn warn_if_exposed(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(metadata) = path.metadata()
        && metadata.permissions().mode() & 0o077 != 0
    {
        tracing::warn!("{KEY} = {}: other users can read the private key; chmod 600 it", path.display());
    }
}

#[cfg(not(unix))]
fn warn_if_exposed(_path: &Path) {}

fn pem_reason(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "nothing of the kind in it".to_owned(),
        other => format!("not PEM: {other:?}"),
    }
}

fn file(setting: &'static str, path: &Path, reason: String, fix: &'static str) -> TlsError {
    TlsError::File { setting, path: path.display().to_string(), reason, fix }
}

fn setup(error: rustls::Error) -> TlsError {
    TlsError::Setup(error.to_string())
}
