//! What an embedding application says of itself: the same log lines, counters and health as the server's own.
//!
//! ```
//! use std::net::IpAddr;
//! use std::time::Duration;
//!
//! use vedfolnir::config::{Inputs, load};
//! use vedfolnir::observability::log;
//! use vedfolnir::observability::logging::Level;
//! use vedfolnir::observability::monitor::{ConnectionEvent, LogEvent, MessageEvent};
//! use vedfolnir::server::Server;
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let settings = [
//! #     ("WEBSOCKET_DATA_DIR", directory.path().to_str().ok_or("a path that is no text")?),
//! #     ("WEBSOCKET_LOG_LEVEL", "CRITICAL"),
//! #     ("WEBSOCKET_PORT", "0"),
//! #     ("WEBSOCKET_CLUSTER_ADDR", "127.0.0.1:0"),
//! #     ("WEBSOCKET_ADMIN_BIND", "127.0.0.1:0"),
//! # ];
//! # let environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
//! let loaded = load(&Inputs { environment, ..Inputs::default() })?;
//! log::init(&loaded.config.log, "my-server")?;
//! let server = Server::builder(loaded.config).start().await?;
//! let monitor = server.monitor();
//! let client: IpAddr = [192, 168, 1, 100].into();
//!
//! monitor.log_connection_event(
//!     &LogEvent::new("connection_established", "WebSocket connection established")
//!         .session_id("session_123")
//!         .user_id(1)
//!         .connection_id("conn_456")
//!         .client_ip(client),
//! );
//! monitor.log_security_event(
//!     &LogEvent::new("authentication_failed", "WebSocket authentication failed")
//!         .session_id("session_123")
//!         .client_ip(client)
//!         .error_code("AUTH_FAILED")
//!         .level(Level::Critical),
//! );
//! monitor
//!     .log_performance_context("message_processing", "Processing WebSocket message", Some("session_123"))
//!     .run(|| tracing::info!("this line has the session, too"));
//!
//! monitor.record_connection_event(
//!     &ConnectionEvent::new("connect", true).session_id("session_123").user_id(1).namespace("/user"),
//! );
//! monitor.record_message_event(
//!     &MessageEvent::new("chat_message", 256, Duration::from_millis(50)).namespace("/user").success(true),
//! );
//! let sum = monitor.monitor_operation("process_upload", Some("session_123"), || "20 22".split(' ').map(str::parse::<u32>).sum::<Result<u32, _>>())?;
//! assert_eq!(sum, 42);
//! monitor.monitor_async_operation("store_upload", None, async { Ok::<(), std::io::Error>(()) }).await?;
//!
//! println!("Health Status: {}", monitor.perform_health_check().status.value());
//! println!("{}", serde_json::to_string_pretty(&monitor.get_production_status())?);
//! # server.run_until(async {}).await?;
//! # Ok(()) }
//! ```
//!
//! Lines go through `tracing`, to whatever subscriber the process has; [`log::init`](super::log::init) installs the
//! server's own. Event types are those of the catalogue (docs/events.md); another is written as `log` and counted.

mod context;
mod event;
mod status;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tracing::Instrument as _;

pub use context::PerformanceContext;
pub use event::{ConnectionEvent, LogEvent, MessageEvent, User};
pub use status::{ConnectionsView, ProductionStatus, Versions};

use super::health::{self, HealthReport};
use super::logging::{Category, Level};
use super::node::{Node, Parts};
use crate::security::events::SecurityEvent;
use crate::service::{Handled, ServiceStats, tell_handled};

/// Speaks for an application that embeds the server; cheap to clone. Made by [`Server::monitor`](crate::server::Server::monitor).
#[derive(Clone)]
pub struct Monitor {
    node: Arc<Node>,
}

impl Monitor {
    pub(crate) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Writes a line of the category `connection`. It counts nothing: [`Self::record_connection_event`] does.
    pub fn log_connection_event(&self, event: &LogEvent<'_>) {
        event.tell(Category::Connection);
    }

    /// Writes a line of the category `security`, and counts it (`websocket_security_events_total`) if the server knows the
    /// type as one of its own: those of several scopes need [`LogEvent::scope`], or count as the first.
    pub fn log_security_event(&self, event: &LogEvent<'_>) {
        let is_named =
            |known: &SecurityEvent| known.event_type() == event.event_type || known.kind() == event.event_type;
        let named: Vec<SecurityEvent> = SecurityEvent::ALL.into_iter().filter(is_named).collect();
        let known = named.iter().find(|known| known.scope() == event.scope).or(named.first()).copied();
        if let (Some(known), Some(parts)) = (known, self.node.parts()) {
            parts.service.security_counters().count(known);
        }
        event.tell(Category::Security);
    }

    /// Begins something whose lines shall have the session's name, and whose time is worth a line of the category
    /// `performance` and a sample of `websocket_operation_seconds{operation}` by the event's type. It ends with the context.
    pub fn log_performance_context(
        &self,
        event_type: &str,
        message: &str,
        session_id: Option<&str>,
    ) -> PerformanceContext {
        PerformanceContext::new(Arc::clone(&self.node), event_type, event_type, message, session_id)
    }

    /// Counts a client's coming (`connect`) as `websocket_connections_total`, or what failed as
    /// `websocket_connections_failed_total{reason="application"}`, and writes its line. Other types are lines only.
    pub fn record_connection_event(&self, event: &ConnectionEvent<'_>) {
        let is_connect = event.event_type == "connect";
        self.count(|stats| match (event.success, is_connect) {
            (true, true) => Some((&stats.connections_total, 1)),
            (true, false) => None,
            (false, _) => Some((&stats.application_connections_failed_total, 1)),
        });
        let (event_type, message, level) = match (event.success, event.event_type) {
            (true, "connect") => ("connection_established", "WebSocket connection established", Level::Info),
            (true, "disconnect") => ("connection_closed", "WebSocket connection closed", Level::Info),
            (true, other) => (other, "A client's connection changed", Level::Info),
            (false, _) => ("connection_refused", "WebSocket connection refused", Level::Warning),
        };
        event.line(event_type, message).level(level).tell(Category::Connection);
    }

    /// Counts a message of a client that the application handled: `websocket_messages_total`, by name, its size and time;
    /// one that failed as `websocket_errors_total{type="application"}`.
    pub fn record_message_event(&self, event: &MessageEvent<'_>) {
        if let Some(Parts { service, .. }) = self.node.parts() {
            service.stats().came_in(event.event_name, event.bytes);
            service.stats().processed(event.processing_time, false);
        }
        let user = event.user_text();
        tell_handled(&Handled {
            session_id: event.session_id,
            user_id: user.as_deref(),
            namespace: event.namespace,
            event: event.event_name,
            bytes: event.bytes,
            took: event.processing_time,
        });
        if !event.success {
            self.count(|stats| Some((&stats.application_messages_failed_total, 1)));
            event.line("handler_failed", "an application's handler failed").level(Level::Error).tell(Category::Error);
        }
    }

    /// Does something, with what [`Self::log_performance_context`] does by the operation's name, as `operation_completed`;
    /// an `Err` counts as `websocket_operation_failures_total{operation}`, and so does a panic. At most 64 names are told apart.
    ///
    /// # Errors
    /// Those of the work.
    pub fn monitor_operation<T, E>(
        &self,
        operation: &str,
        session_id: Option<&str>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut context = self.operation(operation, session_id);
        let done = context.span().clone().in_scope(work);
        context.succeeded(done.is_ok());
        done
    }

    /// The same for what waits; a future that is dropped before its end has failed.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn monitor_async_operation<T, E>(
        &self,
        operation: &str,
        session_id: Option<&str>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut context = self.operation(operation, session_id);
        let span = context.span().clone();
        let done = work.instrument(span).await;
        context.succeeded(done.is_ok());
        done
    }

    fn operation(&self, operation: &str, session_id: Option<&str>) -> PerformanceContext {
        let node = Arc::clone(&self.node);
        let mut context =
            PerformanceContext::new(node, "operation_completed", operation, "an operation is done", session_id);
        // Until it is known better: a panic or a dropped future says nothing any more.
        context.succeeded(false);
        context
    }

    /// The node's health, as its listener tells it: by what its checks found last, without waiting.
    #[must_use]
    pub fn perform_health_check(&self) -> HealthReport {
        health::report(&self.node)
    }

    /// Everything about the node in one object. `None` until it is a member of its cluster.
    #[must_use]
    pub fn get_production_status(&self) -> Option<ProductionStatus> {
        ProductionStatus::of(&self.node)
    }

    fn count(&self, of: impl FnOnce(&ServiceStats) -> Option<(&AtomicU64, u64)>) {
        let Some(parts) = self.node.parts() else { return };
        if let Some((counter, value)) = of(parts.service.stats()) {
            ServiceStats::add(counter, value);
        }
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Monitor")
    }
}
