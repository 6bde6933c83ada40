//! Which certificate a client is shown, by the name it asks for; the whole set is swapped at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::LoadedCertificate;
use super::inspect::CertificateReport;

/// Certificates that one listener serves.
pub const CERTIFICATES_MAX: usize = 64;

/// The certificates of a listener, found by host name (SNI, RFC 6066 section 3).
#[derive(Debug)]
pub struct CertificateSet {
    certificates: Vec<LoadedCertificate>,
    /// Lower-case names, wildcards as `*.example.com`, and the certificates that have them.
    by_name: HashMap<String, Vec<usize>>,
}

/// Why certificates make no set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is none to show.
    #[error("no certificate is given; accepted: 1 to {CERTIFICATES_MAX} certificates, each with its key")]
    None,
    /// There are too many.
    #[error("{count} certificates are given; accepted: 1 to {CERTIFICATES_MAX} certificates, each with its key")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl CertificateSet {
    /// The first certificate is shown to clients that ask for no name, or for one that no certificate has.
    ///
    /// # Errors
    /// [`SetError`]: none, or more than [`CERTIFICATES_MAX`].
    pub fn new(certificates: Vec<LoadedCertificate>) -> Result<Self, SetError> {
        match certificates.len() {
            0 => return Err(SetError::None),
            count if count > CERTIFICATES_MAX => return Err(SetError::TooMany { count }),
            _ => {}
        }
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, certificate) in certificates.iter().enumerate() {
            for name in &certificate.report.names {
                let indexes = by_name.entry(name.to_ascii_lowercase()).or_default();
                if indexes.last() != Some(&index) {
                    indexes.push(index);
                }
            }
        }
        Ok(Self { certificates, by_name })
    }

    /// What the certificates say, the default first.
    pub fn reports(&self) -> impl Iterator<Item = &CertificateReport> {
        self.certificates.iter().map(|certificate| &certificate.report)
    }

    /// All chains and keys.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        self.certificates.iter().map(|certificate| &certificate.certified)
    }

    /// The certificate for a name that a client asks for and signatures that it understands.
    ///
    /// Of several for one name (RSA beside ECDSA) the first wins that the client can check; if it can check none, the
    /// handshake fails with the first.
    #[must_use]
    pub fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let is_checkable = |index: &usize| self.certificates[*index].certified.key.choose_scheme(schemes).is_some();
        let (checkable, first) = match name.and_then(|name| self.named(name)) {
            Some(indexes) => (indexes.iter().copied().find(is_checkable), indexes.first().copied().unwrap_or(0)),
            // Another than the default only for a client that cannot check the default.
            None => ((0..self.certificates.len()).find(is_checkable), 0),
        };
        &self.certificates[checkable.unwrap_or(first)].certified
    }

    /// Exact names before wildcards, which stand for one label (RFC 9525, section 6.3).
    fn named(&self, name: &str) -> Option<&[usize]> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(indexes) = self.by_name.get(&name) {
            return Some(indexes);
        }
        let (_, parent) = name.split_once('.')?;
        self.by_name.get(&format!("*.{parent}")).map(Vec::as_slice)
    }
}

/// Hands the TLS library certificates from a set that can be replaced at any time.
///
/// A handshake takes the set once; connections keep what they were shown.
#[derive(Debug)]
pub struct CertificateResolver {
    set: RwLock<Arc<CertificateSet>>,
}

impl CertificateResolver {
    /// Starts with a set.
    #[must_use]
    pub fn new(set: Arc<CertificateSet>) -> Self {
        Self { set: RwLock::new(set) }
    }

    /// The set in use.
    #[must_use]
    pub fn current(&self) -> Arc<CertificateSet> {
        self.set.read().clone()
    }

    /// Replaces the set for handshakes that begin from now on.
    pub fn replace(&self, set: Arc<CertificateSet>) {
        *self.set.write() = set;
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let set = self.current();
        Some(set.choose(client_hello.server_name(), client_hello.signature_schemes()).clone())
    }
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
