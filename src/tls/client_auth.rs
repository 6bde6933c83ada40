//! Client certificates: whether they are asked for, whose are accepted, and who a connection's client is.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::ServerConnection;

use super::finding::{Fault, FileRole, Finding, Findings, Refusal, Strictness};
use super::inspect::{facts, subject};
use super::pem_file::{certificates, read};

/// What [`ClientAuth`] is written as.
pub const CLIENT_AUTH_FORMS: &str = "none, optional, required (or CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED)";

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked; one that shows none comes in, one that shows a wrong one does not.
    Optional,
    /// They must.
    Required,
}

/// Text that names no way of client authentication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: not a way of client authentication; accepted: {CLIENT_AUTH_FORMS}")]
pub struct ClientAuthError {
    /// The text.
    pub text: String,
}

impl fmt::Display for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
        })
    }
}

impl FromStr for ClientAuth {
    type Err = ClientAuthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "none" | "cert_none" => Ok(Self::None),
            "optional" | "cert_optional" => Ok(Self::Optional),
            "required" | "cert_required" => Ok(Self::Required),
            _ => Err(ClientAuthError { text: text.trim().to_owned() }),
        }
    }
}

/// Authorities that client certificates must come from.
#[derive(Clone, Debug)]
pub struct ClientAuthorities {
    /// Their certificates in the file's order.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The same, in the form the TLS library takes.
    pub roots: Arc<RootCertStore>,
}

/// Reads a bundle of authorities; an empty one is refused.
///
/// # Errors
/// All findings, each an error: a bundle of which a part is unreadable would lock out clients without a word.
pub fn load_client_authorities(path: &Path, strictness: Strictness) -> Result<ClientAuthorities, Vec<Finding>> {
    const FORMS: &str = "a PEM file of the authorities' certificates";
    let mut findings = Findings::new(strictness);
    let mut roots = RootCertStore::empty();
    let list = read(path).and_then(|content| certificates(&content.bytes));
    let list = findings.keep(FileRole::ClientCa, path, list).unwrap_or_default();
    for (index, certificate) in list.iter().enumerate() {
        let unusable = |reason: String| {
            let reason = format!("certificate {} is unusable: {reason}", index + 1);
            Refusal::new(Fault::UnusableCertificate, reason, FORMS)
        };
        let checked =
            facts(certificate).and_then(|_| roots.add(certificate.clone()).map_err(|error| error.to_string()));
        findings.keep(FileRole::ClientCa, path, checked.map_err(unusable));
    }
    if findings.has_error() {
        return Err(findings.into_list());
    }
    Ok(ClientAuthorities { certificates: list, roots: Arc::new(roots) })
}

/// The distinguished name in the certificate that a connection's client proved to hold, for logs; `None` if it showed
/// none. The TLS library ends a handshake whose certificate it cannot verify, so one that is there is verified.
#[must_use]
pub fn verified_client_subject(connection: &ServerConnection) -> Option<String> {
    if connection.is_handshaking() {
        return None;
    }
    subject(connection.peer_certificates()?.first()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vocabularies_are_read() {
        for (text, mode) in [
            ("none", ClientAuth::None),
            ("CERT_NONE", ClientAuth::None),
            ("Optional", ClientAuth::Optional),
            ("CERT_OPTIONAL", ClientAuth::Optional),
            ("required", ClientAuth::Required),
            (" cert_required ", ClientAuth::Required),
        ] {
            assert_eq!(text.parse(), Ok(mode), "{text}");
        }
        let error = "yes".parse::<ClientAuth>().unwrap_err().to_string();
        assert!(error.contains("\"yes\"") && error.contains("required"), "{error}");
    }
}
