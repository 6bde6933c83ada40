use rcgen::KeyPair;
use rustls::SignatureScheme::{ECDSA_NISTP256_SHA256, ED25519, RSA_PSS_SHA256};

use super::super::certificate::load_certificate;
use super::super::finding::Strictness;
use super::super::test_files::{Authority, Directory, NOW, RSA_PKCS8, leaf_params};
use super::*;

const EC: &[SignatureScheme] = &[ECDSA_NISTP256_SHA256];
const BOTH: &[SignatureScheme] = &[ECDSA_NISTP256_SHA256, RSA_PSS_SHA256];
const RSA: &[SignatureScheme] = &[RSA_PSS_SHA256];

fn certificate(names: &[&str], key: &KeyPair) -> LoadedCertificate {
    let root = Authority::root("r");
    let directory = Directory::new();
    let files = directory.pair(&(root.sign(&leaf_params(names), key) + &root.pem), &key.serialize_pem());
    load_certificate(&files, Strictness::Relaxed, NOW).unwrap().0
}

fn ec(names: &[&str]) -> LoadedCertificate {
    certificate(names, &KeyPair::generate().unwrap())
}

fn rsa(names: &[&str]) -> LoadedCertificate {
    certificate(names, &KeyPair::from_pem(RSA_PKCS8).unwrap())
}

#[track_caller]
fn assert_chosen(set: &CertificateSet, name: Option<&str>, schemes: &[SignatureScheme], index: usize) {
    let expected = &set.certificates[index].certified;
    assert!(Arc::ptr_eq(set.choose(name, schemes), expected), "{name:?}");
}

#[test]
fn names_choose_and_the_first_certificate_is_the_default() {
    let set = CertificateSet::new(vec![
        ec(&["default.example.com"]),
        ec(&["a.example.com", "*.wild.example.com"]),
        ec(&["Exact.wild.example.com", "xn--bcher-kva.example"]),
    ])
    .unwrap();
    for (name, index) in [
        (None, 0),
        (Some("default.example.com"), 0),
        (Some("unknown.example.org"), 0),
        (Some("a.example.com"), 1),
        (Some("A.EXAMPLE.com"), 1),
        (Some("a.example.com."), 1),
        (Some("x.wild.example.com"), 1),
        (Some("exact.wild.example.com"), 2),
        (Some("xn--bcher-kva.example"), 2),
        (Some("x.y.wild.example.com"), 0),
        (Some("wild.example.com"), 0),
        (Some("*.wild.example.com"), 1),
        (Some(""), 0),
        (Some("."), 0),
    ] {
        assert_chosen(&set, name, EC, index);
    }
}

#[test]
fn of_several_certificates_for_a_name_the_client_gets_one_that_it_can_check() {
    let set = CertificateSet::new(vec![rsa(&["a"]), ec(&["a"]), ec(&["b"])]).unwrap();
    assert_chosen(&set, Some("a"), BOTH, 0);
    assert_chosen(&set, Some("a"), RSA, 0);
    assert_chosen(&set, Some("a"), EC, 1);
    assert_chosen(&set, None, EC, 1);
    assert_chosen(&set, Some("unknown"), EC, 1);
    assert_chosen(&set, Some("b"), RSA, 2);
    assert_chosen(&set, Some("unknown"), &[ED25519], 0);
}

#[test]
fn a_set_has_at_least_one_and_at_most_so_many_certificates() {
    assert_eq!(CertificateSet::new(Vec::new()).unwrap_err(), SetError::None);
    let one = ec(&["a"]);
    assert!(CertificateSet::new(vec![one.clone(); CERTIFICATES_MAX]).is_ok());
    let count = CERTIFICATES_MAX + 1;
    assert_eq!(CertificateSet::new(vec![one; count]).unwrap_err(), SetError::TooMany { count });
}

#[test]
fn a_replaced_set_is_what_the_next_handshake_takes() {
    let (old, new) = (Arc::new(CertificateSet::new(vec![ec(&["a"])]).unwrap()), CertificateSet::new(vec![ec(&["b"])]));
    let resolver = CertificateResolver::new(old.clone());
    assert!(Arc::ptr_eq(&resolver.current(), &old));
    resolver.replace(Arc::new(new.unwrap()));
    assert_eq!(resolver.current().reports().next().unwrap().names, ["b"]);
    assert_eq!(old.reports().next().unwrap().names, ["a"], "who holds it keeps it");
}
