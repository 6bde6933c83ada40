//! What certificates say: for status, for the expiry metric, and for the checks.

use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Bytes of a distinguished name that are shown.
pub const SUBJECT_BYTES_MAX: usize = 512;
/// Names of a certificate that are reported.
pub const REPORTED_NAMES_MAX: usize = 256;

/// The kind of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
    },
    /// ECDSA on the curve P-256.
    EcdsaP256,
    /// ECDSA on the curve P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// Another, by its object identifier.
    Other(String),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "key of kind {oid}"),
        }
    }
}

/// What a served certificate says, for status and the expiry metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateReport {
    /// The distinguished name of its holder.
    pub subject: String,
    /// The distinguished name of its issuer.
    pub issuer: String,
    /// The serial number in hexadecimal digits, as `openssl x509 -serial` prints it.
    pub serial: String,
    /// Its first second, in seconds since 1970.
    pub not_before: i64,
    /// Its last second, in seconds since 1970: `websocket_tls_certificate_expiry_timestamp_seconds`.
    pub not_after: i64,
    /// Its subject alternative names: host names as written, addresses in their usual form.
    pub names: Vec<String>,
    /// The kind of its key.
    pub key: KeyKind,
}

/// Everything that the checks need of one certificate.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) report: CertificateReport,
    /// The encoded subject, to find an issuer by.
    pub(super) raw_subject: Vec<u8>,
    pub(super) raw_issuer: Vec<u8>,
    /// The encoded public key (SubjectPublicKeyInfo).
    pub(super) raw_key: Vec<u8>,
    /// The name of a broken hash that it is signed with.
    pub(super) weak_signature: Option<&'static str>,
    pub(super) is_authority: bool,
    /// It may identify a server (RFC 5280, section 4.2.1.12).
    pub(super) is_for_servers: bool,
}

impl Facts {
    pub(super) fn is_self_issued(&self) -> bool {
        self.raw_subject == self.raw_issuer
    }
}

/// Reads a certificate; the error says why it is none.
pub(super) fn facts(certificate: &CertificateDer<'_>) -> Result<Facts, String> {
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|error| format!("not X.509 ({error})"))?;
    if !rest.is_empty() {
        return Err("not X.509 (bytes after its end)".to_owned());
    }
    let usage = parsed.extended_key_usage().map_err(|error| format!("its key usage cannot be read ({error})"))?;
    Ok(Facts {
        report: CertificateReport {
            subject: shown(&parsed.subject().to_string()),
            issuer: shown(&parsed.issuer().to_string()),
            serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            names: names(&parsed)?,
            key: key_kind(parsed.public_key()),
        },
        raw_subject: parsed.subject().as_raw().to_vec(),
        raw_issuer: parsed.issuer().as_raw().to_vec(),
        raw_key: parsed.public_key().raw.to_vec(),
        weak_signature: weak_signature(&parsed),
        is_authority: parsed.is_ca(),
        is_for_servers: usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
    })
}

/// The distinguished name of a certificate's holder, safe for a log line.
#[must_use]
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(shown(&parsed.subject().to_string()))
}

/// A time in seconds since 1970 as people read it, in UTC.
pub fn show_time(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}

/// Text of a certificate is its issuer's: without control characters, and of bounded length.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        let c = if c.is_control() { '\u{fffd}' } else { c };
        if shown.len() + c.len_utf8() > SUBJECT_BYTES_MAX {
            shown.push('…');
            break;
        }
        shown.push(c);
    }
    shown
}

fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let names =
        certificate.subject_alternative_name().map_err(|error| format!("its names cannot be read ({error})"))?;
    let Some(names) = names else { return Ok(Vec::new()) };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(shown(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    Ok(names.value.general_names.iter().filter_map(text).take(REPORTED_NAMES_MAX).collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let algorithm = &key.algorithm.algorithm;
    if let Ok(PublicKey::RSA(key)) = key.parsed() {
        // A modulus is written with leading zeros.
        let modulus = &key.modulus[key.modulus.iter().take_while(|&&byte| byte == 0).count()..];
        let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        return KeyKind::Rsa { bits: modulus.len() * 8 - unused };
    }
    if *algorithm == OID_SIG_ED25519 {
        return KeyKind::Ed25519;
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        match key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok()) {
            Some(curve) if curve == OID_EC_P256 => return KeyKind::EcdsaP256,
            Some(curve) if curve == OID_NIST_EC_P384 => return KeyKind::EcdsaP384,
            Some(curve) => return KeyKind::Other(format!("ECDSA on curve {curve}")),
            None => {}
        }
    }
    KeyKind::Other(algorithm.to_string())
}

fn weak_signature(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        // With RSA, ECDSA and DSA (RFC 3279, section 2.2; RFC 5758, section 3.2).
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.2" => Some("MD5 or MD2"),
        _ => None,
    }
}

/// Bits of the key if it is RSA and too short to be trusted (BSI TR-02102-1, NIST SP 800-131A).
pub(super) fn weak_key_bits(kind: &KeyKind) -> Option<usize> {
    const RSA_BITS_MIN: usize = 2048;
    match kind {
        KeyKind::Rsa { bits } if *bits < RSA_BITS_MIN => Some(*bits),
        _ => None,
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
