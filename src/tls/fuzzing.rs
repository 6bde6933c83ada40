//! Doors for the package fuzz: files of certificates and keys.

use rustls::pki_types::CertificateDer;

use super::{inspect, pem_file};

/// How many certificates a file holds; `None`: it is refused.
#[must_use]
pub fn certificates(bytes: &[u8]) -> Option<usize> {
    pem_file::certificates(bytes).ok().map(|certificates| certificates.len())
}

/// Whether a file holds a private key.
#[must_use]
pub fn has_private_key(bytes: &[u8]) -> bool {
    pem_file::private_key(bytes).is_ok()
}

/// What is told of a certificate in DER: its holder's name and how many others it has.
#[must_use]
pub fn facts(der: &[u8]) -> Option<(String, usize)> {
    let facts = inspect::facts(&CertificateDer::from(der)).ok()?;
    Some((facts.report.subject, facts.report.names.len()))
}
