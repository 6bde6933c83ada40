//! How the certificates of a served chain hang together, and whether they lead to a trusted authority.

use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error as PathError, KeyUsage, anchor_from_trusted_cert};

use super::finding::{Fault, Refusal};
use super::inspect::Facts;

const COMPLETE: &str = "the intermediates that the authority handed out, in the certificate file behind the server's \
                        own or in a chain file; the root may be left out";

/// Faults of a chain by itself; its first certificate is the leaf. Dates are not looked at.
pub(super) fn check(chain: &[CertificateDer<'_>], facts: &[&Facts]) -> Vec<Refusal> {
    let path = issuer_path(facts);
    let Some(leaf) = facts.first() else { return Vec::new() };
    let mut refusals = Vec::new();
    if path.len() == 1 && !leaf.is_self_issued() {
        // With one intermediate at least, the next issuer is as a rule a root, which clients have.
        let report = &leaf.report;
        let reason = format!(
            "the issuer of {:?}, {:?}, is not in the file: unless it is a root, clients cannot build the chain",
            report.subject, report.issuer
        );
        refusals.push(Refusal::new(Fault::ChainIncomplete, reason, COMPLETE));
    }
    if let Some(index) = path.iter().enumerate().find_map(|(place, &index)| (place != index).then_some(index)) {
        let subject = &facts[index].report.subject;
        let reason = format!("certificate {} ({subject:?}) is not right behind the one that it issued", index + 1);
        let accepted = "each certificate followed by its issuer's (RFC 5246, section 7.4.2)";
        refusals.push(Refusal::new(Fault::ChainUnordered, reason, accepted));
    } else if path.len() < facts.len() {
        let subject = &facts[path.len()].report.subject;
        let reason = format!("certificate {} ({subject:?}) is no issuer of those before it", path.len() + 1);
        let accepted = "each certificate followed by its issuer's (RFC 5246, section 7.4.2)";
        refusals.push(Refusal::new(Fault::ChainUnordered, reason, accepted));
    }
    if let Err(error) = check_signatures(chain, facts, &path) {
        let reason = format!("the chain of {:?} does not hold: {error:?}", leaf.report.subject);
        refusals.push(Refusal::new(Fault::ChainBroken, reason, COMPLETE));
    }
    refusals
}

/// Indexes from the leaf to its issuer, to that one's issuer and so on, as far as the file has them.
fn issuer_path(facts: &[&Facts]) -> Vec<usize> {
    let mut path = vec![0];
    let mut last = 0;
    while !facts[last].is_self_issued() {
        let is_issuer = |&index: &usize| !path.contains(&index) && facts[index].raw_subject == facts[last].raw_issuer;
        let Some(issuer) = (0..facts.len()).find(is_issuer) else { break };
        path.push(issuer);
        last = issuer;
    }
    path
}

/// Verifies the path as if its last certificate were trusted, at the leaf's first second.
fn check_signatures(chain: &[CertificateDer<'_>], facts: &[&Facts], path: &[usize]) -> Result<(), PathError> {
    let ([_, between @ .., last] | [last, between @ ..]) = path else { return Ok(()) };
    if path.len() == 1 && !facts[0].is_self_issued() {
        return Ok(());
    }
    let anchor = anchor_from_trusted_cert(&chain[*last])?;
    let between: Vec<CertificateDer<'_>> = between.iter().map(|&index| chain[index].clone()).collect();
    match verify(&chain[0], &between, &[anchor], facts[0].report.not_before) {
        // Findings of their own.
        Err(
            PathError::CaUsedAsEndEntity
            | PathError::RequiredEkuNotFoundContext(_)
            | PathError::UnsupportedSignatureAlgorithmContext(_)
            | PathError::CertExpired { .. }
            | PathError::CertNotValidYet { .. }
            | PathError::InvalidCertValidity,
        ) => Ok(()),
        result => result,
    }
}

/// Verifies a served chain against authorities, at `now` in seconds since 1970.
pub(super) fn check_trust(
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
    now: i64,
) -> Option<Refusal> {
    let (leaf, rest) = chain.split_first()?;
    let anchors: Vec<TrustAnchor<'_>> = authorities.iter().flat_map(anchor_from_trusted_cert).collect();
    let error = verify(leaf, rest, &anchors, now).err()?;
    let reason = match error {
        PathError::UnknownIssuer => "the chain does not lead to a trusted authority".to_owned(),
        error => format!("the chain is not trusted: {error:?}"),
    };
    Some(Refusal::new(Fault::Untrusted, reason, COMPLETE))
}

fn verify(
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: i64,
) -> Result<(), PathError> {
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    let leaf = EndEntityCert::try_from(leaf)?;
    leaf.verify_for_usage(algorithms, anchors, between, time, KeyUsage::server_auth(), None, None).map(drop)
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
