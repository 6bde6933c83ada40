//! Listeners: binding them, what they are called, serving the operators' ones.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ServerError, unix_now};
use crate::config::{TlsConfig, TlsReload};
use crate::observability;
use crate::service::Door;
use crate::tls::ListenerTls;

/// Connections the kernel queues before they are accepted: a herd that reconnects fits in.
pub(crate) const ACCEPT_QUEUE_MAX: u32 = 4096;
const TLS_SETTING: &str = "--host/--tls-port (WEBSOCKET_BIND/WEBSOCKET_TLS_PORT)";

/// A listener for TLS whose address is taken, and which does not listen yet: a node that cannot serve refuses connections
/// there instead of letting them wait.
pub(super) struct TlsDoor {
    socket: TcpSocket,
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<ListenerTls>,
    /// Its files are read again when they change.
    pub(super) watches: bool,
}

pub(super) fn bind_tls(config: &TlsConfig) -> Result<TlsDoor, ServerError> {
    let (tls, _) = ListenerTls::load(config.files.clone(), config.settings.clone(), unix_now())?;
    let socket = socket(config.bind).map_err(|source| bind_error(TLS_SETTING, config.bind, source))?;
    let address = socket.local_addr().unwrap_or(config.bind);
    Ok(TlsDoor { socket, address, tls: Arc::new(tls), watches: config.reload == TlsReload::Auto })
}

impl TlsDoor {
    /// Listens.
    pub(super) fn open(self) -> Result<Door, ServerError> {
        let listener = self.socket.listen(ACCEPT_QUEUE_MAX);
        let listener = listener.map_err(|source| bind_error(TLS_SETTING, self.address, source))?;
        Ok(Door { listener, tls: Some(self.tls) })
    }
}

/// The public listener twice over one socket: for the time until the node is a member, and for after.
pub(super) fn bind_public(address: SocketAddr) -> Result<(TcpListener, TcpListener), ServerError> {
    const SETTING: &str = "--host/--port (WEBSOCKET_BIND/WEBSOCKET_PORT)";
    let refused = |source| ServerError::Bind { setting: SETTING, address, source };
    let listener = bind(SETTING, address)?.into_std().map_err(refused)?;
    let starting = listener.try_clone().and_then(TcpListener::from_std).map_err(refused)?;
    Ok((TcpListener::from_std(listener).map_err(refused)?, starting))
}

pub(super) fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, ServerError> {
    socket(address)
        .and_then(|socket| socket.listen(ACCEPT_QUEUE_MAX))
        .map_err(|source| bind_error(setting, address, source))
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn bind_error(setting: &'static str, address: SocketAddr, source: io::Error) -> ServerError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::AddressInUse { setting, address },
        _ => ServerError::Bind { setting, address, source },
    }
}

pub(super) fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// `SCHEME://HOST:PORT`; an unspecified address is shown as the machine's name.
pub(super) fn url_of(scheme: &str, address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("{scheme}://{}:{}", observability::host_name(), address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

pub(super) fn serve_until<L>(listener: L, router: Router, stop: CancellationToken) -> JoinHandle<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::spawn(async move {
        // Accept errors are retried inside; there is no other.
        let _ = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    })
}

/// The same for routes that ask who is at the other end.
pub(super) fn serve_operators(listener: TcpListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    let routes = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        let _ = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
    })
}
