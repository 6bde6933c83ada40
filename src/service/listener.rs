//! The accept loop: Engine.IO's requests under its path, everything else to the fallback routes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::stats::ServiceStats;
use super::{Inner, Service, http};

/// hyper's buffer for a request's head, in bytes; given back after an upgrade.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// TCP connections beyond the clients' own, for health and polling's second connection.
const TCP_EXTRA: u64 = 1024;
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Counts one TCP connection for as long as it lives.
struct Counted(Arc<Inner>);

impl Drop for Counted {
    fn drop(&mut self) {
        ServiceStats::less(&self.0.stats.tcp_active);
    }
}

impl Service {
    /// Accepts connections until `shutdown` is cancelled. Requests that are not Engine.IO's go to `fallback`.
    ///
    /// # Errors
    /// When the listener itself is broken.
    pub async fn serve(&self, listener: TcpListener, fallback: Router, shutdown: CancellationToken) -> io::Result<()> {
        // Every polling client may use two connections.
        let tcp_max = self.inner.config.connections_max as u64 * 2 + TCP_EXTRA;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => return Ok(()),
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_connection(&error) => continue,
                Err(error) => {
                    tracing::error!(%error, "accepting a connection failed; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if self.inner.stats.tcp_active.fetch_add(1, Ordering::Relaxed) >= tcp_max {
                ServiceStats::less(&self.inner.stats.tcp_active);
                ServiceStats::one(&self.inner.stats.tcp_refused_total);
                continue;
            }
            let counted = Counted(Arc::clone(&self.inner));
            tokio::spawn(serve_connection(counted, stream, remote, fallback.clone(), shutdown.clone()));
        }
    }
}

/// Errors that say something about one connection, not about the listener.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves HTTP on one connection, until it ends or becomes a WebSocket.
async fn serve_connection(
    counted: Counted,
    stream: TcpStream,
    remote: SocketAddr,
    fallback: Router,
    shutdown: CancellationToken,
) {
    // Small frames must not wait for more; a socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let service = Arc::clone(&counted.0);
    let header_read_timeout = service.config.header_read_timeout;
    let handler = service_fn(move |request| {
        let (service, fallback) = (Arc::clone(&service), fallback.clone());
        async move {
            if request.uri().path().starts_with(&service.config.path) {
                Ok::<_, Infallible>(http::handle(service, remote, request).await)
            } else {
                fallback.oneshot(request.map(Body::new)).await
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_read_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "HTTP connection ended");
    }
}
