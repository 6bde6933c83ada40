//! TLS to those that this program asks or tells something: rustls with ring, the system's authorities or one that is named.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not certificates.
    #[error("the authority is no certificate in PEM form ({0})")]
    Pem(String),
    /// Nobody would be trusted.
    #[error("no certificate authority: the system has none, and none was given")]
    NoRoots,
    /// What rustls says.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// A client that trusts the authorities in `authority` (PEM) and nobody else, or without any those of the system. It reads
/// the system's files: call it at the start.
///
/// # Errors
/// [`TlsError`].
pub fn client_tls(authority: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(pem) => {
            let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<_, _>>()
                .map_err(|error| TlsError::Pem(error.to_string()))?;
            for certificate in certificates {
                roots.add(certificate).map_err(|error| TlsError::Pem(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(TlsError::Pem("no certificate is in it".to_owned()));
            }
        }
        None => {
            // Some stores hold certificates that are not authorities: those are passed over.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["logs.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        client_tls(Some(certificate.pem().as_bytes())).unwrap();
        for bad in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(client_tls(Some(bad.as_bytes())), Err(TlsError::Pem(_))), "{bad}");
        }
    }
}
