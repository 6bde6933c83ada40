//! The handler API: namespaces, event handlers, acks, rooms, emits. The relay is written on it, as embedding
//! applications are: one way in.
//!
//! ```no_run
//! use vedfolnir::app::{App, Reply, Socket};
//!
//! let app = App::builder()
//!     .namespace("/", |ns| {
//!         ns.on("greet", |socket: Socket, (name,): (String,)| async move {
//!             match socket.server().to("everyone").emit("greeting", &[&name]).await {
//!                 Ok(committed) => Reply::json(&committed.offset()),
//!                 Err(error) => Reply::from(error),
//!             }
//!         })
//!     })
//!     .build();
//! # drop(app);
//! ```
//!
//! Handlers of one client start in the order of its events: what a handler proposes before it first waits is committed
//! in that order too. A handler's ack stands behind the emits that it made.
//!
//! # What becomes of an emit
//!
//! What is durable and what is not stands in the type: a durable emit is an [`Emission`], which a quorum's word turns into a
//! [`Committed`] offset; a volatile one gives nothing to wait for, or the answers that came in time.
//!
//! | call | reaches | class | gives |
//! |---|---|---|---|
//! | [`Socket::emit`] | this client, also after it has resumed on another node | durable | [`Emission`] → [`Committed`], its offset |
//! | [`Emitter::emit`]: [`Socket::server`], [`Socket::to`], [`Socket::broadcast`], [`ServerHandle::of`] | who is addressed, on all nodes, also after resuming | durable | [`Emission`] → [`Committed`], its offset |
//! | [`Volatile::emit`]: [`Emitter::volatile`], [`Socket::volatile`] | who is addressed and connected now, on all nodes | volatile | `()` |
//! | [`Volatile::emit`] behind [`Emitter::local`], [`Volatile::local`] | the same, of this node only | volatile | `()` |
//! | [`Socket::emit_with_ack`] | this client, on the connection that stands | volatile | [`EmitWithAck`] → the arguments of its ack |
//! | [`Emitter::emit_with_acks`], [`Volatile::emit_with_acks`] | who is addressed and connected now, on all nodes, or on this one | volatile | [`BroadcastWithAcks`] → [`BroadcastAcks`]: who answered what, who did not |
//! | [`ServerHandle::server_side_emit`] | this application on the other nodes | volatile | `()` |
//! | [`ServerHandle::server_side_emit_with_acks`] | the same | volatile | [`ServerSideEmit`] → [`ServerSideAcks`] |
//! | [`Socket::join`], [`Socket::leave`] | the session, on whichever node it is | durable | [`RoomChange`] |
//!
//! Durable: committed by a quorum before it is delivered, in one order on all nodes, replayed to who resumes; it may take as
//! long as an election, and says so when there is no quorum. Volatile: past the log, at once, never twice; lost with a
//! connection, a node or an overfull queue. Time-outs are `.timeout(duration)` on what is waited for, 10 s unless said.

mod args;
mod ask;
mod broadcast;
mod dynamic;
mod emit;
mod extract;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod history;
mod manage;
mod namespace;
mod once;
mod pattern;
mod payload;
mod placeholder;
mod plain;
mod presence;
mod read;
pub mod relay;
mod reply;
mod server;
mod server_side;
mod sessions;
mod socket;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use dynamic::Dynamic;
use namespace::{Behaviour, HandlerFuture};
use server_side::ServerSideHandler;
use vedfolnir_protocol::socket_io::namespace::is_valid;

pub use args::{Args, ArgsRefused};
pub(crate) use ask::ask;
pub use ask::{ACK_TIMEOUT, AckError, EmitWithAck};
pub use broadcast::{BroadcastAcks, BroadcastWithAcks};
pub use dynamic::DYNAMIC_NAMESPACES_MAX;
pub use emit::{Committed, Emission, EmitError, Emitter, Volatile};
pub use extract::FromArgs;
pub use handshake::{ConnectAccept, ConnectRefusal, Handshake, RequestInfo};
pub use history::{HistoryError, HistoryEvent, ReadHistory, RoomHistory};
pub use manage::{Managed, Managing, RemoteSocket};
pub use namespace::{Namespace, NamespaceBuilder};
pub use once::{BadKey, CommittedOnce, IDEMPOTENCY_KEY_BYTES_MAX, Once, OnceEmission, check_idempotency_key};
pub(crate) use once::{IdempotencyKey, content_of};
pub use pattern::{BadPattern, NamespaceParams, NamespacePattern};
pub use payload::EventPayload;
pub(crate) use plain::PlainHandler;
pub use plain::PlainMessage;
pub use presence::{FetchSockets, FetchUsers, Presence};
pub use read::{Read, ReadError};
pub use reply::Reply;
pub use server::ServerHandle;
pub use server_side::{ServerSide, ServerSideAcks, ServerSideEmit};
pub use sessions::{FetchSessions, FoundSession, FoundSessions};
pub use socket::{RoomChange, Socket};
pub use store::{Store, StoreError, StoreWrite};
pub use vedfolnir_cluster::state::{Event, EventId, EventKind, KvEntry, KvPage, LogPosition, SessionRef, SessionView};
pub use vedfolnir_cluster::state::{Member, MemberCursor, MemberPage, RoomCount, UserPage, UserSessions};
pub use vedfolnir_cluster::{EventStream, EventsError, EventsFrom};

pub use vedfolnir_protocol::CloseReason;

pub use crate::security::auth::{Action, Identity};

/// An application: its namespaces and their handlers. Cheap to clone.
#[derive(Clone, Default)]
pub struct App {
    namespaces: Arc<HashMap<Box<str>, Arc<Namespace>>>,
    dynamic: Arc<Dynamic>,
    /// What other nodes' applications say, by event.
    server_side: Arc<HashMap<Box<str>, ServerSideHandler>>,
    /// Engine.IO alone, by the beginning of the path.
    plain: Arc<[(Box<str>, Arc<PlainHandler>)]>,
    /// Set once, when a service runs it.
    service: Arc<OnceLock<Weak<crate::service::Inner>>>,
}

/// Builds an [`App`].
pub struct AppBuilder {
    namespaces: HashMap<Box<str>, Arc<Namespace>>,
    dynamic: Vec<(NamespacePattern, Arc<Behaviour>)>,
    dynamic_namespaces_max: usize,
    server_side: HashMap<Box<str>, ServerSideHandler>,
    plain: Vec<(Box<str>, Arc<PlainHandler>)>,
}

/// Why a client cannot enter a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNamespace {
    /// The application does not have it.
    Unknown,
    /// Clients of this node are in as many dynamic ones as may be.
    Full,
}

impl App {
    /// An application without namespaces: every CONNECT is answered "Invalid namespace".
    #[must_use]
    pub fn builder() -> AppBuilder {
        AppBuilder {
            namespaces: HashMap::new(),
            dynamic: Vec::new(),
            dynamic_namespaces_max: DYNAMIC_NAMESPACES_MAX,
            server_side: HashMap::new(),
            plain: Vec::new(),
        }
    }

    /// What the application reaches beside its clients' sockets; `None` until a service runs it, and after that has ended.
    #[must_use]
    pub fn server(&self) -> Option<ServerHandle> {
        self.service.get()?.upgrade().map(ServerHandle::new)
    }

    /// Starts the handler of what another node's application says; `None`: nobody handles it.
    pub(crate) fn server_side(&self, side: ServerSide, args: Args) -> Option<HandlerFuture> {
        let handler = self.server_side.get(&*args.event())?;
        Some(handler(side, args))
    }

    /// What answers the messages of connections whose requests have this path.
    pub(crate) fn plain(&self, path: &str) -> Option<&Arc<PlainHandler>> {
        self.plain.iter().find(|(begin, _)| path.starts_with(&**begin)).map(|(_, answer)| answer)
    }

    /// A service runs it; the first one stands.
    pub(crate) fn attach(&self, service: Weak<crate::service::Inner>) {
        let _ = self.service.set(service);
    }

    /// The names of its namespaces, dynamic ones left out.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.namespaces.values().map(|namespace| Arc::clone(namespace.shared_name()))
    }

    /// What its namespaces are counted under: their names, and one label for each pattern.
    pub(crate) fn labels(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.namespaces().chain(self.dynamic.labels().cloned())
    }

    /// What a namespace is counted under.
    pub(crate) fn label(&self, name: &Arc<str>) -> Arc<str> {
        let pattern = if self.namespaces.contains_key(&**name) { None } else { self.dynamic.label(name) };
        Arc::clone(pattern.unwrap_or(name))
    }

    /// Whether it has a namespace of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.namespaces.contains_key(name) || (is_valid(name) && self.dynamic.has(name))
    }

    /// The namespace of that name, for a client that wants to be in it.
    pub(crate) fn enter(&self, name: &str) -> Result<Arc<Namespace>, NoNamespace> {
        if let Some(namespace) = self.namespaces.get(name) {
            return Ok(Arc::clone(namespace));
        }
        self.dynamic.enter(name).ok_or(NoNamespace::Unknown)?.map_err(|_| NoNamespace::Full)
    }
}

impl AppBuilder {
    /// Adds a namespace, or replaces it.
    #[must_use]
    pub fn namespace(mut self, name: &str, build: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder) -> Self {
        let namespace = Namespace::fixed(name, build(NamespaceBuilder::new()).build());
        self.namespaces.insert(name.into(), Arc::new(namespace));
        self
    }

    /// Adds all namespaces whose names fit a pattern: they share their handlers, and nothing else. A name that
    /// [`AppBuilder::namespace`] has is that one's; of several patterns the first that fits has it.
    ///
    /// They need no creating: a name is there for whoever connects to it or emits to it ([`ServerHandle::of`]), on every node
    /// that runs the application, and clients resume in it as in any other. A node forgets it with its last client there.
    /// Metrics count all names of a pattern together.
    ///
    /// ```no_run
    /// use vedfolnir::app::{App, BadPattern, ConnectRefusal, Handshake, Socket};
    ///
    /// # fn app() -> Result<App, BadPattern> {
    /// let app = App::builder().dynamic_namespace("/tenant-{id}".parse()?, |ns| {
    ///     ns.check_connect(|handshake: Handshake| async move {
    ///         match handshake.param("id") {
    ///             Some("closed") => Err(ConnectRefusal::new("no such tenant")),
    ///             _ => Ok(()),
    ///         }
    ///     })
    ///     .on("whoami", |socket: Socket, (): ()| async move {
    ///         vedfolnir::app::Reply::json(&socket.param("id"))
    ///     })
    /// });
    /// # Ok(app.build()) }
    /// ```
    #[must_use]
    pub fn dynamic_namespace(
        mut self,
        pattern: NamespacePattern,
        build: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder,
    ) -> Self {
        self.dynamic.push((pattern, build(NamespaceBuilder::new()).build()));
        self
    }

    /// How many names of dynamic namespaces clients of one node may be in at once, all patterns together;
    /// [`DYNAMIC_NAMESPACES_MAX`] unless said. A CONNECT to one more is refused (`connect_error`, `data.code` is
    /// `too_many_namespaces`); a name has at most 256 bytes, as every namespace has.
    #[must_use]
    pub const fn dynamic_namespaces_max(mut self, names_max: usize) -> Self {
        self.dynamic_namespaces_max = names_max;
        self
    }

    /// The application.
    #[must_use]
    pub fn build(self) -> App {
        let dynamic = Dynamic::new(self.dynamic, self.dynamic_namespaces_max);
        App {
            namespaces: Arc::new(self.namespaces),
            dynamic: Arc::new(dynamic),
            server_side: Arc::new(self.server_side),
            plain: self.plain.into(),
            service: Arc::default(),
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("namespaces", &self.namespaces)
            .field("dynamic", &self.dynamic)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AppBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespaces, dynamic) = (&self.namespaces, &self.dynamic);
        f.debug_struct("AppBuilder").field("namespaces", namespaces).field("dynamic", dynamic).finish_non_exhaustive()
    }
}

impl Default for AppBuilder {
    fn default() -> Self {
        App::builder()
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
