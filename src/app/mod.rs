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

mod args;
mod ask;
mod emit;
mod extract;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod namespace;
mod payload;
mod placeholder;
mod presence;
mod read;
pub mod relay;
mod reply;
mod server;
mod socket;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

pub use args::{Args, ArgsRefused};
pub use ask::{ACK_TIMEOUT, AckError, EmitWithAck};
pub use emit::{Committed, Emission, EmitError, Emitter, Volatile};
pub use extract::FromArgs;
pub use handshake::{ConnectAccept, ConnectRefusal, Handshake, RequestInfo};
pub use namespace::{Namespace, NamespaceBuilder};
pub use payload::EventPayload;
pub use presence::{FetchSockets, FetchUsers, Presence};
pub use read::{Read, ReadError};
pub use reply::Reply;
pub use server::ServerHandle;
pub use socket::{RoomChange, Socket};
pub use store::{Store, StoreError, StoreWrite};
pub use vedfolnir_cluster::state::{Event, EventId, EventKind, KvEntry, KvPage, LogPosition, SessionRef, SessionView};
pub use vedfolnir_cluster::state::{Member, MemberCursor, MemberPage, RoomCount, UserPage, UserSessions};
pub use vedfolnir_cluster::{EventStream, EventsError, EventsFrom};

pub use vedfolnir_protocol::CloseReason;

pub use crate::security::auth::{Action, Identity};

/// An application: its namespaces and their handlers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct App {
    namespaces: Arc<HashMap<Box<str>, Arc<Namespace>>>,
    /// Set once, when a service runs it.
    service: Arc<OnceLock<Weak<crate::service::Inner>>>,
}

/// Builds an [`App`].
#[derive(Debug, Default)]
pub struct AppBuilder {
    namespaces: HashMap<Box<str>, Arc<Namespace>>,
}

impl App {
    /// An application without namespaces: every CONNECT is answered "Invalid namespace".
    #[must_use]
    pub fn builder() -> AppBuilder {
        AppBuilder::default()
    }

    /// What the application reaches beside its clients' sockets; `None` until a service runs it, and after that has ended.
    #[must_use]
    pub fn server(&self) -> Option<ServerHandle> {
        self.service.get()?.upgrade().map(ServerHandle::new)
    }

    /// A service runs it; the first one stands.
    pub(crate) fn attach(&self, service: Weak<crate::service::Inner>) {
        let _ = self.service.set(service);
    }

    /// The names of its namespaces.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.namespaces.values().map(|namespace| Arc::clone(namespace.shared_name()))
    }

    /// The namespace of that name.
    pub(crate) fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(name)
    }
}

impl AppBuilder {
    /// Adds a namespace, or replaces it.
    #[must_use]
    pub fn namespace(mut self, name: &str, build: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder) -> Self {
        let namespace = build(NamespaceBuilder::new(name)).build();
        self.namespaces.insert(name.into(), Arc::new(namespace));
        self
    }

    /// The application.
    #[must_use]
    pub fn build(self) -> App {
        App { namespaces: Arc::new(self.namespaces), service: Arc::default() }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
