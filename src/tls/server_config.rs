//! The TLS library's configuration of a listener, from a policy, a way of client authentication and a resolver.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::kx_group::{SECP256R1, SECP384R1, X25519};
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::client_auth::ClientAuth;
use super::policy::Policy;
use super::resolver::{CertificateResolver, CertificateSet};

/// TLS 1.2 sessions that are kept for clients without tickets to resume by id; the oldest go first. Tickets, which most
/// clients resume with, take no memory.
pub const SESSIONS_MAX: usize = 4096;
/// Protocols offered to negotiate (ALPN, RFC 7301).
pub const ALPN_PROTOCOLS_MAX: usize = 16;

/// What a listener speaks.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Versions and suites.
    pub policy: Policy,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// Protocols by preference, such as `h2` and `http/1.1`; a client that offers others only is refused (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// The server's order of suites counts, not the client's: the string's for TLS 1.2, AES-256 first for TLS 1.3.
    /// Scanners ask for it; Mozilla's guidelines leave it to the client, which knows whether its processor does AES.
    pub server_order: bool,
}

/// Why the library refuses a configuration.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Client certificates are asked for, and nobody says whose.
    #[error("client authentication {mode}: no authorities are given; accepted: a PEM bundle of at least one authority")]
    NoAuthorities {
        /// `optional` or `required`.
        mode: ClientAuth,
    },
    /// The authorities cannot be used.
    #[error("client authentication: the authorities cannot be used ({0}); accepted: a PEM bundle of authorities")]
    Authorities(#[from] VerifierBuilderError),
    /// The list of protocols cannot be sent.
    #[error("ALPN: {0}; accepted: at most {ALPN_PROTOCOLS_MAX} names of 1 to 255 bytes (RFC 7301, section 3.1)")]
    Alpn(String),
    /// The library's own refusal.
    #[error("TLS cannot be configured: {0}")]
    Library(#[from] rustls::Error),
}

/// Builds the configuration. Session tickets have keys of their own, which change every six hours and are forgotten
/// after twelve: a build after a change of authorities ends every session that the old ones vouched for.
///
/// # Errors
/// [`BuildError`].
pub fn build(
    settings: &TlsSettings,
    authorities: Option<Arc<RootCertStore>>,
    resolver: Arc<CertificateResolver>,
) -> Result<ServerConfig, BuildError> {
    check_alpn(&settings.alpn)?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: settings.policy.suites(),
        kx_groups: vec![X25519, SECP256R1, SECP384R1],
        ..default_provider()
    });
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(settings.policy.minimum.protocol_versions())?;
    let builder = match settings.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        mode => {
            let roots = authorities.filter(|roots| !roots.is_empty()).ok_or(BuildError::NoAuthorities { mode })?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if mode == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols.clone_from(&settings.alpn);
    config.ignore_client_order = settings.server_order;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.ticketer = Ticketer::new()?;
    // A replayed event is delivered twice: nothing is accepted before the handshake is over (RFC 8446, section 8).
    config.max_early_data_size = 0;
    Ok(config)
}

fn check_alpn(protocols: &[Vec<u8>]) -> Result<(), BuildError> {
    if protocols.len() > ALPN_PROTOCOLS_MAX {
        return Err(BuildError::Alpn(format!("{} protocols are too many", protocols.len())));
    }
    match protocols.iter().find(|protocol| protocol.is_empty() || protocol.len() > 255) {
        Some(protocol) => Err(BuildError::Alpn(format!("a name of {} bytes", protocol.len()))),
        None => Ok(()),
    }
}

/// Whether TLS 1.2 clients could be served: some certificate has a key that some suite of TLS 1.2 signs with.
#[must_use]
pub fn suites_fit(policy: &Policy, set: &CertificateSet) -> bool {
    policy.tls12.is_empty()
        || set.keys().any(|certified| {
            policy.tls12.iter().any(|suite| suite.usable_for_signature_algorithm(certified.key.algorithm()))
        })
}

#[cfg(test)]
#[path = "server_config_tests.rs"]
mod tests;
