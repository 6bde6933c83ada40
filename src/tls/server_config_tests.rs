use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{Error, HandshakeKind, PeerIncompatible, ProtocolVersion, SupportedCipherSuite};

use super::super::certificate::load_certificate;
use super::super::cipher_string::openssl_name;
use super::super::client_auth::{load_client_authorities, verified_client_subject};
use super::super::finding::{Fault, Strictness};
use super::super::handshake_failure::HandshakeFailureKind as Kind;
use super::super::test_files::{
    Authority, Client, Directory, NOW, RSA_PKCS8, TLS12_ALONE, TLS13_ALONE, handshake, leaf_params,
};
use super::super::version::MinimumVersion;
use super::*;

const DOCUMENT: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!MD5:!DSS";

fn settings(minimum: MinimumVersion, ciphers: &str) -> TlsSettings {
    TlsSettings {
        policy: Policy::new(minimum, ciphers).unwrap(),
        client_auth: ClientAuth::None,
        alpn: Vec::new(),
        server_order: false,
    }
}

fn set(root: &Authority, key: &KeyPair) -> CertificateSet {
    let directory = Directory::new();
    let chain = root.sign(&leaf_params(&["localhost"]), key) + &root.pem;
    let files = directory.pair(&chain, &key.serialize_pem());
    CertificateSet::new(vec![load_certificate(&files, Strictness::Production, NOW).unwrap().0]).unwrap()
}

fn rsa() -> KeyPair {
    KeyPair::from_pem(RSA_PKCS8).unwrap()
}

fn server(
    settings: &TlsSettings,
    root: &Authority,
    key: &KeyPair,
    ca: Option<Arc<RootCertStore>>,
) -> Arc<ServerConfig> {
    let resolver = Arc::new(CertificateResolver::new(Arc::new(set(root, key))));
    Arc::new(build(settings, ca, resolver).unwrap())
}

/// Which of the library's TLS 1.2 suites a server accepts, each tried alone.
fn accepted(server: &Arc<ServerConfig>, root: &Authority) -> Vec<&'static str> {
    let tls12: Vec<SupportedCipherSuite> =
        default_provider().cipher_suites.into_iter().filter(|suite| suite.tls13().is_none()).collect();
    let accepts = |suite: &SupportedCipherSuite| {
        let client = Client { versions: &TLS12_ALONE, suites: vec![*suite], ..Client::trusting(root) };
        match handshake(server.clone(), client.config(), "localhost") {
            Ok((server, _)) => {
                assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
                true
            }
            Err(error) => {
                assert_eq!(Kind::of(&error), Kind::NoSharedCipher, "{error}");
                false
            }
        }
    };
    tls12.into_iter().filter(accepts).map(openssl_name).collect()
}

#[test]
fn the_documents_string_offers_exactly_three_suites_per_kind_of_certificate() {
    let root = Authority::root("r");
    let settings = settings(MinimumVersion::Tls12, DOCUMENT);
    assert_eq!(
        accepted(&server(&settings, &root, &rsa(), None), &root),
        ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"]
    );
    assert_eq!(
        accepted(&server(&settings, &root, &KeyPair::generate().unwrap(), None), &root),
        ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    );
}

#[test]
fn a_string_without_chacha20_leaves_it_to_tls_1_3() {
    let root = Authority::root("r");
    let server = server(&settings(MinimumVersion::Tls12, "ECDHE+AESGCM"), &root, &rsa(), None);
    assert_eq!(accepted(&server, &root), ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]);
    let client = Client { versions: &TLS13_ALONE, ..Client::trusting(&root) };
    let (server, _) = handshake(server, client.config(), "localhost").unwrap();
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn the_minimum_version_tls_1_3_refuses_tls_1_2() {
    let root = Authority::root("r");
    let server = server(&settings(MinimumVersion::Tls13, DOCUMENT), &root, &rsa(), None);
    let old = Client { versions: &TLS12_ALONE, ..Client::trusting(&root) };
    let error = handshake(server.clone(), old.config(), "localhost").unwrap_err();
    assert_eq!(Kind::of(&error), Kind::ProtocolVersion, "{error}");
    assert!(matches!(
        error,
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled | PeerIncompatible::SupportedVersionsExtensionRequired
        )
    ));
    assert!(handshake(server, Client::trusting(&root).config(), "localhost").is_ok());
}

#[test]
fn the_order_is_the_clients_or_the_servers_as_set() {
    let root = Authority::root("r");
    let chacha_first = |server_order| {
        let settings = TlsSettings { server_order, ..settings(MinimumVersion::Tls12, "ECDHE+CHACHA20:ECDHE+AESGCM") };
        let client = Client { versions: &TLS12_ALONE, ..Client::trusting(&root) };
        let (server, _) = handshake(server(&settings, &root, &rsa(), None), client.config(), "localhost").unwrap();
        openssl_name(server.negotiated_cipher_suite().unwrap()) == "ECDHE-RSA-CHACHA20-POLY1305"
    };
    assert!(chacha_first(true));
    assert!(!chacha_first(false));
}

#[test]
fn protocols_are_negotiated_and_strangers_refused() {
    let root = Authority::root("r");
    let alpn = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    let settings = TlsSettings { alpn: alpn(&["h2", "http/1.1"]), ..settings(MinimumVersion::Tls12, DOCUMENT) };
    let server = server(&settings, &root, &rsa(), None);
    for (offered, chosen) in [
        (vec!["http/1.1", "h2"], Some("h2")),
        (vec!["http/1.1"], Some("http/1.1")),
        (vec!["http/1.1", "spdy/3"], Some("http/1.1")),
        (vec![], None),
    ] {
        let client = Client { alpn: alpn(&offered), ..Client::trusting(&root) };
        let (server, _) = handshake(server.clone(), client.config(), "localhost").unwrap();
        assert_eq!(server.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
    }
    let client = Client { alpn: alpn(&["spdy/3"]), ..Client::trusting(&root) };
    assert_eq!(handshake(server, client.config(), "localhost").unwrap_err(), Error::NoApplicationProtocol);
    for wrong in [vec![Vec::new()], vec![vec![b'x'; 256]], vec![b"h2".to_vec(); ALPN_PROTOCOLS_MAX + 1]] {
        assert!(matches!(check_alpn(&wrong), Err(BuildError::Alpn(_))));
    }
}

#[test]
fn sessions_resume_by_ticket_in_both_versions() {
    let root = Authority::root("r");
    let server = server(&settings(MinimumVersion::Tls12, DOCUMENT), &root, &rsa(), None);
    for versions in [&TLS12_ALONE, &TLS13_ALONE] {
        let client = Client { versions, ..Client::trusting(&root) }.config();
        let kind = || handshake(server.clone(), client.clone(), "localhost").unwrap().0.handshake_kind();
        assert_eq!(kind(), Some(HandshakeKind::Full));
        assert_eq!(kind(), Some(HandshakeKind::Resumed));
    }
    assert!(server.ticketer.enabled());
    assert!(server.ticketer.lifetime() <= 12 * 60 * 60);
}

fn client_certificate(ca: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(&["device-7"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (ca.sign(&params, &key), key.serialize_pem())
}

#[test]
fn client_certificates_are_asked_for_as_set() {
    let (root, ca, stranger) = (Authority::root("r"), Authority::root("clients"), Authority::root("stranger"));
    let directory = Directory::new();
    let bundle = directory.write("ca.pem", &(ca.pem.clone() + &Authority::root("other clients").pem));
    let roots = load_client_authorities(&bundle, Strictness::Production).unwrap().roots;
    let right = Some(client_certificate(&ca));
    let wrong = Some(client_certificate(&stranger));
    for (client_auth, shows, expected) in [
        (ClientAuth::None, &right, Ok(None)),
        (ClientAuth::Optional, &None, Ok(None)),
        (ClientAuth::Optional, &right, Ok(Some("CN=device-7"))),
        (ClientAuth::Optional, &wrong, Err(Kind::ClientCertificate)),
        (ClientAuth::Required, &None, Err(Kind::ClientCertificate)),
        (ClientAuth::Required, &right, Ok(Some("CN=device-7"))),
        (ClientAuth::Required, &wrong, Err(Kind::ClientCertificate)),
    ] {
        let settings = TlsSettings { client_auth, ..settings(MinimumVersion::Tls12, DOCUMENT) };
        let server = server(&settings, &root, &rsa(), Some(roots.clone()));
        for versions in [&TLS12_ALONE, &TLS13_ALONE] {
            let client = Client { versions, shows: shows.clone(), ..Client::trusting(&root) };
            let result = handshake(server.clone(), client.config(), "localhost");
            let subject = result.map(|(server, _)| verified_client_subject(&server)).map_err(|error| Kind::of(&error));
            assert_eq!(subject, expected.map(|subject| subject.map(str::to_owned)), "{client_auth} {versions:?}");
        }
    }
}

#[test]
fn a_resumed_session_still_knows_its_client() {
    let (root, ca) = (Authority::root("r"), Authority::root("clients"));
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate()).unwrap();
    let settings = TlsSettings { client_auth: ClientAuth::Required, ..settings(MinimumVersion::Tls12, DOCUMENT) };
    let server = server(&settings, &root, &rsa(), Some(Arc::new(roots)));
    let client = Client { shows: Some(client_certificate(&ca)), ..Client::trusting(&root) }.config();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (connection, _) = handshake(server.clone(), client.clone(), "localhost").unwrap();
        assert_eq!(connection.handshake_kind(), Some(kind));
        assert_eq!(verified_client_subject(&connection).as_deref(), Some("CN=device-7"));
    }
}

#[test]
fn client_authentication_without_authorities_is_refused() {
    let root = Authority::root("r");
    let resolver = Arc::new(CertificateResolver::new(Arc::new(set(&root, &rsa()))));
    for mode in [ClientAuth::Optional, ClientAuth::Required] {
        let settings = TlsSettings { client_auth: mode, ..settings(MinimumVersion::Tls12, DOCUMENT) };
        for roots in [None, Some(Arc::new(RootCertStore::empty()))] {
            let error = build(&settings, roots, resolver.clone()).unwrap_err();
            assert!(matches!(error, BuildError::NoAuthorities { .. }), "{error}");
        }
    }
}

#[test]
fn an_empty_or_damaged_bundle_is_refused() {
    let directory = Directory::new();
    let good = Authority::root("r").pem;
    let damaged = good.clone() + "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    for (content, fault) in [("", Fault::Empty), ("x", Fault::NotPem), (&damaged, Fault::UnusableCertificate)] {
        let findings = load_client_authorities(&directory.write("ca.pem", content), Strictness::Relaxed).unwrap_err();
        assert_eq!(findings[0].fault, fault, "{content}");
    }
    let loaded = load_client_authorities(&directory.write("ca.pem", &good), Strictness::Relaxed).unwrap();
    assert_eq!((loaded.certificates.len(), loaded.roots.len()), (1, 1));
}

#[test]
fn suites_must_suit_some_key() {
    let root = Authority::root("r");
    let (rsa, ec) = (set(&root, &rsa()), set(&root, &KeyPair::generate().unwrap()));
    let policy = |ciphers| Policy::new(MinimumVersion::Tls12, ciphers).unwrap();
    assert!(suites_fit(&policy("ECDHE+aRSA"), &rsa) && !suites_fit(&policy("ECDHE+aRSA"), &ec));
    assert!(suites_fit(&policy("ECDHE+ECDSA"), &ec) && !suites_fit(&policy("ECDHE+ECDSA"), &rsa));
    assert!(suites_fit(&policy("modern"), &ec));
}

#[test]
fn the_whole_chain_is_shown() {
    let root = Authority::root("r");
    let server = server(&settings(MinimumVersion::Tls12, DOCUMENT), &root, &rsa(), None);
    let (_, client) = handshake(server, Client::trusting(&root).config(), "localhost").unwrap();
    let shown: &[CertificateDer<'_>] = client.peer_certificates().unwrap();
    assert_eq!((shown.len(), &shown[1]), (2, &root.certificate()));
}
