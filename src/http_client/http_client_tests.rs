use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const ANY: AddressRule = AddressRule { allow_private: true, allow_public_plain: true, setting: "S" };

fn client(url: &str, rule: AddressRule) -> HttpClient {
    let endpoint = url.parse().unwrap();
    HttpClient::new(ClientSettings { endpoint, tls: None, rule, idle_connections_max: 4 })
}

async fn post(client: &HttpClient, bytes_max: usize) -> Result<Answer, HttpError> {
    client.post(HeaderMap::new(), Bytes::from_static(b"{}"), bytes_max, Duration::from_secs(10)).await
}

/// Answers each request with these bytes, and counts connections.
async fn serve(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?key=1", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while stream.read_buf(&mut request).await.unwrap_or(0) > 0 {
                    if request.ends_with(b"\r\n\r\n{}") {
                        assert!(request.starts_with(b"POST /hook?key=1 HTTP/1.1\r\n"));
                        request.clear();
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    (url, connections)
}

#[tokio::test]
async fn a_connection_is_used_again_and_a_body_is_taken_whole_or_not_at_all() {
    let (url, connections) =
        serve(b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\ntrue").await;
    let client = client(&url, ANY);
    for _ in 0..3 {
        let answer = post(&client, 4).await.unwrap();
        assert_eq!((answer.status, answer.is_json, answer.body.unwrap()), (StatusCode::OK, true, "true".into()));
        assert_eq!(answer.retry_after, Some(Duration::from_secs(3)));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(post(&client, 3).await.unwrap().body, None);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused_unless_that_is_allowed() {
    let (url, connections) = serve(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let strict = AddressRule { allow_private: false, ..ANY };
    let by_name = url.replace("127.0.0.1", "localhost");
    for url in [&url, &by_name] {
        let error = post(&client(url, strict), 0).await.unwrap_err();
        assert!(matches!(error, HttpError::Private { .. }), "{error}");
        assert!(error.to_string().contains("S=true"), "{error}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nobody connected");
    assert_eq!(post(&client(&by_name, ANY), 0).await.unwrap().status, StatusCode::NO_CONTENT);
    let plain = AddressRule { allow_public_plain: false, ..ANY };
    let error = post(&client("http://8.8.8.8:9/x", plain), 0).await.unwrap_err();
    assert!(matches!(error, HttpError::PublicPlain(_)), "{error}");
}

#[tokio::test]
async fn what_was_not_sent_is_told_from_what_may_have_been_taken() {
    let (url, _) = serve(b"no HTTP at all\r\n\r\n").await;
    let error = post(&client(&url, ANY), 0).await.unwrap_err();
    assert!(matches!(error, HttpError::Broken(_)), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = post(&client(&closed, ANY), 0).await.unwrap_err();
    assert!(matches!(error, HttpError::NotConnected(_)), "{error}");
}
