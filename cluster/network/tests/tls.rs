//! Certificates between peers: who is let in, and what the refused are told.

use std::path::Path;

use super::*;
use crate::certificates::{NodeNames, write_certificates};
use crate::network::{RpcError, TlsError};

pub(super) fn write(directory: &Path, names: &[&str]) {
    let node = |name: &&str| NodeNames { name: (*name).to_owned(), names: vec!["127.0.0.1".to_owned()] };
    write_certificates(directory, &names.iter().map(node).collect::<Vec<_>>()).unwrap();
}

fn files(directory: &Path, name: &str) -> ClusterTls {
    ClusterTls::Mutual {
        ca_file: directory.join("ca.pem"),
        cert_file: directory.join(name).join("cert.pem"),
        key_file: directory.join(name).join("key.pem"),
    }
}

pub(super) fn mutual(directory: &Path, name: &str) -> NetworkTls {
    NetworkTls::load(&files(directory, name)).unwrap()
}

fn secure(directory: &Path, name: &str, node_id: u64) -> Node {
    start_at(loopback(), mutual(directory, name), node_id, None).unwrap()
}

#[tokio::test]
async fn nodes_of_one_authority_talk() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &["a", "b"]);
    let (a, b) = (secure(directory.path(), "a", 1), secure(directory.path(), "b", 2));
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(who(&b, &a.addr()).await.unwrap(), "2 asks 1");
    // Certificates allow an address that is not loopback.
    assert!(start_at(SocketAddr::from(([0, 0, 0, 0], 0)), mutual(directory.path(), "a"), 3, None).is_ok());
}

#[tokio::test]
async fn another_authority_is_refused_with_one_line_on_each_side() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(ours.path(), &["a"]);
    write(theirs.path(), &["b"]);
    let (warnings, _guard) = Warnings::capture();
    let (a, b) = (secure(ours.path(), "a", 1), secure(theirs.path(), "b", 2));
    let refused = who(&a, &b.addr()).await.unwrap_err();
    assert!(matches!(refused, RpcError::Tls { .. }), "{refused}");
    assert!(refused.to_string().contains("--tls-ca"), "{refused}");
    let both = async {
        while warnings.0.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    let lines = warnings.take();
    assert!(lines.iter().any(|line| line.contains(&b.addr())), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("a connection was refused")), "{lines:?}");
}

/// A certificate of the right authority checked by a client that shows none.
#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &["a", "b"]);
    let (a, b) = (secure(directory.path(), "a", 1), secure(directory.path(), "b", 2));
    let (warnings, _guard) = Warnings::capture();
    let mut client = rustls::ClientConfig::builder_with_provider(crate::network::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(crate::network::tls::read_authority(&directory.path().join("ca.pem")).unwrap())
        .with_no_client_auth();
    client.alpn_protocols = vec![b"vedfolnir/1".to_vec()];
    let client = quinn::crypto::rustls::QuicClientConfig::try_from(client).unwrap();
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(client));
    // The name is in our own certificates, so that a verifier that checks names accepts them too.
    let connection = endpoint.connect_with(config, b.endpoint.local_addr(), "node.vedfolnir").unwrap().await.unwrap();
    let error = RpcError::connection("b", &connection.closed().await);
    assert!(matches!(&error, RpcError::Tls { reason, .. } if reason.contains("demands a certificate")), "{error}");
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    let lines = warnings.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("no certificates; start it with --tls-ca"), "{lines:?}");
}

#[tokio::test]
async fn with_and_without_certificates_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &["a"]);
    let (a, b) = (secure(directory.path(), "a", 1), start(2, None));
    for (from, to) in [(&a, &b), (&b, &a)] {
        let refused = who(from, &to.addr()).await.unwrap_err();
        assert!(matches!(refused, RpcError::Tls { .. }), "{refused}");
        assert!(refused.to_string().contains("one of the two nodes runs with certificates"), "{refused}");
    }
}

#[tokio::test]
async fn certificates_of_other_tooling_need_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write(path, &["a"]);
    let authority = crate::certificates::Authority::load(path).unwrap().unwrap();
    let issuer =
        rcgen::Issuer::from_ca_cert_pem(&authority.cert_pem, rcgen::KeyPair::from_pem(&authority.key_pem).unwrap())
            .unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["elsewhere.example".to_owned()]).unwrap();
    std::fs::create_dir(path.join("other")).unwrap();
    std::fs::write(path.join("other/cert.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(path.join("other/key.pem"), key.serialize_pem()).unwrap();
    let (a, other) = (secure(path, "a", 1), secure(path, "other", 2));
    assert_eq!(who(&a, &other.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(who(&other, &a.addr()).await.unwrap(), "2 asks 1");
}

fn refusal(tls: &ClusterTls) -> String {
    match NetworkTls::load(tls) {
        Ok(_) => panic!("it must be refused"),
        Err(error @ TlsError::File { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn unusable_files_are_named_with_setting_reason_and_fix() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(ours.path(), &["a", "b"]);
    write(theirs.path(), &["a"]);
    let at = |name: &str| ours.path().join(name);
    let (ca_file, cert_file, key_file) = (at("ca.pem"), at("a/cert.pem"), at("a/key.pem"));
    std::fs::write(at("text"), "not PEM").unwrap();
    let expired = {
        let authority = crate::certificates::Authority::load(ours.path()).unwrap().unwrap();
        let key = rcgen::KeyPair::from_pem(&authority.key_pem).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_pem(&authority.cert_pem, key).unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["node.vedfolnir".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let key = rcgen::KeyPair::from_pem(&std::fs::read_to_string(&key_file).unwrap()).unwrap();
        std::fs::write(at("expired.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        at("expired.pem")
    };
    let cases: [(ClusterTls, [&str; 3]); 7] = [
        (
            ClusterTls::Mutual { ca_file: at("gone"), cert_file: cert_file.clone(), key_file: key_file.clone() },
            ["--tls-ca (WEBSOCKET_CLUSTER_TLS_CA_FILE)", "gone", "No such file"],
        ),
        (
            ClusterTls::Mutual { ca_file: ca_file.clone(), cert_file: at("text"), key_file: key_file.clone() },
            ["--tls-cert (WEBSOCKET_CLUSTER_TLS_CERT_FILE)", "text", "no certificate"],
        ),
        (
            ClusterTls::Mutual { ca_file: ca_file.clone(), cert_file: cert_file.clone(), key_file: at("text") },
            ["--tls-key (WEBSOCKET_CLUSTER_TLS_KEY_FILE)", "text", "nothing of the kind"],
        ),
        (
            ClusterTls::Mutual { ca_file: ca_file.clone(), cert_file: cert_file.clone(), key_file: at("b/key.pem") },
            ["--tls-key", "b/key.pem", "does not belong to"],
        ),
        (
            ClusterTls::Mutual {
                ca_file: theirs.path().join("ca.pem"),
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
            },
            ["--tls-cert", "a/cert.pem", "not acceptable to peers that trust"],
        ),
        (
            ClusterTls::Mutual { ca_file: ca_file.clone(), cert_file: expired, key_file: key_file.clone() },
            ["--tls-cert", "expired.pem", "clock"],
        ),
        (
            ClusterTls::Mutual { ca_file: at("a/key.pem"), cert_file, key_file },
            ["--tls-ca", "a/key.pem", "no certificate"],
        ),
    ];
    for (tls, parts) in cases {
        let text = refusal(&tls);
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}
