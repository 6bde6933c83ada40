//! Certificates, files and handshakes for the tests of this module.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use super::certificate::CertificateFiles;

/// Seconds since 1970 at which the tests' certificates are looked at: in the year 2027.
pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const DAY: i64 = 24 * 60 * 60;

pub(super) static TLS12_ALONE: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
pub(super) static TLS13_ALONE: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

pub(super) const RSA_PKCS8: &str = include_str!("testdata/rsa2048.pkcs8.pem");
pub(super) const RSA_PKCS1: &str = include_str!("testdata/rsa2048.pkcs1.pem");
pub(super) const P256_PKCS8: &str = include_str!("testdata/p256.pkcs8.pem");
pub(super) const P256_SEC1: &str = include_str!("testdata/p256.sec1.pem");
pub(super) const ENCRYPTED_PKCS8: &str = include_str!("testdata/encrypted.pkcs8.pem");
pub(super) const ENCRYPTED_PKCS1: &str = include_str!("testdata/encrypted.pkcs1.pem");
pub(super) const P521_KEY: &str = include_str!("testdata/p521.pkcs8.pem");
pub(super) const P521_CERTIFICATE: &str = include_str!("testdata/p521.cert.pem");
pub(super) const RSA1024_KEY: &str = include_str!("testdata/rsa1024.pkcs8.pem");
pub(super) const RSA1024_CERTIFICATE: &str = include_str!("testdata/rsa1024.cert.pem");
/// For the key [`P256_PKCS8`], signed with SHA-1 by another.
pub(super) const SHA1_CERTIFICATE: &str = include_str!("testdata/sha1.cert.pem");
/// For the key [`P256_PKCS8`], of X.509 version 1.
pub(super) const V1_CERTIFICATE: &str = include_str!("testdata/v1.cert.pem");

pub(super) fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("nameless", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// An authority that signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Authority {
    pub(super) fn root(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for that key, in PEM.
    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// A certificate for a new key; both in PEM.
    pub(super) fn issue(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (self.sign(&leaf_params(names), &key), key.serialize_pem())
    }

    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()
    }
}

pub(super) fn self_signed(params: &CertificateParams, key: &KeyPair) -> String {
    params.self_signed(key).unwrap().pem()
}

/// A directory for files, gone when dropped.
pub(super) struct Directory(tempfile::TempDir);

impl Directory {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that its owner alone may read, in one step as a deployment does.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let (path, aside) = (self.path(name), self.path("aside"));
        fs::write(&aside, content).unwrap();
        set_mode(&aside, 0o600);
        fs::rename(aside, &path).unwrap();
        path
    }

    pub(super) fn pair(&self, certificate: &str, key: &str) -> CertificateFiles {
        let certificate = self.write("cert.pem", certificate);
        CertificateFiles { certificate, key: self.write("key.pem", key), chain: None }
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What a client of the tests does and accepts.
pub(super) struct Client {
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    pub(super) suites: Vec<SupportedCipherSuite>,
    pub(super) trusts: Vec<CertificateDer<'static>>,
    /// Its own certificate and key, in PEM.
    pub(super) shows: Option<(String, String)>,
    pub(super) alpn: Vec<Vec<u8>>,
}

impl Client {
    pub(super) fn trusting(authority: &Authority) -> Self {
        Self {
            versions: rustls::ALL_VERSIONS,
            suites: default_provider().cipher_suites,
            trusts: vec![authority.certificate()],
            shows: None,
            alpn: Vec::new(),
        }
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        let provider = CryptoProvider { cipher_suites: self.suites.clone(), ..default_provider() };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.trusts.iter().cloned());
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect(),
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }
}

/// Performs a handshake in memory; the error is the one that the server, or else the client, ends it with.
pub(super) fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), Error> {
    let mut server = ServerConnection::new(server)?;
    let mut client = ClientConnection::new(client, ServerName::try_from(name.to_owned()).unwrap())?;
    // A handshake is over after a few rounds; what follows are session tickets.
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |rest| server.read_tls(rest).unwrap());
        let server_state = server.process_new_packets().map(drop);
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |rest| client.read_tls(rest).unwrap());
        let client_state = client.process_new_packets().map(drop);
        server_state?;
        if let Err(error) = client_state {
            // The server hears why.
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            feed(&bytes, |rest| server.read_tls(rest).unwrap());
            server.process_new_packets()?;
            return Err(error);
        }
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok((server, client))
}

fn feed(bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> usize) {
    let mut rest = bytes;
    while !rest.is_empty() && read(&mut rest) > 0 {}
}
