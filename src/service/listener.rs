//! The accept loops: Engine.IO's requests under its path, everything else to the fallback routes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::arrival::{Arrived, Peer, Spoken, greet};
use super::stats::ServiceStats;
use super::unread::{Turn, Watched};
use super::{Inner, Service, gate};
use crate::tls::ListenerTls;

/// hyper's buffer for a request's head, in bytes; given back after an upgrade.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The same for HTTP/2, where it is a limit of the decoded headers.
const HTTP2_HEADER_BYTES_MAX: u32 = 16 << 10;
/// Requests and WebSockets at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 128;
/// What one HTTP/2 stream and one connection may have on their way to us.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 << 10;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// An HTTP/2 connection is asked this often whether it still lives ...
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// ... and given this long to answer.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// TCP connections beyond the clients' own, for health and polling's second connection.
const TCP_EXTRA: u64 = 1024;
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// TCP asks a silent peer after this long whether it is there.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);

/// A public listener.
pub struct Door {
    /// Where connections come in.
    pub listener: TcpListener,
    /// With which certificates, if it speaks TLS.
    pub tls: Option<Arc<ListenerTls>>,
}

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
    pub async fn serve(&self, door: Door, fallback: Router, shutdown: CancellationToken) -> io::Result<()> {
        // Every polling client may use two connections.
        let tcp_max = self.inner.config.connections_max as u64 * 2 + TCP_EXTRA;
        loop {
            let accepted = tokio::select! {
                accepted = door.listener.accept() => accepted,
                () = shutdown.cancelled() => return Ok(()),
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_connection(&error) => continue,
                Err(error) => {
                    tracing::error!(event_type = "listener_failed", %error, "accepting a connection failed; trying again");
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
            let arriving = arrive(counted, stream, remote, door.tls.clone(), fallback.clone(), shutdown.clone());
            tokio::spawn(arriving);
        }
    }
}

/// Errors that say something about one connection, not about the listener.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Answers a request, and counts how long that took; a long poll waits for messages, which says nothing.
async fn timed(service: Arc<Inner>, peer: Peer, fallback: Router, request: Request<Incoming>) -> Response<Body> {
    let polls = request.method() == Method::GET && !gate::is_handshake(&request);
    let (began, counted) = (Instant::now(), Arc::clone(&service));
    let response = gate::handle(service, peer, fallback, request).await;
    if !polls {
        counted.stats.distributions.http_answers.observe_time(began.elapsed());
    }
    response
}

/// Serves HTTP on one connection, until it ends or becomes a WebSocket.
async fn arrive(
    counted: Counted,
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Arc<ListenerTls>>,
    fallback: Router,
    shutdown: CancellationToken,
) {
    // Small frames must not wait for more; a socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    if counted.0.config.keep_alive {
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER));
    }
    // In a box of its own, so that a connection that lives has no room set aside for its handshake.
    let arrived = tokio::select! {
        arrived = Box::pin(greet(&counted.0, tls.as_deref(), stream, remote)) => arrived,
        () = shutdown.cancelled() => return,
    };
    let Arrived::Ready(arrived) = arrived else { return };
    let (io, peer, spoken) = *arrived;
    let service = Arc::clone(&counted.0);
    let header_read_timeout = service.config.handshake_timeout;
    let asked = Arc::new(AtomicBool::new(false));
    let turn = Turn::default();
    let (guard, whose, first) = (Arc::clone(&service.guard), turn.clone(), Arc::clone(&asked));
    let handler = service_fn(move |request| {
        first.store(true, Ordering::Relaxed);
        let (service, fallback, whose) = (Arc::clone(&service), fallback.clone(), whose.clone());
        async move {
            let response = timed(service, peer, fallback, request).await;
            Ok::<_, Infallible>(response.map(|body| whose.answer(body)))
        }
    });
    let result = match spoken {
        Spoken::Http1 => {
            // What a proxy would have said about the client stands in a head that nobody could read.
            let besides = Box::new(move |status| {
                let mut headers = HeaderMap::new();
                gate::complete(&guard.in_force().rules, peer.tls, status, &mut headers);
                headers
            });
            let io = TokioIo::new(Watched::new(io, turn, besides));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_read_timeout)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(io, handler)
                .with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                result = connection.as_mut() => result,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Spoken::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .enable_connect_protocol()
                .max_concurrent_streams(HTTP2_STREAMS_MAX)
                .max_header_list_size(HTTP2_HEADER_BYTES_MAX)
                .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
                .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
                .keep_alive_interval(HTTP2_PING_INTERVAL)
                .keep_alive_timeout(HTTP2_PING_TIMEOUT)
                .serve_connection(TokioIo::new(io), handler);
            let mut connection = Box::pin(connection);
            tokio::select! {
                result = connection.as_mut() => result,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = result {
        // One that was idle after a request owes nothing.
        if error.is_timeout() && !asked.load(Ordering::Relaxed) {
            ServiceStats::one(&counted.0.stats.handshake_timeouts_total);
        }
        tracing::debug!(%remote, %error, "HTTP connection ended");
    }
}
