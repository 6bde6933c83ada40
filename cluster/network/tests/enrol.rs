//! The mode without a certificate: one request of a pinned cluster, and nothing else.

use std::net::{IpAddr, Ipv4Addr};

use super::tls::{mutual, write};
use super::*;
use crate::network::{EnrolError, RpcError, enrol};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn secure(directory: &std::path::Path, name: &str, node_id: u64) -> (Node, [u8; 32]) {
    let tls = mutual(directory, name);
    let authority = tls.authority().unwrap();
    (start_at(loopback(), tls, node_id, None).unwrap(), authority)
}

#[tokio::test]
async fn a_stranger_gets_an_answer_from_the_pinned_authority_s_nodes_only() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(ours.path(), &["a"]);
    write(theirs.path(), &["b"]);
    let (a, pin) = secure(ours.path(), "a", 1);
    let (b, other_pin) = secure(theirs.path(), "b", 2);
    assert_ne!(pin, other_pin);
    let answer = enrol(HERE, &a.addr(), pin, b"x", PATIENCE).await.unwrap();
    assert_eq!(answer.as_ref(), b"certificate for x");
    // By name: it is resolved at every attempt.
    let by_name = format!("localhost:{}", a.endpoint.local_addr().port());
    assert!(enrol(HERE, &by_name, pin, b"y", PATIENCE).await.is_ok());
    let refused = enrol(HERE, &b.addr(), pin, b"x", PATIENCE).await.unwrap_err();
    assert_eq!(refused, EnrolError::Foreign { peer: b.addr() });
    assert!(refused.to_string().contains("not of the cluster that the join token is for"), "{refused}");
}

#[tokio::test]
async fn a_node_without_certificates_gives_none() {
    let node = start(1, None);
    let refused = enrol(HERE, &node.addr(), [0; 32], b"x", PATIENCE).await.unwrap_err();
    assert!(matches!(refused, EnrolError::Unreachable(RpcError::Tls { .. })), "{refused}");
}

/// A client of the mode without a certificate, for what no honest one sends.
async fn stranger(to: &Node, directory: &std::path::Path, alpn: &[u8]) -> quinn::Connection {
    let mut client = rustls::ClientConfig::builder_with_provider(crate::network::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(crate::network::tls::read_authority(&directory.join("ca.pem")).unwrap())
        .with_no_client_auth();
    client.alpn_protocols = vec![alpn.to_vec()];
    let client = quinn::crypto::rustls::QuicClientConfig::try_from(client).unwrap();
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(client));
    endpoint.connect_with(config, to.endpoint.local_addr(), "node.vedfolnir").unwrap().await.unwrap()
}

#[tokio::test]
async fn whatever_else_a_stranger_sends_ends_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &["a", "b"]);
    let (a, _) = secure(directory.path(), "a", 1);
    for bad in [vec![], vec![9, 1, 2, 3], vec![1; 40 << 10], vec![1; 4 << 20]] {
        let connection = stranger(&a, directory.path(), b"vedfolnir-enrol/1").await;
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        // The connection may be closed while it is written.
        let _ = send.write_all(&bad).await;
        let _ = send.finish();
        assert!(recv.read_to_end(1 << 20).await.is_err(), "{} bytes", bad.len());
        let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
        assert!(matches!(closed, quinn::ConnectionError::ApplicationClosed(_)), "{closed}");
    }
    // Its own node is served as before.
    let (b, _) = secure(directory.path(), "b", 2);
    assert_eq!(who(&b, &a.addr()).await.unwrap(), "2 asks 1");
}

#[tokio::test]
async fn many_strangers_are_told_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &["a"]);
    let (a, pin) = secure(directory.path(), "a", 1);
    let addr = a.addr();
    let asks = (0..60).map(|_| enrol(HERE, &addr, pin, b"x", PATIENCE));
    let answers = futures_util::future::join_all(asks).await;
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    let told =
        answers.iter().filter_map(|answer| answer.as_ref().err()).all(|error| error.to_string().contains("come back"));
    assert!((1..60).contains(&served) && told, "{answers:?}");
    let turned_away = a.turned_away.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(turned_away, 60 - served as u64);
}

#[tokio::test]
async fn a_node_goes_by_the_name_in_its_certificate_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write(path, &["a"]);
    let authority = crate::certificates::Authority::load(path).unwrap().unwrap();
    let issuer =
        rcgen::Issuer::from_ca_cert_pem(&authority.cert_pem, rcgen::KeyPair::from_pem(&authority.key_pem).unwrap())
            .unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["node.vedfolnir".to_owned()]).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(super::super::node_uri(7).as_str().try_into().unwrap()));
    std::fs::create_dir(path.join("seven")).unwrap();
    std::fs::write(path.join("seven/cert.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(path.join("seven/key.pem"), key.serialize_pem()).unwrap();
    let (a, _) = secure(path, "a", 1);
    let (seven, _) = secure(path, "seven", 7);
    assert_eq!(who(&seven, &a.addr()).await.unwrap(), "7 asks 1");
    assert_eq!(who(&a, &seven.addr()).await.unwrap(), "1 asks 7");
    let (false_eight, _) = secure(path, "seven", 8);
    for (from, to) in [(&false_eight, &a), (&a, &false_eight)] {
        let refused = who(from, &to.addr()).await.unwrap_err();
        assert!(matches!(refused, RpcError::Tls { .. }), "{refused}");
        assert!(refused.to_string().contains("issued to node 0000000000000007"), "{refused}");
    }
}

#[tokio::test]
async fn a_removed_node_is_told_so() {
    let (a, removed) = (start(1, None), start(REMOVED_NODE, None));
    let mut told = removed.identity.unwelcome();
    let refused = who(&removed, &a.addr()).await.unwrap_err();
    assert!(matches!(refused, RpcError::Removed { .. }), "{refused}");
    assert!(matches!(*told.borrow_and_update(), Some(Unwelcome::Removed(_))));
    assert!(a.identity.unwelcome().borrow().is_none());
}
