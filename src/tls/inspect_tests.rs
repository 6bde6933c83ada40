use proptest::prelude::*;
use rcgen::{DnType, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SerialNumber, date_time_ymd};
use rustls::pki_types::pem::PemObject;

use super::super::test_files::{
    Authority, P521_CERTIFICATE, RSA_PKCS8, RSA1024_CERTIFICATE, SHA1_CERTIFICATE, leaf_params, self_signed,
};
use super::*;

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn a_report_says_what_openssl_says() {
    let mut params = leaf_params(&["ws.example.com", "*.example.com", "192.0.2.7", "2001:db8::1"]);
    params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0x1b, 0xff]));
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 1);
    let root = Authority::root("Test root");
    let report = facts(&der(&root.sign(&params, &KeyPair::generate().unwrap()))).unwrap().report;
    assert_eq!(report.subject, "CN=ws.example.com");
    assert_eq!(report.issuer, "CN=Test root");
    assert_eq!(report.serial, "0A1BFF");
    assert_eq!((report.not_before, report.not_after), (1_735_689_600, 1_767_225_600));
    assert_eq!(report.names, ["ws.example.com", "*.example.com", "192.0.2.7", "2001:db8::1"]);
    assert_eq!(report.key, KeyKind::EcdsaP256);
}

#[test]
fn every_kind_of_key_is_named() {
    let of = |key: &KeyPair| facts(&der(&self_signed(&leaf_params(&["a"]), key))).unwrap().report.key;
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    assert_eq!(of(&p384), KeyKind::EcdsaP384);
    assert_eq!(of(&ed25519), KeyKind::Ed25519);
    assert_eq!(of(&KeyPair::from_pem(RSA_PKCS8).unwrap()), KeyKind::Rsa { bits: 2048 });
    let weak = facts(&der(RSA1024_CERTIFICATE)).unwrap().report.key;
    assert_eq!((weak.to_string().as_str(), weak_key_bits(&weak)), ("RSA 1024", Some(1024)));
    let other = facts(&der(P521_CERTIFICATE)).unwrap().report.key;
    assert!(matches!(&other, KeyKind::Other(name) if name.contains("1.3.132.0.35")), "{other}");
    assert_eq!(weak_key_bits(&KeyKind::Rsa { bits: 2048 }), None);
}

#[test]
fn weak_signatures_are_named() {
    assert_eq!(facts(&der(SHA1_CERTIFICATE)).unwrap().weak_signature, Some("SHA-1"));
    assert_eq!(facts(&der(P521_CERTIFICATE)).unwrap().weak_signature, None);
}

#[test]
fn a_subject_is_safe_for_a_log_line() {
    let mut params = leaf_params(&["a"]);
    params.distinguished_name.push(DnType::CommonName, format!("line\nbreak\u{1b}[31m{}", "x".repeat(2000)));
    let text = subject(&der(&self_signed(&params, &KeyPair::generate().unwrap()))).unwrap();
    assert!(!text.chars().any(char::is_control), "{text}");
    assert!(text.contains("line") && text.ends_with('…'), "{text}");
    assert!(text.len() <= SUBJECT_BYTES_MAX + '…'.len_utf8());
}

#[test]
fn damaged_certificates_are_refused() {
    let good = der(&Authority::root("r").pem);
    assert!(facts(&good).is_ok());
    for bad in [vec![], vec![0x30], good[..good.len() - 1].to_vec(), [good.as_ref(), &[0]].concat()] {
        assert!(facts(&CertificateDer::from(bad)).is_err());
    }
}

#[test]
fn a_time_is_shown_in_utc() {
    assert!(show_time(1_767_225_600).contains("2026"), "{}", show_time(1_767_225_600));
    assert!(!show_time(i64::MAX).is_empty());
}

proptest! {
    #[test]
    fn any_change_of_a_certificate_is_read_or_refused(position in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let good = der(P521_CERTIFICATE);
        let mut bytes = good.to_vec();
        let position = position % bytes.len();
        bytes[position] = byte;
        let _ = facts(&CertificateDer::from(bytes.clone()));
        bytes.truncate(cut);
        let _ = facts(&CertificateDer::from(bytes));
    }
}
