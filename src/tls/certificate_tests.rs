use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd};

use super::super::test_files::{
    Authority, Directory, ENCRYPTED_PKCS8, NOW, P256_PKCS8, P256_SEC1, P521_CERTIFICATE, P521_KEY, RSA_PKCS1,
    RSA_PKCS8, RSA1024_CERTIFICATE, RSA1024_KEY, SHA1_CERTIFICATE, V1_CERTIFICATE, leaf_params, self_signed, set_mode,
};
use super::*;
use crate::tls::finding::Severity;

const LOCAL: &[&str] = &["localhost"];

fn faults(files: &CertificateFiles, strictness: Strictness) -> Vec<(Fault, Severity)> {
    let findings = match load_certificate(files, strictness, NOW) {
        Ok((_, warnings)) => {
            assert!(warnings.iter().all(|finding| finding.severity == Severity::Warning));
            warnings
        }
        Err(findings) => {
            assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{findings:?}");
            findings
        }
    };
    findings.iter().map(|finding| (finding.fault, finding.severity)).collect()
}

/// The fault is found alone, with that severity in production and the other elsewhere.
fn expect(files: &CertificateFiles, fault: Fault, relaxed: Severity, production: Severity) {
    assert_eq!(faults(files, Strictness::Relaxed), [(fault, relaxed)]);
    assert_eq!(faults(files, Strictness::Production), [(fault, production)]);
}

#[test]
fn every_kind_and_form_of_key_is_served() {
    let root = Authority::root("r");
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let p256 = KeyPair::from_pem(P256_PKCS8).unwrap();
    let rsa = KeyPair::from_pem(RSA_PKCS8).unwrap();
    let keys = [
        (&p384, p384.serialize_pem(), KeyKind::EcdsaP384),
        (&ed25519, ed25519.serialize_pem(), KeyKind::Ed25519),
        (&p256, P256_PKCS8.to_owned(), KeyKind::EcdsaP256),
        (&p256, P256_SEC1.to_owned(), KeyKind::EcdsaP256),
        (&rsa, RSA_PKCS8.to_owned(), KeyKind::Rsa { bits: 2048 }),
        (&rsa, RSA_PKCS1.to_owned(), KeyKind::Rsa { bits: 2048 }),
    ];
    for (key, pem, kind) in keys {
        let directory = Directory::new();
        let chain = root.sign(&leaf_params(LOCAL), key) + &root.pem;
        let (loaded, warnings) = load_certificate(&directory.pair(&chain, &pem), Strictness::Production, NOW).unwrap();
        assert_eq!((loaded.report.key, warnings.len()), (kind, 0));
        assert_eq!(loaded.certified.cert.len(), 2);
    }
}

#[test]
fn the_chain_file_is_served_behind_the_certificate_file_without_repetitions() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let intermediate = root.intermediate("i");
    let (leaf, key) = intermediate.issue(LOCAL);
    let mut files = directory.pair(&leaf, &key);
    assert_eq!(faults(&files, Strictness::Production), [(Fault::ChainIncomplete, Severity::Warning)]);
    files.chain = Some(directory.write("chain.pem", &(intermediate.pem.clone() + &leaf + &root.pem)));
    let (loaded, warnings) = load_certificate(&files, Strictness::Production, NOW).unwrap();
    assert_eq!(warnings, []);
    let expected: Vec<_> =
        [leaf, intermediate.pem, root.pem].iter().flat_map(|pem| certificates(pem.as_bytes()).unwrap()).collect();
    assert_eq!(loaded.certified.cert, expected);
}

#[test]
fn one_file_may_hold_certificate_and_key() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let (leaf, key) = root.issue(LOCAL);
    let both = directory.write("both.pem", &(key + &leaf + &root.pem));
    let files = CertificateFiles { certificate: both.clone(), key: both, chain: None };
    assert_eq!(faults(&files, Strictness::Production), []);
}

#[test]
fn unusable_files_are_errors_at_any_strictness() {
    let root = Authority::root("r");
    let (leaf, key) = root.issue(LOCAL);
    let (other, other_key) = root.issue(&["other"]);
    let chain = leaf.clone() + &root.pem;
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let table: [(&str, &str, Fault); 13] = [
        ("", &key, Fault::Empty),
        ("x", &key, Fault::NotPem),
        (&key, &key, Fault::NotPem),
        (broken, &key, Fault::UnusableCertificate),
        (&chain, "", Fault::Empty),
        (&chain, "x", Fault::NotPem),
        (&chain, &leaf, Fault::NotPem),
        (&chain, ENCRYPTED_PKCS8, Fault::Encrypted),
        (&chain, &other_key, Fault::KeyMismatch),
        (&chain, RSA_PKCS8, Fault::KeyMismatch),
        (&chain, "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", Fault::UnusableKey),
        (P521_CERTIFICATE, P521_KEY, Fault::UnusableKey),
        (&(other + &chain), &key, Fault::LeafNotFirst),
    ];
    for (certificate, key, fault) in table {
        let directory = Directory::new();
        expect(&directory.pair(certificate, key), fault, Severity::Error, Severity::Error);
    }
    let directory = Directory::new();
    let mut files = directory.pair(&chain, &key);
    files.key = directory.path("missing.pem");
    expect(&files, Fault::Unreadable, Severity::Error, Severity::Error);
}

#[test]
fn a_leaf_behind_its_issuer_is_told_by_its_place() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let (leaf, key) = root.issue(LOCAL);
    let findings =
        load_certificate(&directory.pair(&(root.pem.clone() + &leaf), &key), Strictness::Production, NOW).unwrap_err();
    let found = findings.iter().find(|finding| finding.fault == Fault::LeafNotFirst).unwrap();
    assert!(found.reason.contains("certificate 2") && found.reason.contains("localhost"), "{found}");
    assert!(found.to_string().contains("cert.pem"), "{found}");
}

#[test]
fn one_run_names_the_faults_of_both_files() {
    let directory = Directory::new();
    let files = directory.pair("x", ENCRYPTED_PKCS8);
    let found = faults(&files, Strictness::Production);
    assert_eq!(found, [(Fault::NotPem, Severity::Error), (Fault::Encrypted, Severity::Error)]);
}

#[test]
fn a_chain_of_too_many_certificates_is_refused() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let (leaf, key) = root.issue(LOCAL);
    let many: String = (0..CHAIN_CERTIFICATES_MAX).map(|_| root.issue(LOCAL).0).collect();
    let found = faults(&directory.pair(&(leaf + &many), &key), Strictness::Relaxed);
    assert_eq!(found, [(Fault::TooLarge, Severity::Error)]);
}

#[test]
fn dates_are_judged_at_the_time_handed_in() {
    let root = Authority::root("r");
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(LOCAL);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 7, 1);
    let directory = Directory::new();
    let files = directory.pair(&(root.sign(&params, &key) + &root.pem), &key.serialize_pem());
    let (begin, end) = (1_767_225_600, 1_782_864_000);
    for (now, fault) in
        [(begin - 1, Some(Fault::NotYetValid)), (begin, None), (end, None), (end + 1, Some(Fault::Expired))]
    {
        let production = load_certificate(&files, Strictness::Production, now);
        let relaxed = load_certificate(&files, Strictness::Relaxed, now).unwrap().1;
        assert_eq!(relaxed.first().map(|finding| finding.fault), fault, "{now}");
        assert_eq!(production.err().map(|findings| findings[0].fault), fault, "{now}");
    }
    let expired = load_certificate(&files, Strictness::Production, end + 1).unwrap_err();
    assert!(expired[0].reason.contains("2026") && expired[0].reason.contains("expired"), "{}", expired[0]);
}

#[test]
fn a_key_that_others_may_read_is_an_error_in_production() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let (leaf, key) = root.issue(LOCAL);
    let files = directory.pair(&(leaf + &root.pem), &key);
    for mode in [0o600, 0o640, 0o400, 0o440, 0o700] {
        set_mode(&files.key, mode);
        assert_eq!(faults(&files, Strictness::Production), [], "{mode:o}");
    }
    for mode in [0o644, 0o604, 0o660, 0o602, 0o777] {
        set_mode(&files.key, mode);
        expect(&files, Fault::KeyExposed, Severity::Warning, Severity::Error);
    }
    let text = load_certificate(&files, Strictness::Production, NOW).unwrap_err()[0].to_string();
    assert!(text.contains("key.pem") && text.contains("0777") && text.contains("0640"), "{text}");
}

#[test]
fn weak_and_unsuitable_certificates_are_found() {
    let directory = Directory::new();
    let weak = faults(&directory.pair(RSA1024_CERTIFICATE, RSA1024_KEY), Strictness::Relaxed);
    assert_eq!(weak, [(Fault::UnusableKey, Severity::Error), (Fault::WeakKey, Severity::Warning)]);
    let sha1 = faults(&directory.pair(SHA1_CERTIFICATE, P256_PKCS8), Strictness::Production);
    assert!(sha1.contains(&(Fault::WeakSignature, Severity::Error)), "{sha1:?}");
    let v1 = faults(&directory.pair(V1_CERTIFICATE, P256_PKCS8), Strictness::Relaxed);
    assert!(v1.contains(&(Fault::UnusableCertificate, Severity::Error)), "{v1:?}");

    let root = Authority::root("r");
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(LOCAL);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let files = directory.pair(&(root.sign(&params, &key) + &root.pem), &key.serialize_pem());
    expect(&files, Fault::NotForServers, Severity::Warning, Severity::Error);
    let files = directory.pair(&(root.sign(&leaf_params(&[]), &key) + &root.pem), &key.serialize_pem());
    expect(&files, Fault::NoNames, Severity::Warning, Severity::Warning);
}

#[test]
fn a_self_signed_certificate_as_openssl_makes_it_can_be_served() {
    let directory = Directory::new();
    let key = KeyPair::generate().unwrap();
    let files = directory.pair(&self_signed(&leaf_params(LOCAL), &key), &key.serialize_pem());
    assert_eq!(faults(&files, Strictness::Production), []);
    let mut params = leaf_params(LOCAL);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let files = directory.pair(&self_signed(&params, &key), &key.serialize_pem());
    expect(&files, Fault::LeafIsAuthority, Severity::Warning, Severity::Warning);
}

#[test]
fn no_key_is_shown_in_debug_output() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let (leaf, key) = root.issue(LOCAL);
    let loaded = load_certificate(&directory.pair(&(leaf + &root.pem), &key), Strictness::Production, NOW).unwrap();
    let secret: String = key.lines().nth(1).unwrap().chars().take(20).collect();
    assert!(!format!("{loaded:?}").contains(&secret));
}
