//! Certificates as they are written: what is there, who may read it, what a second run does.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn node(name: &str) -> NodeNames {
    NodeNames { name: name.to_owned(), names: vec![format!("{name}.example"), "10.0.0.1".to_owned(), "::1".to_owned()] }
}

fn text(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap()
}

fn mode(directory: &Path, file: &str) -> u32 {
    fs::metadata(directory.join(file)).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_readable_by_their_owner_alone_and_nothing_else_is_left() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new");
    write_certificates(&directory, &[node("a"), node("b")]).unwrap();
    let names = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&directory.join("a")), ["cert.pem", "key.pem"]);
    assert_eq!(names(&directory), ["a", "b", "ca-key.pem", "ca.pem"]);
    for key in ["a/key.pem", "b/key.pem", "ca-key.pem"] {
        assert_eq!(mode(&directory, key), 0o600, "{key}");
    }
    for directory in [&directory, &directory.join("a")] {
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_second_run_keeps_what_is_there_and_adds_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_certificates(path, &[node("a")]).unwrap();
    let before = ["ca.pem", "ca-key.pem", "a/cert.pem", "a/key.pem"].map(|file| text(path, file));
    let files = write_certificates(path, &[node("a"), node("b")]).unwrap();
    let [first, second] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(
        (&first.ca, &first.cert, &second.key),
        (&path.join("ca.pem"), &path.join("a/cert.pem"), &path.join("b/key.pem"))
    );
    assert_eq!(["ca.pem", "ca-key.pem", "a/cert.pem", "a/key.pem"].map(|file| text(path, file)), before);
    // The later one is of the same authority: a peer with the earlier one accepts it.
    for name in ["a", "b"] {
        let tls = crate::config::ClusterTls::Mutual {
            ca_file: path.join("ca.pem"),
            cert_file: path.join(name).join("cert.pem"),
            key_file: path.join(name).join("key.pem"),
        };
        crate::network::NetworkTls::load(&tls).unwrap();
    }
}

#[test]
fn the_names_are_in_the_certificate() {
    use rustls::client::verify_server_name;
    use rustls::pki_types::ServerName;
    let authority = create_authority().unwrap();
    let made = issue(&authority, &node("a").names).unwrap();
    let der = CertificateDer::from_pem_slice(made.cert_pem.as_bytes()).unwrap();
    let certificate = ParsedCertificate::try_from(&der).unwrap();
    for name in ["node.vedfolnir", "a.example", "10.0.0.1", "::1"] {
        verify_server_name(&certificate, &ServerName::try_from(name).unwrap()).unwrap();
    }
    assert!(verify_server_name(&certificate, &ServerName::try_from("b.example").unwrap()).is_err());
}

#[test]
fn half_an_authority_is_refused_and_not_overwritten() {
    for missing in ["ca.pem", "ca-key.pem"] {
        let directory = tempfile::tempdir().unwrap();
        write_certificates(directory.path(), &[]).unwrap();
        fs::remove_file(directory.path().join(missing)).unwrap();
        let refused = write_certificates(directory.path(), &[node("a")]).unwrap_err();
        assert!(matches!(refused, CertificateError::HalfPair { .. }), "{refused}");
        assert!(refused.to_string().contains(missing), "{refused}");
        assert!(!directory.path().join(missing).exists());
    }
}

#[test]
fn another_authority_s_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    write_certificates(directory.path(), &[]).unwrap();
    fs::write(directory.path().join("ca-key.pem"), create_authority().unwrap().key_pem).unwrap();
    let refused = write_certificates(directory.path(), &[node("a")]).unwrap_err();
    assert!(matches!(refused, CertificateError::Authority { .. }), "{refused}");
    fs::write(directory.path().join("ca.pem"), "nothing").unwrap();
    let refused = write_certificates(directory.path(), &[node("a")]).unwrap_err();
    assert!(matches!(refused, CertificateError::Authority { .. }), "{refused}");
}

#[test]
fn names_that_are_no_file_names_or_host_names_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["", "../a", "a/b", ".hidden", "ca.pem"] {
        let refused = write_certificates(directory.path(), &[node(name)]).unwrap_err();
        assert!(matches!(refused, CertificateError::Name { .. }), "{name:?}: {refused}");
    }
    let authority = create_authority().unwrap();
    for name in ["", "ümlaut.example"] {
        let refused = issue(&authority, &[name.to_owned()]).err().unwrap();
        assert!(matches!(refused, CertificateError::Name { .. }), "{name:?}: {refused}");
    }
}

#[test]
fn an_unwritable_directory_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = write_certificates(&file.join("below"), &[node("a")]).unwrap_err();
    assert!(refused.to_string().contains("below"), "{refused}");
}
