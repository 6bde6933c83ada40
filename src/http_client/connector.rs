//! Opens connections to one endpoint: its name is resolved, each address judged, and the connection is to that address.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::Service;

use super::{AddressRule, is_private};
use crate::security::endpoint::Endpoint;

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{address} is a private address")]
    Private { address: SocketAddr, setting: &'static str },
    #[error("{0} is a public address")]
    PublicPlain(SocketAddr),
    #[error("cannot connect ({0})")]
    Unreachable(io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("TLS failed ({0})")]
    Tls(String),
}

/// A connection, encrypted or not.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Connection for Box<dyn Io> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Connector(Arc<Target>);

struct Target {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    rule: AddressRule,
}

impl Connector {
    pub(super) fn new(endpoint: Endpoint, tls: Option<Arc<ClientConfig>>, rule: AddressRule) -> Self {
        Self(Arc::new(Target { endpoint, tls, rule }))
    }
}

/// There is one endpoint: the address that is asked for is always its own.
impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let target = Arc::clone(&self.0);
        Box::pin(async move { target.connect().await.map(TokioIo::new) })
    }
}

impl Target {
    async fn connect(&self) -> Result<Box<dyn Io>, ConnectError> {
        let stream = self.open().await?;
        if !self.endpoint.is_secure() {
            return Ok(Box::new(stream));
        }
        let tls = self.tls.as_ref().ok_or_else(|| ConnectError::Tls("no authorities were read".to_owned()))?;
        let failed = |error: &dyn ToString| ConnectError::Tls(error.to_string());
        let name = ServerName::try_from(self.endpoint.host().to_owned()).map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| failed(&error))?))
    }

    /// To the address that was judged, and no other: a name that resolves to something else a moment later changes nothing.
    async fn open(&self) -> Result<TcpStream, ConnectError> {
        let place = (self.endpoint.host(), self.endpoint.port());
        let found = tokio::net::lookup_host(place).await.map_err(ConnectError::Unreachable)?;
        let mut last = ConnectError::NoAddress;
        for address in found.take(ADDRESSES_MAX) {
            self.judge(address)?;
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(ConnectError::Unreachable)?;
                    return Ok(stream);
                }
                Err(error) => last = ConnectError::Unreachable(error),
            }
        }
        Err(last)
    }

    fn judge(&self, address: SocketAddr) -> Result<(), ConnectError> {
        let is_private = is_private(address.ip());
        if is_private && !self.rule.allow_private {
            return Err(ConnectError::Private { address, setting: self.rule.setting });
        }
        if !is_private && !self.endpoint.is_secure() && !self.rule.allow_public_plain {
            return Err(ConnectError::PublicPlain(address));
        }
        Ok(())
    }
}
