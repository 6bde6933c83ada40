//! What the service floor is told at start.

use std::sync::Arc;
use std::time::Duration;

use super::link::Transport;
use super::outbox::OutboxLimits;
use crate::observability::traces::Tracer;
use crate::security::affinity::AffinityRule;
use crate::security::proxy_protocol::Mode as ProxyProtocol;

/// Settings of the WebSocket service.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Requests whose path begins with this are Engine.IO's.
    pub path: String,
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// How long a client may take to join a namespace, and a CONNECT to be committed.
    pub connect_timeout: Duration,
    /// How long an upgrade may take from its probe on.
    pub upgrade_timeout: Duration,
    /// The largest message and polling payload, in bytes.
    pub max_http_buffer_size: usize,
    /// Transports that clients may use.
    pub transports: Vec<Transport>,
    /// Engine.IO sessions at once; one more is answered with 503.
    pub connections_max: usize,
    /// What clients are told about their node, for balancers; `None`: nothing.
    pub affinity: Option<AffinityRule>,
    /// Whether requests of sessions of other nodes are passed on.
    pub forwards: bool,
    /// Whether TCP keep-alive is on.
    pub keep_alive: bool,
    /// Versions of the PROXY protocol that are spoken.
    pub proxy_protocol: ProxyProtocol,
    /// Paths that are served by plain HTTP under any host, too: health checks and metrics.
    pub exempt_paths: Vec<String>,
    /// Events that are counted by name.
    pub counted_events: Vec<Arc<str>>,
    /// How long a handler's publish waits for its quorum.
    pub publish_timeout: Duration,
    /// How long each step of a handshake may take: the PROXY header, TLS, a request's head, a POST's body.
    pub handshake_timeout: Duration,
    /// Bounds of each socket's outbox.
    pub outbox: OutboxLimits,
    /// Handlers of one connection in flight, those that wait for its acks left out; beyond them the connection is not read.
    pub handlers_in_flight_max: usize,
    /// Bytes of arguments that those handlers hold; beyond them the connection is not read.
    pub handlers_bytes_max: usize,
    /// Whether sessions are committed with who connected from where, for exports of backups.
    pub notes_connections: bool,
    /// Tells traces; `None`: they are off.
    pub tracer: Option<Arc<Tracer>>,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            max_http_buffer_size: 1_000_000,
            transports: vec![Transport::Polling, Transport::WebSocket],
            connections_max: 200_000,
            affinity: None,
            forwards: true,
            keep_alive: true,
            proxy_protocol: ProxyProtocol::Off,
            exempt_paths: Vec::new(),
            counted_events: Vec::new(),
            publish_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(30),
            outbox: OutboxLimits::default(),
            handlers_in_flight_max: 64,
            handlers_bytes_max: 4 << 20,
            notes_connections: true,
            tracer: None,
        }
    }
}
