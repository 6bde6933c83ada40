use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;

use super::super::inspect::facts;
use super::super::test_files::{Authority, NOW, leaf_params, self_signed};
use super::*;

fn der(pems: &[&str]) -> Vec<CertificateDer<'static>> {
    pems.iter().map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).collect()
}

fn faults(pems: &[&str]) -> Vec<Fault> {
    let chain = der(pems);
    let all: Vec<Facts> = chain.iter().map(|certificate| facts(certificate).unwrap()).collect();
    check(&chain, &all.iter().collect::<Vec<_>>()).iter().map(|refusal| refusal.fault).collect()
}

#[test]
fn a_chain_is_complete_with_or_without_its_root() {
    let root = Authority::root("r");
    let (outer, leaf) = (root.intermediate("outer"), root.issue(&["direct"]).0);
    let inner = outer.intermediate("inner");
    let (far, _) = inner.issue(&["far"]);
    assert_eq!(faults(&[&far, &inner.pem, &outer.pem, &root.pem]), []);
    assert_eq!(faults(&[&far, &inner.pem, &outer.pem]), []);
    assert_eq!(faults(&[&leaf, &root.pem]), []);
    assert_eq!(faults(&[&self_signed(&leaf_params(&["alone"]), &KeyPair::generate().unwrap())]), []);
}

#[test]
fn a_leaf_without_its_issuer_is_incomplete() {
    let (leaf, _) = Authority::root("r").issue(&["a"]);
    assert_eq!(faults(&[&leaf]), [Fault::ChainIncomplete]);
    let stranger = Authority::root("stranger");
    assert_eq!(faults(&[&leaf, &stranger.pem]), [Fault::ChainIncomplete, Fault::ChainUnordered]);
}

#[test]
fn certificates_out_of_order_or_out_of_place_are_found() {
    let root = Authority::root("r");
    let outer = root.intermediate("outer");
    let inner = outer.intermediate("inner");
    let (leaf, _) = inner.issue(&["a"]);
    assert_eq!(faults(&[&leaf, &outer.pem, &inner.pem]), [Fault::ChainUnordered]);
    assert_eq!(faults(&[&leaf, &inner.pem, &outer.pem, &Authority::root("x").pem]), [Fault::ChainUnordered]);
}

#[test]
fn an_issuer_of_the_right_name_and_the_wrong_key_breaks_the_chain() {
    let (leaf, _) = Authority::root("same name").issue(&["a"]);
    assert_eq!(faults(&[&leaf, &Authority::root("same name").pem]), [Fault::ChainBroken]);
}

#[test]
fn issuers_in_a_circle_end_the_path() {
    // Two authorities that name each other as issuers.
    let (a, b) = (Authority::root("a"), Authority::root("b"));
    let (b_by_a, a_by_b) = (a.intermediate("b"), b.intermediate("a"));
    let (leaf, _) = b_by_a.issue(&["leaf"]);
    let found = faults(&[&leaf, &b_by_a.pem, &a_by_b.pem]);
    assert_eq!(found, [Fault::ChainBroken], "the second circle's keys differ");
}

#[test]
fn trust_needs_a_path_to_an_authority() {
    let root = Authority::root("r");
    let intermediate = root.intermediate("i");
    let (leaf, _) = intermediate.issue(&["a"]);
    let whole = der(&[&leaf, &intermediate.pem]);
    let trusted = der(&[&Authority::root("x").pem, &root.pem]);
    assert!(check_trust(&whole, &trusted, NOW).is_none());
    assert_eq!(check_trust(&whole[..1], &trusted, NOW).unwrap().fault, Fault::Untrusted);
    assert_eq!(check_trust(&whole, &trusted[..1], NOW).unwrap().fault, Fault::Untrusted);
    assert_eq!(check_trust(&whole, &[], NOW).unwrap().fault, Fault::Untrusted);
}
