//! A client's event finds its handler; a CONNECT its namespace.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use vedfolnir_protocol::{CloseReason, Event, encode_connect, encode_connect_error};

use super::driver::{Done, Session};
use super::link::CloseCause;
use super::resume::{self, Connected};
use super::session::SessionSocket;
use super::session_data::Notes;
use super::stats::ServiceStats;
use super::telling;
use super::{hooks, release};
use crate::app::{Args, ConnectRefusal, Handshake, Namespace, NoNamespace, Reply, Socket};
use crate::observability::traces::{self, ActiveSpan};
use crate::observability::unix_ms;

impl Session {
    /// Carries out what the client wants. Handlers start here, in the order of the client's events.
    pub(super) fn route(&mut self, event: Event) {
        match event {
            Event::Connect { namespace, auth } => self.route_connect(&namespace, auth),
            Event::Event { namespace, args, attachments, ack_id } => {
                ServiceStats::one(&self.service.stats.events_in_total);
                if let Some(socket) = self.socket(&namespace) {
                    self.route_event(socket, Args::new(args, attachments).asking(ack_id.is_some()), ack_id);
                }
            }
            Event::Ack { namespace, id, args, attachments } => {
                ServiceStats::one(&self.service.stats.acks_in_total);
                if let Some(socket) = self.socket(&namespace) {
                    socket.answered(id, Args::of_ack(args, attachments));
                }
            }
            Event::Disconnect { namespace } => {
                if let Some(at) = self.sockets.iter().position(|socket| socket.namespace.name() == &*namespace) {
                    let socket = self.sockets.remove(at);
                    ServiceStats::less(&self.service.stats.sockets_active);
                    hooks::farewell(&socket, CloseReason::ClientNamespaceDisconnect, release::end);
                }
            }
            Event::Closed(_) => {}
        }
    }

    fn socket(&self, namespace: &str) -> Option<Arc<SessionSocket>> {
        self.sockets.iter().find(|socket| socket.namespace.name() == namespace && !socket.ends()).cloned()
    }

    fn route_connect(&mut self, name: &str, auth: Option<Bytes>) {
        let namespace = match self.service.app.enter(name) {
            Ok(namespace) => namespace,
            Err(NoNamespace::Unknown) => return self.refuse(name, &ConnectRefusal::new("Invalid namespace")),
            Err(NoNamespace::Full) => {
                let refusal = ConnectRefusal::with_code("too many namespaces on this node", "too_many_namespaces");
                return self.refuse(name, &refusal);
            }
        };
        if self.is_new() && resume::is_postponed(&self.service, &namespace, &self.request, auth.as_deref()) {
            self.link.close(CloseCause::Crowded);
            return;
        }
        let handshake = Handshake {
            namespace: Arc::clone(namespace.shared_name()),
            params: namespace.params().clone(),
            auth,
            request: Arc::clone(&self.request),
            identity: None,
        };
        let (service, link) = (Arc::clone(&self.service), Arc::clone(&self.link));
        let notes = service.config.notes_connections.then(|| self.notes(namespace.name()));
        self.spawn_connect(Box::pin(async move {
            let connected = resume::connect(service, Arc::clone(&namespace), link, handshake, notes).await;
            Done::Connect(namespace, Box::new(connected))
        }));
    }

    /// What a new session in a namespace is committed with.
    fn notes(&self, namespace: &str) -> Notes {
        let mut connection_id = telling::connection_id(&self.sid);
        // One connection, several sessions: each has a name of its own.
        if namespace != "/" {
            connection_id.push_str(namespace);
        }
        Notes {
            connection_id,
            connected_at_ms: unix_ms(SystemTime::now()),
            ip: Some(self.request.remote.ip().to_canonical().to_string()),
            user_agent: self.request.header("user-agent").map(Notes::user_agent),
            origin: None,
        }
    }

    /// A CONNECT is decided.
    pub(super) fn connected(&mut self, namespace: &Namespace, connected: Connected) {
        match connected {
            Connected::Accepted { socket, pid, remaining } => {
                if !self.connection.connect_accepted(namespace.name()) {
                    // The connection has ended meanwhile: the guard lets the session go.
                    return;
                }
                let Some(socket) = socket.take_over() else { return };
                let sid = &socket.sid;
                #[cfg(feature = "planted-bugs")]
                let sid = &super::planted::sid(sid, socket.epoch);
                let reply = encode_connect(namespace.name(), sid, pid.as_deref());
                socket.outbox.push_first(vedfolnir_protocol::EncodedEvent { text: reply, attachments: Vec::new() });
                ServiceStats::one(&self.service.stats.sockets_active);
                self.tell_joined(&socket);
                self.sockets.reserve_exact(1);
                self.sockets.push(Arc::clone(&socket));
                self.greet(&socket);
                if let Some(remaining) = remaining {
                    self.expires_at(Instant::now() + remaining);
                }
            }
            Connected::Refused(refusal) => self.refuse(namespace.name(), &refusal),
            Connected::Close(cause) => self.link.close(cause),
        }
    }

    fn refuse(&mut self, namespace: &str, refusal: &ConnectRefusal) {
        ServiceStats::one(&self.service.stats.connects_refused_total);
        self.connection.connect_refused(namespace);
        self.control.push(encode_connect_error(namespace, &refusal.message, refusal.data.as_deref()));
    }

    fn route_event(&mut self, socket: Arc<SessionSocket>, args: Args, ack_id: Option<u64>) {
        let started = Instant::now();
        let bytes = args.size();
        let namespace = Arc::clone(&socket.namespace);
        let event = args.event().into_owned();
        self.service.stats.events_in.count(&event);
        let span = self.service.trace_event(&socket, &event, &args);
        let place = span.as_ref().map(ActiveSpan::context);
        let handle = || namespace.handle(&event, Socket::new(Arc::clone(&socket)), args);
        let Some(handler) = traces::within(place, handle) else { return };
        let mut handler = match place {
            Some(place) => Box::pin(traces::scope(place, handler)),
            None => handler,
        };
        // The first poll, here: what the handler proposes before it waits stands in the client's order.
        match (&mut handler).now_or_never() {
            Some(reply) if ack_id.is_none() || socket.emits_settled() => {
                answer(&socket, ack_id, reply);
                handled(&socket, &event, bytes, ack_id, started, span);
            }
            Some(reply) => self.spawn_handler(
                bytes,
                Box::pin(async move {
                    settle_and_answer(&socket, ack_id, reply).await;
                    handled(&socket, &event, bytes, ack_id, started, span);
                    Done::Handler(bytes)
                }),
            ),
            None => self.spawn_handler(
                bytes,
                Box::pin(async move {
                    let reply = handler.await;
                    settle_and_answer(&socket, ack_id, reply).await;
                    handled(&socket, &event, bytes, ack_id, started, span);
                    Done::Handler(bytes)
                }),
            ),
        }
    }
}

/// An ack stands behind the emits made before it, but not for ever: without a quorum they never settle.
async fn settle_and_answer(socket: &SessionSocket, ack_id: Option<u64>, reply: Reply) {
    if ack_id.is_some() {
        let _ = tokio::time::timeout(socket.service.config.publish_timeout, socket.settle_emits()).await;
    }
    answer(socket, ack_id, reply);
}

/// Counts it, and tells the log; its span is over.
fn handled(
    socket: &SessionSocket,
    event: &str,
    bytes: usize,
    ack_id: Option<u64>,
    started: Instant,
    span: Option<ActiveSpan>,
) {
    let took = started.elapsed();
    socket.service.stats.processed(took, ack_id.is_some());
    let place = span.as_ref().map(ActiveSpan::context);
    traces::within(place, || telling::tell_handled(&telling::Handled::of(socket, event, bytes, took)));
}

fn answer(socket: &SessionSocket, ack_id: Option<u64>, reply: Reply) {
    if let (Some(id), Some(args)) = (ack_id, reply.args) {
        socket.push_ack(id, &args, &reply.attachments);
    }
    if reply.disconnects {
        socket.end();
    }
}
