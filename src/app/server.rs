//! What an application reaches beside its clients' sockets: the store, presence, what happens to sessions and rooms.

use std::fmt;
use std::sync::Arc;

use vedfolnir_cluster::state::{Audience, NodeId, SessionView};
use vedfolnir_cluster::{EventStream, EventsFrom};

use super::emit::Emitter;
use super::history::ReadHistory;
use super::manage::RemoteSocket;
use super::presence::Presence;
use super::read::Read;
use super::sessions::{self, FetchSessions, FoundSession};
use super::store::Store;
use crate::service::{self, session_data};

/// The running node, as an application sees it; cheap to clone.
#[derive(Clone)]
pub struct ServerHandle {
    service: Arc<service::Inner>,
}

impl ServerHandle {
    pub(crate) const fn new(service: Arc<service::Inner>) -> Self {
        Self { service }
    }

    pub(crate) const fn service(&self) -> &Arc<service::Inner> {
        &self.service
    }

    /// This node, 16 hexadecimal digits.
    #[must_use]
    pub fn node(&self) -> String {
        node_name(self.service.cluster.incarnation().node)
    }

    /// The replicated key-value store.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(&self.service)
    }

    /// To everybody in a namespace of the application, on nobody's behalf: narrow it with [`Emitter::to`]. A dynamic one
    /// needs no client on this node, nor any. `None`: the application has no such namespace.
    ///
    /// ```no_run
    /// # use vedfolnir::app::{EmitError, ServerHandle};
    /// # async fn example(server: ServerHandle) -> Result<(), EmitError> {
    /// if let Some(root) = server.of("/") {
    ///     let committed = root.to("order:42").emit("progress", &[70]).await?;
    ///     println!("a quorum has it, at {:?}", committed.offset());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of(&self, namespace: &str) -> Option<Emitter> {
        self.service.app.has(namespace).then(|| Emitter::of_server(&self.service, namespace.into()))
    }

    /// The session in a namespace whose client has this `socket.id`, connected or inside its recovery window.
    pub fn session(&self, namespace: impl Into<Arc<str>>, sid: impl Into<Arc<str>>) -> Read<Option<SessionView>> {
        let (namespace, sid) = (namespace.into(), sid.into());
        Read::new(&self.service, move |state| {
            let session = state.session_by_sid(&namespace, &sid).and_then(|pid| state.session(&pid));
            // What the server notes of its client is none of the application's data.
            Ok(session.map(|session| SessionView { data: session_data::app(&session.data), ..session }))
        })
    }

    /// The same with the node that it is on.
    pub fn found_session(
        &self,
        namespace: impl Into<Arc<str>>,
        sid: impl Into<Arc<str>>,
    ) -> Read<Option<FoundSession>> {
        sessions::one(&self.service, namespace.into(), sid.into())
    }

    /// The sessions of a namespace with all that is known of them, a page at a time; narrow it with
    /// [`FetchSessions::in_room`], [`FetchSessions::of_user`], [`FetchSessions::connected`].
    pub fn sessions(&self, namespace: impl Into<Arc<str>>) -> FetchSessions {
        FetchSessions::new(&self.service, namespace.into())
    }

    /// What was said in a namespace, to a room of it, or to a user, a page at a time.
    pub fn history(&self, namespace: impl Into<Arc<str>>) -> ReadHistory {
        ReadHistory::new(&self.service, namespace.into())
    }

    /// A client in a namespace of the application, on whichever node it is, by its `socket.id`. `None`: the application has no
    /// such namespace. Whether there is such a client shows once something is done with it.
    #[must_use]
    pub fn remote(&self, namespace: &str, sid: impl Into<Arc<str>>) -> Option<RemoteSocket> {
        self.of(namespace).map(|_| RemoteSocket::new(&self.service, namespace.into(), sid.into()))
    }

    /// Who is in a namespace; narrow it with [`Presence::to`].
    pub fn presence(&self, namespace: impl Into<Arc<str>>) -> Presence {
        let audience = Audience { namespace: namespace.into(), rooms: Vec::new(), except: Vec::new() };
        Presence::new(&self.service, audience, false)
    }

    /// Follows what happens to sessions and rooms in the whole cluster, exactly once and in one order, from wherever a
    /// consumer had come.
    ///
    /// A consumer that is to survive its node writes down the id of the last event it has processed (the store is a good
    /// place: compare-and-set also keeps two consumers apart) and goes on after it, on any node. Events are kept for an
    /// hour of cluster time, and at most 262144 of them; who comes later is told so ([`EventsError::Lost`]).
    ///
    /// ```no_run
    /// # use vedfolnir::app::{EventsError, EventsFrom, ServerHandle};
    /// # async fn example(server: ServerHandle) {
    /// let mut events = server.events(EventsFrom::Oldest);
    /// loop {
    ///     match events.next().await {
    ///         Ok(event) => println!("{}: {:?}", event.id, event.kind),
    ///         Err(EventsError::Lost { after }) => println!("too late for what came after {after}"),
    ///         Err(EventsError::Closed) => return,
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// [`EventsError::Lost`]: vedfolnir_cluster::EventsError::Lost
    #[must_use]
    pub fn events(&self, from: EventsFrom) -> EventStream {
        self.service.cluster.events(from)
    }
}

/// As operators know a node.
pub(super) fn node_name(node: NodeId) -> String {
    format!("{node:016x}")
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerHandle")
    }
}
