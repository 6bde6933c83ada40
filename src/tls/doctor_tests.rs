use rcgen::{KeyPair, date_time_ymd};

use super::super::finding::Severity;
use super::super::test_files::{Authority, DAY, Directory, NOW, leaf_params, self_signed, set_mode};
use super::*;

fn examination<'a>(pairs: &'a [CertificateFiles], trust: Option<&'a Path>, host: Option<&'a str>) -> Examination<'a> {
    let strictness = Strictness::Production;
    Examination { pairs, client_ca: None, trust, public_host: host, strictness, now: NOW }
}

fn faults(examination: &Examination<'_>) -> Vec<Fault> {
    examine(examination).findings.iter().map(|finding| finding.fault).collect()
}

#[test]
fn a_sound_listener_has_no_findings() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let intermediate = root.intermediate("i");
    let (leaf, key) = intermediate.issue(&["ws.example.com"]);
    let pairs = [directory.pair(&(leaf + &intermediate.pem), &key)];
    let trust = directory.write("trust.pem", &root.pem);
    let examination = examination(&pairs, Some(&trust), Some("ws.example.com"));
    let diagnosis = examine(&examination);
    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.certificates[0].1.names, ["ws.example.com"]);
}

#[test]
fn each_planted_fault_is_named() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let intermediate = root.intermediate("i");
    let (leaf, key) = intermediate.issue(&["ws.example.com"]);
    let trust = directory.write("trust.pem", &root.pem);

    let pairs = [directory.pair(&(leaf.clone() + &intermediate.pem), &key)];
    set_mode(&pairs[0].key, 0o644);
    let host = Some("other.example.com");
    assert_eq!(faults(&examination(&pairs, Some(&trust), host)), [Fault::KeyExposed, Fault::NameMismatch]);

    let pairs = [directory.pair(&leaf, &key)];
    let host = Some("ws.example.com");
    assert_eq!(faults(&examination(&pairs, Some(&trust), host)), [Fault::ChainIncomplete, Fault::Untrusted]);

    let mut params = leaf_params(&["ws.example.com"]);
    params.not_after = date_time_ymd(2026, 1, 1);
    let key = KeyPair::generate().unwrap();
    let expired = intermediate.sign(&params, &key) + &intermediate.pem;
    let pairs = [directory.pair(&expired, &key.serialize_pem())];
    assert_eq!(faults(&examination(&pairs, None, None)), [Fault::Expired]);

    let pairs = [directory.pair(&self_signed(&leaf_params(&["ws.example.com"]), &key), &key.serialize_pem())];
    assert_eq!(faults(&examination(&pairs, None, None)), [Fault::SelfSigned]);
}

#[test]
fn a_certificate_near_its_end_is_a_warning() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(&["a"]);
    params.not_after = date_time_ymd(2027, 2, 1);
    let pairs = [directory.pair(&(root.sign(&params, &key) + &root.pem), &key.serialize_pem())];
    let end = examine(&examination(&pairs, None, None)).certificates[0].1.not_after;
    for (now, expected) in [
        (end - EXPIRY_WARNING_SECONDS, vec![]),
        (end - 3 * DAY, vec![Fault::ExpiresSoon]),
        (end, vec![Fault::ExpiresSoon]),
    ] {
        assert_eq!(faults(&Examination { now, ..examination(&pairs, None, None) }), expected, "{now}");
    }
    let soon = examine(&Examination { now: end - 3 * DAY, ..examination(&pairs, None, None) });
    assert!(soon.findings[0].reason.contains("3 days"), "{}", soon.findings[0]);
    assert_eq!(soon.findings[0].severity, Severity::Warning);
}

#[test]
fn names_match_as_clients_match_them() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let (leaf, key) = root.issue(&["*.example.com", "192.0.2.7", "2001:db8::1"]);
    let pairs = [directory.pair(&(leaf + &root.pem), &key)];
    for (host, matches) in [
        ("ws.example.com", true),
        ("WS.Example.Com", true),
        ("ws.example.com.", true),
        ("192.0.2.7", true),
        ("[2001:db8::1]", true),
        ("example.com", false),
        ("a.b.example.com", false),
        ("192.0.2.8", false),
        ("not a host", false),
        ("", false),
    ] {
        let expected = if matches { vec![] } else { vec![Fault::NameMismatch] };
        assert_eq!(faults(&examination(&pairs, None, Some(host))), expected, "{host}");
    }
}

#[test]
fn one_of_several_certificates_with_the_host_is_enough_and_bundles_are_examined() {
    let directory = Directory::new();
    let root = Authority::root("r");
    let (one, one_key) = root.issue(&["one.example.com"]);
    let (two, two_key) = root.issue(&["two.example.com"]);
    let first = directory.pair(&(one + &root.pem), &one_key);
    let second = CertificateFiles {
        certificate: directory.write("two.pem", &(two + &root.pem)),
        key: directory.write("two-key.pem", &two_key),
        chain: None,
    };
    let pairs = [first, second];
    for (host, expected) in [("one", vec![]), ("two", vec![]), ("three", vec![Fault::NameMismatch])] {
        assert_eq!(faults(&examination(&pairs, None, Some(&format!("{host}.example.com")))), expected, "{host}");
    }
    let empty = directory.write("empty.pem", "");
    let examination = Examination { client_ca: Some(&empty), ..examination(&pairs, None, None) };
    let findings = examine(&examination).findings;
    assert_eq!((findings[0].role, findings[0].fault), (FileRole::ClientCa, Fault::Empty));
}
