use rustls::pki_types::ServerName;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::super::certificate::load_certificate;
use super::super::client_auth::ClientAuth;
use super::super::finding::Strictness;
use super::super::policy::Policy;
use super::super::resolver::{CertificateResolver, CertificateSet};
use super::super::server_config::{TlsSettings, build};
use super::super::test_files::{Authority, Client, Directory, NOW, TLS12_ALONE};
use super::super::version::MinimumVersion;
use super::*;

/// Longer than any of these tests takes: it must not matter.
const LONG: Duration = Duration::from_secs(60);

fn config(root: &Authority, minimum: MinimumVersion) -> Arc<ServerConfig> {
    let directory = Directory::new();
    let (leaf, key) = root.issue(&["localhost"]);
    let certificate = load_certificate(&directory.pair(&(leaf + &root.pem), &key), Strictness::Relaxed, NOW).unwrap().0;
    let resolver = CertificateResolver::new(Arc::new(CertificateSet::new(vec![certificate]).unwrap()));
    let policy = Policy::new(minimum, "intermediate").unwrap();
    let settings = TlsSettings { policy, client_auth: ClientAuth::None, alpn: Vec::new(), server_order: false };
    Arc::new(build(&settings, None, Arc::new(resolver)).unwrap())
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

fn connect(client: TcpStream, how: &Client) -> tokio_rustls::Connect<TcpStream> {
    TlsConnector::from(how.config()).connect(ServerName::try_from("localhost").unwrap(), client)
}

/// What becomes of a connection whose client sends these bytes and closes its side.
async fn after_bytes(bytes: &[u8]) -> Result<Accepted<TcpStream>, HandshakeFailure> {
    let config = config(&Authority::root("r"), MinimumVersion::Tls12);
    let (server, mut client) = pair().await;
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    accept(config, server, LONG).await
}

#[tokio::test]
async fn a_tls_client_gets_a_stream() {
    let root = Authority::root("r");
    let (server, client) = pair().await;
    let how = Client::trusting(&root);
    let (accepted, client) =
        tokio::join!(accept(config(&root, MinimumVersion::Tls12), server, LONG), connect(client, &how));
    let (Accepted::Tls(mut server), mut client) = (accepted.unwrap(), client.unwrap()) else { panic!("no TLS") };
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    let mut data = [0; 5];
    server.read_exact(&mut data).await.unwrap();
    assert_eq!(&data, b"hello");
}

#[tokio::test]
async fn plain_http_is_handed_back_unread_and_answered_honestly() {
    let config = config(&Authority::root("r"), MinimumVersion::Tls12);
    let (server, mut client) = pair().await;
    client.write_all(b"GET /x?y=1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let Accepted::PlainHttp(server) = accept(config, server, LONG).await.unwrap() else { panic!("not plain") };
    let mut first = [0; 3];
    assert_eq!(server.peek(&mut first).await.unwrap(), 3);
    assert_eq!(&first, b"GET");
    let answered = async {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
        answer
    };
    let ((), answer) = tokio::join!(refuse_plain_http(server, PLAIN_HTTP_ANSWER.as_bytes(), LONG), answered);
    assert_eq!(answer, PLAIN_HTTP_ANSWER);
}

#[test]
fn the_answer_to_plain_http_has_the_length_that_it_says() {
    let (head, body) = PLAIN_HTTP_ANSWER.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
}

#[tokio::test]
async fn failures_are_told_apart() {
    use HandshakeFailureKind as Kind;
    for (bytes, kind) in [
        (b"".as_slice(), Kind::Io),
        (b"\x00\x01\x02", Kind::NotTls),
        (b"\x80\x2e\x01\x00\x02", Kind::NotTls),
        (b"\x16\x03\x01", Kind::Io),
        (b"\x16\x03\x01\x00\x05hello", Kind::Other),
    ] {
        let failure = after_bytes(bytes).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{bytes:?}: {failure}");
    }
    assert!(matches!(after_bytes(b"OPTIONS * HTTP/1.1\r\n\r\n").await, Ok(Accepted::PlainHttp(_))));
}

/// The beginning of a hello whose highest version is this one, and nothing that TLS 1.2 added.
fn hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = vec![version[0], version[1]];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let mut message = vec![CLIENT_HELLO, 0, 0, u8::try_from(body.len()).unwrap()];
    message.append(&mut body);
    let mut record = vec![RECORD_HANDSHAKE, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.append(&mut message);
    record
}

#[tokio::test]
async fn versions_before_tls_1_2_get_the_alert_protocol_version() {
    for (version, outdated) in [([3, 0], true), ([3, 1], true), ([3, 2], true), ([3, 3], false), ([2, 0], true)] {
        let config = config(&Authority::root("r"), MinimumVersion::Tls12);
        let (server, mut client) = pair().await;
        client.write_all(&hello(version)).await.unwrap();
        let heard = async {
            let mut heard = [0; 7];
            client.read_exact(&mut heard).await.unwrap();
            drop(client);
            heard
        };
        let (accepted, heard) = tokio::join!(accept(config, server, LONG), heard);
        let kind = accepted.unwrap_err().kind;
        assert_eq!(kind == HandshakeFailureKind::ProtocolVersion, outdated, "{version:?}: {kind:?}");
        assert_eq!(heard == [21, version[0], version[1], 0, 2, 2, 70], outdated, "{version:?}: {heard:?}");
        assert_eq!((heard[0], heard[5]), (21, 2), "some fatal alert");
    }
}

#[tokio::test]
async fn a_client_of_a_version_below_the_minimum_is_told_so() {
    let root = Authority::root("r");
    let (server, client) = pair().await;
    let how = Client { versions: &TLS12_ALONE, ..Client::trusting(&root) };
    let (accepted, client) =
        tokio::join!(accept(config(&root, MinimumVersion::Tls13), server, LONG), connect(client, &how));
    assert_eq!(accepted.unwrap_err().kind, HandshakeFailureKind::ProtocolVersion);
    let error = client.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_told_from_others() {
    let root = Authority::root("r");
    let (server, client) = pair().await;
    let how = Client::trusting(&Authority::root("another"));
    // TLS 1.2: there the client checks the certificate before the server's handshake is over.
    let how = Client { versions: &TLS12_ALONE, ..how };
    let (accepted, client) =
        tokio::join!(accept(config(&root, MinimumVersion::Tls12), server, LONG), connect(client, &how));
    assert_eq!(accepted.unwrap_err().kind, HandshakeFailureKind::ServerCertificate);
    assert!(client.is_err());
}

#[tokio::test]
async fn a_client_that_says_nothing_or_stops_halfway_is_given_up() {
    for bytes in [b"".as_slice(), b"\x16\x03\x01\x02\x00"] {
        let config = config(&Authority::root("r"), MinimumVersion::Tls12);
        let (server, mut client) = pair().await;
        client.write_all(bytes).await.unwrap();
        let failure = accept(config, server, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(failure.kind, HandshakeFailureKind::Timeout, "{failure}");
        drop(client);
    }
}
