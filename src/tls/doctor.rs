//! What `vedfolnir doctor tls` says: every fault of a listener's files, of which a start would name the first.

use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;
use webpki::EndEntityCert;

use super::certificate::{CertificateFiles, LoadedCertificate, inspect_certificate};
use super::chain::check_trust;
use super::finding::{Fault, FileRole, Finding, Findings, Refusal, Strictness};
use super::inspect::{CertificateReport, facts, show_time};
use super::pem_file::{certificates, read};

/// A certificate whose time is over sooner than this is warned of.
pub const EXPIRY_WARNING_SECONDS: i64 = 14 * 24 * 60 * 60;

/// When the first certificate of a PEM file expires, in seconds since 1970; `None`: there is none that can be read.
#[must_use]
pub fn certificate_expires(file: &Path) -> Option<i64> {
    let list = certificates(&read(file).ok()?.bytes).ok()?;
    Some(facts(list.first()?).ok()?.report.not_after)
}

/// What to examine.
#[derive(Clone, Debug)]
pub struct Examination<'a> {
    /// The certificates with their keys; the first is the default.
    pub pairs: &'a [CertificateFiles],
    /// The authorities of client certificates.
    pub client_ca: Option<&'a Path>,
    /// The authorities that clients trust; without it, trust is not examined.
    pub trust: Option<&'a Path>,
    /// The host name or address that clients connect to; without it, names are not examined.
    pub public_host: Option<&'a str>,
    /// How much is tolerated.
    pub strictness: Strictness,
    /// Seconds since 1970.
    pub now: i64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Every fault; empty if all is well.
    pub findings: Vec<Finding>,
    /// What the usable certificates say.
    pub certificates: Vec<(PathBuf, CertificateReport)>,
}

/// Examines all files.
#[must_use]
pub fn examine(examination: &Examination<'_>) -> Diagnosis {
    let mut findings = Findings::new(examination.strictness);
    let mut diagnosis = Diagnosis::default();
    let mut bundle = |role, path: Option<&Path>| {
        let path = path?;
        let list = read(path).and_then(|content| certificates(&content.bytes));
        findings.keep(role, path, list)
    };
    bundle(FileRole::ClientCa, examination.client_ca);
    let trust = bundle(FileRole::Trust, examination.trust);
    let mut is_named = false;
    for files in examination.pairs {
        let Some(loaded) = inspect_certificate(files, examination.now, &mut findings) else { continue };
        let mut refusals: Vec<Refusal> = expires_soon(&loaded.report, examination.now).into_iter().collect();
        refusals.extend(match &trust {
            Some(authorities) => check_trust(&loaded.certified.cert, authorities, examination.now),
            None => self_signed(&loaded.report),
        });
        for refusal in refusals {
            findings.add(FileRole::Certificate, &files.certificate, refusal);
        }
        is_named = is_named || examination.public_host.is_some_and(|host| names_host(&loaded, host));
        diagnosis.certificates.push((files.certificate.clone(), loaded.report));
    }
    if let (Some(host), Some((file, report)), false) =
        (examination.public_host, diagnosis.certificates.first(), is_named)
    {
        findings.add(FileRole::Certificate, file, name_mismatch(host, &report.names));
    }
    diagnosis.findings = findings.into_list();
    diagnosis
}

fn expires_soon(report: &CertificateReport, now: i64) -> Option<Refusal> {
    let left = report.not_after.saturating_sub(now);
    if !(0..EXPIRY_WARNING_SECONDS).contains(&left) {
        return None;
    }
    let days = left / (24 * 60 * 60);
    let end = show_time(report.not_after);
    let reason = format!("the certificate of {:?} expires in {days} days, at {end}", report.subject);
    Some(Refusal::new(Fault::ExpiresSoon, reason, "a certificate that is renewed 14 days before its end"))
}

fn self_signed(report: &CertificateReport) -> Option<Refusal> {
    (report.subject == report.issuer).then(|| {
        let reason = format!("the certificate of {:?} is its own issuer: no client trusts it", report.subject);
        Refusal::new(Fault::SelfSigned, reason, "a certificate from an authority that the clients trust")
    })
}

/// Whether clients that connect to this host name or address accept the certificate for it (RFC 9525).
#[must_use]
pub fn names_host(certificate: &LoadedCertificate, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    let Ok(name) = ServerName::try_from(host) else { return false };
    let Some(leaf) = certificate.certified.cert.first() else { return false };
    EndEntityCert::try_from(leaf).is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
}

fn name_mismatch(host: &str, names: &[String]) -> Refusal {
    const SHOWN_MAX: usize = 10;
    let shown = names.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > SHOWN_MAX { ", …" } else { "" };
    let reason = format!("the public host {host:?} is not among the certificate's names ({shown}{more})");
    Refusal::new(Fault::NameMismatch, reason, "a certificate whose subject alternative names include the public host")
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
