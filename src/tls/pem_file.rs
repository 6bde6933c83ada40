//! PEM files, read within bounds: certificates and private keys, and what is wrong with a file that holds none.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::finding::{Fault, Refusal};

/// A file of certificates or of a key is no larger; the bundles of operating systems have about 250 KiB.
pub const PEM_FILE_BYTES_MAX: u64 = 1 << 20;
/// Certificates in one file; the bundles of operating systems have about 150.
pub const PEM_FILE_CERTIFICATES_MAX: usize = 1024;

const CERTIFICATE_FORMS: &str =
    "a PEM file of certificates (-----BEGIN CERTIFICATE-----), the server's own first, then each one's issuer";
const KEY_FORMS: &str = "an unencrypted PEM file with one private key: PKCS#8 (-----BEGIN PRIVATE KEY-----), PKCS#1 \
                         (-----BEGIN RSA PRIVATE KEY-----) or SEC1 (-----BEGIN EC PRIVATE KEY-----)";
const READABLE_FORMS: &str = "a regular file that the server's user may read";

/// A file's content and what its inode said when it was read.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// The permission bits.
    pub(super) mode: u32,
}

/// Reads a regular file of at most [`PEM_FILE_BYTES_MAX`] bytes.
pub(super) fn read(path: &Path) -> Result<Content, Refusal> {
    let unreadable = |reason: String| Refusal::new(Fault::Unreadable, reason, READABLE_FORMS);
    let failed = |error: std::io::Error| unreadable(format!("cannot be read ({error})"));
    // Before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unreadable("is not a regular file".to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    let mut bytes = Vec::new();
    file.take(PEM_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_FILE_BYTES_MAX {
        let reason = format!("is larger than {PEM_FILE_BYTES_MAX} bytes");
        return Err(Refusal::new(Fault::TooLarge, reason, CERTIFICATE_FORMS));
    }
    Ok(Content { bytes, mode })
}

/// All certificates of a file, in its order; sections of other kinds are skipped.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    check_is_pem(bytes, CERTIFICATE_FORMS)?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        certificates.push(certificate.map_err(|error| damaged(&error, CERTIFICATE_FORMS))?);
        if certificates.len() > PEM_FILE_CERTIFICATES_MAX {
            let reason = format!("holds more than {PEM_FILE_CERTIFICATES_MAX} certificates");
            return Err(Refusal::new(Fault::TooLarge, reason, CERTIFICATE_FORMS));
        }
    }
    if certificates.is_empty() {
        let reason = format!("holds no certificate{}", but_holds(bytes));
        return Err(Refusal::new(Fault::NotPem, reason, CERTIFICATE_FORMS));
    }
    Ok(certificates)
}

/// The private key of a file; sections of other kinds are skipped.
pub(super) fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Refusal> {
    check_is_pem(bytes, KEY_FORMS)?;
    // RFC 7468, section 11, and the older headers of RFC 1421, section 4.6.1.1.
    let headers: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    if lines(bytes).any(|line| headers.iter().any(|header| line.starts_with(header))) {
        let reason = "the private key is encrypted, and the server has no passphrase";
        return Err(Refusal::new(Fault::Encrypted, reason, KEY_FORMS));
    }
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => {
            let reason = format!("holds no private key{}", but_holds(bytes));
            Err(Refusal::new(Fault::NotPem, reason, KEY_FORMS))
        }
        Err(error) => Err(damaged(&error, KEY_FORMS)),
    }
}

fn check_is_pem(bytes: &[u8], accepted: &'static str) -> Result<(), Refusal> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::new(Fault::Empty, "is empty", accepted));
    }
    if !lines(bytes).any(|line| line.starts_with(b"-----BEGIN ")) {
        // DER begins with a SEQUENCE.
        let reason = if bytes[0] == 0x30 { "is not PEM but looks like DER (binary)" } else { "is not PEM" };
        return Err(Refusal::new(Fault::NotPem, reason, accepted));
    }
    Ok(())
}

/// Of a damaged file nothing is shown: it may be a key.
fn damaged(error: &PemError, accepted: &'static str) -> Refusal {
    let reason = match error {
        PemError::MissingSectionEnd { .. } => "a PEM section has no end",
        PemError::IllegalSectionStart { .. } => "a PEM section begins with a damaged line",
        PemError::Base64Decode(_) => "a PEM section is not base64",
        _ => "a PEM section is damaged",
    };
    Refusal::new(Fault::NotPem, reason, accepted)
}

/// Which sections the file holds instead.
fn but_holds(bytes: &[u8]) -> String {
    const LABELS_MAX: usize = 3;
    const LABEL_BYTES_MAX: usize = 40;
    let labels: Vec<String> = lines(bytes)
        .filter_map(|line| line.strip_prefix(b"-----BEGIN "))
        .filter_map(|rest| rest.get(..rest.iter().position(|&byte| byte == b'-')?))
        .filter(|label| label.len() <= LABEL_BYTES_MAX && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b' '))
        .map(|label| String::from_utf8_lossy(label).into_owned())
        .take(LABELS_MAX)
        .collect();
    if labels.is_empty() { String::new() } else { format!(", but {}", labels.join(", ")) }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n' || byte == b'\r')
}

/// The PEM form of a key, for messages.
pub(super) fn key_form(key: &PrivateKeyDer<'_>) -> &'static str {
    match key {
        PrivateKeyDer::Pkcs1(_) => "PKCS#1",
        PrivateKeyDer::Sec1(_) => "SEC1",
        _ => "PKCS#8",
    }
}

#[cfg(test)]
#[path = "pem_file_tests.rs"]
mod tests;
