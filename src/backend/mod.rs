//! The backend proxy: handlers in any language. An application on the handler API, as an embedding one is, that asks a
//! backend over HTTP: who may connect, and what an event does.
//!
//! ```text
//!   CONNECT ─► on_connect ─► POST connect URL ─► user, rooms, data | refuse
//!   event   ─► fallback ─► behind the client's earlier ones ─► POST event URL ─► join, leave, emit (as the HTTP API) ─► ack
//! ```
//!
//! docs/backend.md says what is asked and answered.

mod connect;
mod event;
mod hook;
mod queues;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::app::{App, Args, Handshake, Reply, Socket, relay};
use crate::http_client::Signer;
use crate::security::endpoint::Endpoint;
use crate::security::secret::Secret;

use connect::ConnectHook;
use event::EventHook;
use hook::{Hook, Room};
pub use stats::{BackendStats, HookKind, Outcome};

/// Whom the proxy asks, and what it makes of failures.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// Who is asked about CONNECTs; `None`: nobody.
    pub connect: Option<Endpoint>,
    /// Who is asked about events; `None`: the built-in application has them.
    pub event: Option<Endpoint>,
    /// For `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// What the backend knows us by.
    pub secret: Option<Secret>,
    /// Whether the backend may be at a private, link-local or loopback address.
    pub allow_private: bool,
    /// The namespaces that clients find.
    pub namespaces: Vec<String>,
    /// How long the backend may take about a CONNECT.
    pub connect_timeout: Duration,
    /// And about an event.
    pub event_timeout: Duration,
    /// What becomes of a CONNECT that the backend does not decide.
    pub connect_failure: ConnectFailure,
    /// Requests of this node that are under way at once.
    pub requests_max: usize,
}

/// What becomes of a CONNECT that the backend does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The transport closes: the client comes back by itself.
    Retry,
    /// The client gets `connect_error`, and does not come back by itself.
    Refuse,
    /// The client is let in, as nobody in particular.
    Allow,
}

/// A running proxy.
pub struct Backend {
    namespaces: Vec<String>,
    connect: Option<Arc<ConnectHook>>,
    event: Option<Arc<EventHook>>,
    signer: Arc<Signer>,
    stats: Arc<BackendStats>,
}

impl Backend {
    /// Of this configuration. It needs a runtime.
    #[must_use]
    pub fn new(config: BackendConfig) -> Self {
        let (signer, stats) = (Arc::new(Signer::new(config.secret.clone())), Arc::default());
        let room = Arc::new(Room::new(config.requests_max, Arc::clone(&stats)));
        let hook = |kind, endpoint: &Option<Endpoint>, timeout| {
            let endpoint = endpoint.clone()?;
            Some(Hook::new(kind, endpoint, timeout, &config, (&signer, &room, &stats)))
        };
        let connect = hook(HookKind::Connect, &config.connect, config.connect_timeout);
        let event = hook(HookKind::Event, &config.event, config.event_timeout);
        Self {
            connect: connect.map(|hook| Arc::new(ConnectHook::new(hook, config.connect_failure))),
            event: event.map(|hook| Arc::new(EventHook::new(hook))),
            namespaces: config.namespaces,
            signer,
            stats,
        }
    }

    /// The application. Every event is the backend's if it is asked about events; otherwise, and with `relay`, the relay's
    /// handlers stand in its first namespace.
    #[must_use]
    pub fn app(&self, relay: bool) -> App {
        let mut app = App::builder();
        for (index, name) in self.namespaces.iter().enumerate() {
            app = app.namespace(name, |mut ns| {
                if let Some(hook) = self.connect.clone() {
                    ns = ns.on_connect(move |handshake: Handshake| {
                        let hook = Arc::clone(&hook);
                        async move { hook.decide(handshake).await }
                    });
                }
                match self.event.clone() {
                    Some(hook) => ns.fallback(move |socket: Socket, args: Args| hook.handle(socket, args)),
                    None if relay && index == 0 => relay::handlers(ns),
                    None => ns,
                }
            });
        }
        app.build()
    }

    /// What became of requests.
    #[must_use]
    pub const fn stats(&self) -> &Arc<BackendStats> {
        &self.stats
    }

    /// From now on requests are signed with this.
    pub fn replace_secret(&self, secret: Option<Secret>) {
        self.signer.replace(secret);
    }
}

/// An answer that says why there is none of the backend's.
impl From<hook::Failure> for Reply {
    fn from(failure: hook::Failure) -> Self {
        Self::error(failure.code(), failure.told())
    }
}
