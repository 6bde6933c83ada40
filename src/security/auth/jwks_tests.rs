//! Fetching from a real TLS server on loopback: rotation, and every way in which an issuer can fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::jwk::JWKS_BYTES_MAX;
use super::super::jwks_fetch::client_tls;
use super::super::testing::{JWKS, JWKS_ROTATED, NOW, Opening, secret_set, token};
use super::super::{AuthMode, Authenticator, RefusalCode, SignatureError};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(30);

/// An issuer whose answers the test decides.
struct Issuer {
    port: u16,
    ca_pem: String,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Answer {
    /// These bytes, and the end.
    Bytes(Vec<u8>),
    /// Chunks without end.
    Endless,
    /// Nothing at all.
    Silence,
}

fn ok(body: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

fn raw(text: &str) -> Answer {
    Answer::Bytes(text.as_bytes().to_vec())
}

impl Issuer {
    /// Serves `answer` under a certificate for `name`; without a name without TLS.
    async fn start(name: Option<&str>, answer: Answer) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let acceptor = name.map(|name| {
            let key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![leaf.der().clone()], key)
                .unwrap();
            TlsAcceptor::from(Arc::new(config))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            port: listener.local_addr().unwrap().port(),
            ca_pem: ca.pem(),
            answer: Arc::new(Mutex::new(answer)),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (answer, requests, connections) =
            (Arc::clone(&issuer.answer), Arc::clone(&issuer.requests), Arc::clone(&issuer.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, answer, requests) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&requests));
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, &answer, &requests).await;
                            }
                        }
                        None => serve(stream, &answer, &requests).await,
                    }
                });
            }
        });
        issuer
    }

    fn url(&self, scheme: &str) -> super::super::JwksUrl {
        format!("{scheme}://localhost:{}/.well-known/jwks.json?v=1", self.port).parse().unwrap()
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.url("https"), client_tls(Some(self.ca_pem.as_bytes())).unwrap(), PATIENCE)
    }

    fn now_answers(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &Mutex<Answer>, requests: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if !head.is_empty() || byte == b'G' => head.push(byte),
            // The end, or a greeting in TLS.
            _ => return,
        }
    }
    requests.lock().push(String::from_utf8(head).unwrap());
    let answer = answer.lock().clone();
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        }
        Answer::Silence => {
            let _ = stream.read_u8().await;
        }
    }
}

/// An authenticator whose keys come from `issuer`, after the first fetch is over.
async fn driven(fetcher: Fetcher, refresh_min: Duration) -> (Authenticator, Arc<Jwks>, CancellationToken) {
    let keyring = Arc::new(Keyring::default());
    let jwks = Arc::new(Jwks::new(Arc::clone(&keyring), HOUR, refresh_min));
    let stop = CancellationToken::new();
    let mut over = jwks.over.subscribe();
    let (task, stopping) = (Arc::clone(&jwks), stop.clone());
    tokio::spawn(async move { task.run(&fetcher, &stopping).await });
    over.wait_for(|count| *count > 0).await.unwrap();
    let authenticator =
        Authenticator { mode: AuthMode::Required, keyring, jwks: Some(Arc::clone(&jwks)), ..Authenticator::off() };
    (authenticator, jwks, stop)
}

async fn ask(authenticator: &Authenticator, name: &str) -> Result<(), RefusalCode> {
    let auth = format!(r#"{{"token":"{}"}}"#, token(name));
    let asked = authenticator.authenticate_with_fresh_keys(Some(auth.as_bytes()), &Opening::default(), NOW).await;
    asked.map(drop).map_err(|refusal| refusal.code())
}

#[tokio::test]
async fn a_rotated_key_is_fetched_when_its_first_token_comes_and_the_old_one_is_refused_after_that() {
    let issuer = Issuer::start(Some("localhost"), ok(JWKS)).await;
    let (authenticator, jwks, _stop) = driven(issuer.fetcher(), Duration::ZERO).await;
    assert_eq!(ask(&authenticator, "es256").await, Ok(()));
    assert_eq!(ask(&authenticator, "rs256").await, Ok(()));
    assert_eq!(issuer.connections.load(Ordering::SeqCst), 1, "known keys ask for nothing");
    assert_eq!(ask(&authenticator, "es256_rotated").await, Err(RefusalCode::TokenInvalid), "not there yet");
    issuer.now_answers(ok(JWKS_ROTATED));
    assert_eq!(ask(&authenticator, "es256_rotated").await, Ok(()));
    assert_eq!(ask(&authenticator, "es256").await, Err(RefusalCode::TokenInvalid));
    let status = jwks.status(Instant::now());
    assert_eq!((status.keys, status.skipped, status.failed_total, status.error), (1, 0, 0, None));
    assert!(status.fetched_total >= 3 && status.age.is_some());
    let requests = issuer.requests.lock();
    let request = requests[0].to_ascii_lowercase();
    assert!(request.starts_with("get /.well-known/jwks.json?v=1 http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: localhost:{}\r\n", issuer.port)), "{request}");
    assert!(request.contains("accept: application/jwk-set+json"), "{request}");
}

#[tokio::test]
async fn unknown_keys_cause_no_second_fetch_within_the_minimum() {
    let issuer = Issuer::start(Some("localhost"), ok(JWKS)).await;
    let (authenticator, jwks, _stop) = driven(issuer.fetcher(), HOUR).await;
    issuer.now_answers(ok(JWKS_ROTATED));
    for _ in 0..20 {
        assert_eq!(ask(&authenticator, "es256_rotated").await, Err(RefusalCode::TokenInvalid));
    }
    assert_eq!(issuer.connections.load(Ordering::SeqCst), 1);
    assert_eq!(jwks.status(Instant::now()).fetched_total, 1);
}

#[tokio::test]
async fn a_failing_issuer_leaves_the_keys_as_they_were_and_the_reason_is_told() {
    let issuer = Issuer::start(Some("localhost"), ok(JWKS)).await;
    let (authenticator, jwks, _stop) = driven(issuer.fetcher(), Duration::ZERO).await;
    let long = format!(r#"{{"keys":[]{}}}"#, " ".repeat(JWKS_BYTES_MAX));
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC0x"}]}"#;
    let table = [
        (raw("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"), "500"),
        (raw("HTTP/1.1 302 Found\r\nlocation: https://evil.example/keys\r\ncontent-length: 0\r\n\r\n"), "redirects"),
        (raw("HTTP/1.1 204 No Content\r\n\r\n"), "only 200"),
        (raw("SSH-2.0-OpenSSH_9.2\r\n"), "HTTP failed"),
        (raw(""), "HTTP failed"),
        (raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":["), "broke off"),
        (ok(&long), "more than 262144 bytes"),
        (Answer::Endless, "more than 262144 bytes"),
        (ok("<html>not found</html>"), "not a JWK Set"),
        (ok(r#"{"keys":[]}"#), "no usable key"),
        (ok(secret), "a shared secret (oct) in a published set"),
    ];
    let mut failed = 0;
    for (answer, reason) in table {
        issuer.now_answers(answer);
        assert_eq!(ask(&authenticator, "es256_rotated").await, Err(RefusalCode::TokenInvalid), "{reason}");
        let status = jwks.status(Instant::now());
        let error = status.error.unwrap();
        assert!(error.contains(reason), "{error} does not have {reason}");
        assert!(status.failed_total > failed && status.keys == 3 && status.age.is_some(), "{reason}");
        failed = status.failed_total;
        assert_eq!(ask(&authenticator, "es256").await, Ok(()), "{reason}");
    }
    issuer.now_answers(ok(JWKS_ROTATED));
    assert_eq!(ask(&authenticator, "es256_rotated").await, Ok(()));
    assert_eq!(jwks.status(Instant::now()).error, None);
}

#[tokio::test]
async fn before_the_first_good_fetch_the_server_is_to_blame() {
    let issuer = Issuer::start(Some("localhost"), raw("")).await;
    let (authenticator, jwks, _stop) = driven(issuer.fetcher(), HOUR).await;
    assert_eq!(ask(&authenticator, "es256").await, Err(RefusalCode::AuthUnavailable));
    assert_eq!(jwks.status(Instant::now()).age, None);
}

#[tokio::test]
async fn an_issuer_that_is_not_who_it_should_be_gives_no_keys() {
    let issuer = Issuer::start(Some("id.example.com"), ok(JWKS)).await;
    assert!(matches!(issuer.fetcher().fetch().await, Err(FetchError::Tls(_))), "another name");
    let (issuer, other) = (Issuer::start(Some("localhost"), ok(JWKS)).await, Issuer::start(None, raw("")).await);
    let foreign = client_tls(Some(other.ca_pem.as_bytes())).unwrap();
    assert!(matches!(Fetcher::new(issuer.url("https"), foreign, PATIENCE).fetch().await, Err(FetchError::Tls(_))));
    assert!(issuer.requests.lock().is_empty(), "nothing was asked of it");
    let plain = Issuer::start(None, ok(JWKS)).await;
    assert!(matches!(plain.fetcher().fetch().await, Err(FetchError::Tls(_))), "no TLS");
}

#[tokio::test]
async fn keys_of_this_machine_may_come_without_tls() {
    let issuer = Issuer::start(None, ok(JWKS)).await;
    let tls = client_tls(Some(issuer.ca_pem.as_bytes())).unwrap();
    let body = Fetcher::new(issuer.url("http"), tls, PATIENCE).fetch().await.unwrap();
    assert_eq!(body, JWKS.as_bytes());
}

#[tokio::test]
async fn silence_ends_with_the_time_out_and_a_closed_port_at_once() {
    let issuer = Issuer::start(Some("localhost"), Answer::Silence).await;
    let tls = client_tls(Some(issuer.ca_pem.as_bytes())).unwrap();
    let short = Duration::from_millis(100);
    let fetched = Fetcher::new(issuer.url("https"), Arc::clone(&tls), short).fetch().await;
    assert!(matches!(fetched, Err(FetchError::Timeout(_))), "{fetched:?}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("https://{closed}/keys").parse().unwrap();
    assert!(matches!(Fetcher::new(url, tls, PATIENCE).fetch().await, Err(FetchError::Connect(_))));
}

#[tokio::test]
async fn nobody_waits_for_a_task_that_has_ended_or_never_began() {
    let idle = Jwks::new(Arc::default(), HOUR, Duration::ZERO);
    idle.refreshed().await;
    let issuer = Issuer::start(Some("localhost"), ok(JWKS)).await;
    let (_authenticator, jwks, stop) = driven(issuer.fetcher(), Duration::ZERO).await;
    issuer.now_answers(Answer::Silence);
    let waiting = {
        let jwks = Arc::clone(&jwks);
        tokio::spawn(async move { jwks.refreshed().await })
    };
    while issuer.requests.lock().len() < 2 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    waiting.await.unwrap();
    jwks.refreshed().await;
    assert!(!jwks.state.lock().driven);
}

#[tokio::test]
async fn too_many_keys_with_those_of_the_configuration_are_a_failure() {
    let issuer = Issuer::start(Some("localhost"), ok(JWKS)).await;
    let keys = (0..62).map(|n| super::super::Key::hs256(&[n; 32]).unwrap());
    let keyring = Arc::new(Keyring::new(super::super::KeySet::new(keys).unwrap()).unwrap());
    let jwks = Jwks::new(Arc::clone(&keyring), HOUR, HOUR);
    let fetcher = issuer.fetcher();
    let body = fetcher.fetch().await.unwrap();
    jwks.take(&fetcher, Ok(body.clone()));
    let status = jwks.status(Instant::now());
    assert!(status.error.unwrap().contains("65 keys are too many") && status.keys == 0);
    keyring.replace_configured(secret_set()).unwrap();
    jwks.take(&fetcher, Ok(body));
    assert_eq!((jwks.status(Instant::now()).keys, keyring.current().len()), (3, 4));
}

#[test]
fn additional_authorities_are_certificates() {
    for (pem, reason) in [
        ("", "no certificate"),
        (super::super::testing::RSA_PEM, "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not PEM certificates"),
    ] {
        let error = client_tls(Some(pem.as_bytes())).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn an_unknown_key_is_named_in_the_log_only() {
    let error = SignatureError::UnknownKid { algorithm: super::super::Algorithm::Es256, kid: "k\n2".to_owned() };
    assert_eq!(error.to_string(), r#"no ES256 key has the token's kid "k\n2""#);
}
