//! JSON over HTTP from a node on this machine: what the harness asks of operators' doors and health pages.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer that is longer is none.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Status and body; `None`: nobody answered in time.
pub async fn request(address: SocketAddr, method: Method, path: &str, within: Duration) -> Option<(u16, Bytes)> {
    timeout(within, exchange(address, method, path, None)).await.ok()?.ok()
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    address: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
) -> Result<(u16, Bytes), Broken> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    if let Some(token) = token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    }
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    driver.abort();
    Ok((status, body))
}

/// The object that a GET brings; `None`: no such answer in time.
pub async fn get<T: DeserializeOwned>(address: SocketAddr, path: &str, within: Duration) -> Option<T> {
    get_as(address, path, None, within).await
}

/// The same for whom the door asks for a token.
pub async fn get_as<T: DeserializeOwned>(
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
    within: Duration,
) -> Option<T> {
    let (status, body) = timeout(within, exchange(address, Method::GET, path, token)).await.ok()?.ok()?;
    (status == 200).then(|| serde_json::from_slice(&body).ok()).flatten()
}
