//! A certificate chain with its private key: read from files, checked, and made ready to serve.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::chain;
use super::finding::{Fault, FileRole, Finding, Findings, Refusal, Strictness};
use super::inspect::{CertificateReport, Facts, KeyKind, facts, show_time, weak_key_bits};
use super::pem_file::{Content, certificates, key_form, private_key, read};

/// Certificates that are served in one chain; every handshake sends them all.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;

const KEY_KINDS: &str = "a key of RSA with 2048 to 4096 bits, ECDSA P-256, ECDSA P-384 or Ed25519";
const KEY_MODES: &str = "mode 0600, 0640, 0400 or 0440: at most the owner writes it, and owner and group read it";
const OWN_KEY: &str = "the private key that the first certificate was made for";
/// Permission bits that a private key must not have: all but the owner's, and the group's reading.
const KEY_MODE_FORBIDDEN: u32 = 0o037;

/// Where a certificate and what belongs to it are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate, then perhaps its intermediates (`WEBSOCKET_SSL_CERT_FILE`).
    pub certificate: PathBuf,
    /// Its private key (`WEBSOCKET_SSL_KEY_FILE`).
    pub key: PathBuf,
    /// Further intermediates, served behind those of the first file (`SSL_CERT_CHAIN_FILE`).
    pub chain: Option<PathBuf>,
}

impl CertificateFiles {
    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [self.certificate.as_path(), self.key.as_path()].into_iter().chain(self.chain.as_deref())
    }
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct LoadedCertificate {
    /// Chain and key, in the form the TLS library takes.
    pub certified: Arc<CertifiedKey>,
    /// What the leaf says.
    pub report: CertificateReport,
}

/// Reads and checks a certificate with its key, at `now` in seconds since 1970.
///
/// The second value are the warnings.
///
/// # Errors
/// All findings, warnings too, if one of them is an error at that strictness.
pub fn load_certificate(
    files: &CertificateFiles,
    strictness: Strictness,
    now: i64,
) -> Result<(LoadedCertificate, Vec<Finding>), Vec<Finding>> {
    let mut findings = Findings::new(strictness);
    let loaded = inspect_certificate(files, now, &mut findings);
    match loaded {
        Some(loaded) if !findings.has_error() => Ok((loaded, findings.into_list())),
        _ => Err(findings.into_list()),
    }
}

/// As [`load_certificate`], with the findings in the caller's list; `None` if the files cannot be used at all.
pub(super) fn inspect_certificate(
    files: &CertificateFiles,
    now: i64,
    findings: &mut Findings,
) -> Option<LoadedCertificate> {
    // Each file is looked at even if another is of no use: one run names all faults.
    let served = read_chain(files, findings);
    let key_file = findings.keep(FileRole::Key, &files.key, read(&files.key));
    let key_file = key_file.inspect(|content| check_mode(content, &files.key, findings));
    let leaf_kind = served.as_ref().and_then(|served| Some(&served.first()?.facts.report.key));
    let key = key_file.and_then(|content| {
        let key = signing_key(&content, leaf_kind);
        findings.keep(FileRole::Key, &files.key, key)
    });
    let served = served?;
    check_each(&served, now, findings);
    let (leaf, key) = (served.first()?, key?);
    if let Err(refusal) = check_key_fits(&key, &served) {
        let role = if refusal.fault == Fault::LeafNotFirst { FileRole::Certificate } else { FileRole::Key };
        let file = if role == FileRole::Key { &files.key } else { &files.certificate };
        findings.add(role, file, refusal);
        return None;
    }
    let all: Vec<&Facts> = served.iter().map(|served| &served.facts).collect();
    let der: Vec<CertificateDer<'static>> = served.iter().map(|served| served.der.clone()).collect();
    for refusal in chain::check(&der, &all) {
        findings.add(FileRole::Certificate, &files.certificate, refusal);
    }
    let report = leaf.facts.report.clone();
    Some(LoadedCertificate { certified: Arc::new(CertifiedKey::new(der, key)), report })
}

/// A certificate of the served chain, and the file it is from.
struct Served {
    der: CertificateDer<'static>,
    facts: Facts,
    role: FileRole,
    file: PathBuf,
}

fn read_chain(files: &CertificateFiles, findings: &mut Findings) -> Option<Vec<Served>> {
    let sources = [(FileRole::Certificate, Some(&files.certificate)), (FileRole::Chain, files.chain.as_ref())];
    let mut served: Vec<Served> = Vec::new();
    let mut is_whole = true;
    for (role, file) in sources {
        let Some(file) = file else { continue };
        let list = read(file).and_then(|content| certificates(&content.bytes));
        let Some(list) = findings.keep(role, file, list) else {
            is_whole = false;
            continue;
        };
        for (index, der) in list.into_iter().enumerate() {
            if served.iter().any(|known| known.der == der) {
                continue;
            }
            if served.len() == CHAIN_CERTIFICATES_MAX {
                let reason = format!("the chain has more than {CHAIN_CERTIFICATES_MAX} certificates");
                let accepted = "the server's certificate and its intermediates, not a bundle of authorities";
                findings.add(role, file, Refusal::new(Fault::TooLarge, reason, accepted));
                return None;
            }
            let facts = facts(&der).map_err(|reason| {
                let reason = format!("certificate {} is unusable: {reason}", index + 1);
                Refusal::new(Fault::UnusableCertificate, reason, "X.509 certificates of version 3 (RFC 5280)")
            });
            match findings.keep(role, file, facts) {
                Some(facts) => served.push(Served { der, facts, role, file: file.clone() }),
                None => is_whole = false,
            }
        }
    }
    is_whole.then_some(served)
}

fn check_mode(content: &Content, file: &Path, findings: &mut Findings) {
    if content.mode & KEY_MODE_FORBIDDEN != 0 {
        let reason = format!("the private key has mode {:04o}: others may read it, or write it", content.mode & 0o7777);
        findings.add(FileRole::Key, file, Refusal::new(Fault::KeyExposed, reason, KEY_MODES));
    }
}

fn signing_key(content: &Content, leaf: Option<&KeyKind>) -> Result<Arc<dyn SigningKey>, Refusal> {
    let key = private_key(&content.bytes)?;
    any_supported_type(&key).map_err(|_| {
        let of = leaf.map(|kind| format!("; its certificate has a {kind}")).unwrap_or_default();
        let reason = format!("the {} private key is damaged, or of a kind that is not served{of}", key_form(&key));
        Refusal::new(Fault::UnusableKey, reason, KEY_KINDS)
    })
}

fn check_key_fits(key: &Arc<dyn SigningKey>, served: &[Served]) -> Result<(), Refusal> {
    let fits = |candidate: &Served| {
        key.public_key().as_ref().map(SubjectPublicKeyInfoDer::as_ref) == Some(candidate.facts.raw_key.as_slice())
    };
    let Some(position) = served.iter().position(fits) else {
        let subject = served.first().map_or("", |leaf| leaf.facts.report.subject.as_str());
        let reason = format!("the private key does not belong to the certificate of {subject:?}");
        return Err(Refusal::new(Fault::KeyMismatch, reason, OWN_KEY));
    };
    if position > 0 {
        let subject = &served[position].facts.report.subject;
        let reason = format!("the private key belongs to certificate {} ({subject:?}), not to the first", position + 1);
        return Err(Refusal::new(Fault::LeafNotFirst, reason, "the server's own certificate first, then its issuer's"));
    }
    // The TLS library's own look at the leaf: it refuses what it could not serve, such as version 1.
    CertifiedKey::new(vec![served[0].der.clone()], key.clone()).keys_match().map_err(|error| {
        let reason = format!("the first certificate is unusable: {error}");
        Refusal::new(Fault::UnusableCertificate, reason, "X.509 certificates of version 3 (RFC 5280)")
    })
}

fn check_each(served: &[Served], now: i64, findings: &mut Findings) {
    const VALID: &str = "certificates whose time has begun and is not over; and a clock that is right";
    for Served { facts, role, file, .. } in served {
        let CertificateReport { subject, not_before, not_after, key, .. } = &facts.report;
        if now > *not_after {
            let reason = format!("the certificate of {subject:?} expired at {}", show_time(*not_after));
            findings.add(*role, file, Refusal::new(Fault::Expired, reason, VALID));
        } else if now < *not_before {
            let reason = format!("the certificate of {subject:?} is not valid before {}", show_time(*not_before));
            findings.add(*role, file, Refusal::new(Fault::NotYetValid, reason, VALID));
        }
        if let Some(bits) = weak_key_bits(key) {
            let reason = format!("the certificate of {subject:?} has an RSA key of {bits} bits");
            findings.add(*role, file, Refusal::new(Fault::WeakKey, reason, KEY_KINDS));
        }
        // Nobody checks how a root signed itself.
        if let Some(hash) = facts.weak_signature.filter(|_| !facts.is_self_issued()) {
            let reason = format!("the certificate of {subject:?} is signed with {hash}");
            findings.add(*role, file, Refusal::new(Fault::WeakSignature, reason, "signatures with SHA-256 or better"));
        }
    }
    let Some(Served { facts, role, file, .. }) = served.first() else { return };
    let subject = &facts.report.subject;
    if !facts.is_for_servers {
        let reason = format!("the certificate of {subject:?} has an extended key usage without serverAuth");
        findings.add(*role, file, Refusal::new(Fault::NotForServers, reason, "the usage serverAuth, or none named"));
    }
    if facts.is_authority {
        let reason = format!("the first certificate, of {subject:?}, is an authority's: some clients refuse it");
        findings.add(*role, file, Refusal::new(Fault::LeafIsAuthority, reason, "a certificate with CA:FALSE"));
    }
    if facts.report.names.is_empty() {
        let reason = format!("the certificate of {subject:?} has no subject alternative name: clients refuse it");
        findings.add(*role, file, Refusal::new(Fault::NoNames, reason, "a certificate with the public host name"));
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
