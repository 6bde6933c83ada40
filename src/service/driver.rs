//! One connection's engine, whatever its transport: packets in, frames out, handlers in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use vedfolnir_protocol::engine_io::{Hint, OpenPacket};
use vedfolnir_protocol::{CloseReason, Connection, ConnectionConfig, EncodedEvent, EngineSid, Event, Message, Packet};

use super::link::{CloseCause, Link, Transport};
use super::outbox::Frame;
use super::plain::Plain;
use super::resume::Connected;
use super::session::{Pulled, SessionSocket};
use super::stats::ServiceStats;
use super::telling::Told;
use super::{Inner, affinity, hooks, release};
use crate::app::{PlainHandler, RequestInfo};
use crate::security::events::SecurityEvent;
use crate::security::guard::{Budget, Place};

/// Bytes that wait to be written to one connection; beyond them it is not read, since answers would only add to them.
const UNWRITTEN_BYTES_MAX: usize = 2 << 20;
/// A client that is let go leaves with no more than this unwritten, in bytes: what is written at the end takes it along.
const LEAVE_UNWRITTEN_BYTES_MAX: usize = 64 << 10;
/// A client that is to leave is looked at again after this long: what its transport has taken in may not be known to be
/// readable yet, and is once the clock, which shares a wait with the sockets, has gone off.
const LEAVE_PAUSE: Duration = Duration::from_millis(20);
/// Pulls from the history in one go, before others get their turn.
const PULLS_MAX: usize = 4;

/// What a task in flight came to.
pub(crate) enum Done {
    /// A CONNECT.
    Connect(Arc<crate::app::Namespace>, Box<Connected>),
    /// A handler, and the bytes of its arguments.
    Handler(usize),
}

/// One Engine.IO session.
///
/// Invariants: `sockets` are those whose CONNECT was accepted; the session is in the registry and counted as active until
/// it is released; dropped, it releases its sockets.
pub(crate) struct Session {
    pub(crate) service: Arc<Inner>,
    pub(crate) link: Arc<Link>,
    pub(crate) sid: EngineSid,
    pub(crate) request: Arc<RequestInfo>,
    pub(super) connection: Connection,
    pub(super) sockets: Vec<Arc<SessionSocket>>,
    /// Those that the server has ended: the client is in their namespaces no more, but has not been written so yet.
    dismissed: Vec<Arc<SessionSocket>>,
    /// Packets that came but may not be handled yet. Bounded by one polling payload or one wake's frames.
    inbox: VecDeque<Packet>,
    /// Refusals of CONNECT: at most one for each CONNECT handled.
    pub(super) control: Vec<Bytes>,
    /// It speaks Engine.IO alone.
    plain: Option<Box<Plain>>,
    /// CONNECTs and handlers in flight; allocated when there is a first one.
    work: Option<Box<FuturesUnordered<BoxFuture<'static, Done>>>>,
    handlers_in_flight: usize,
    handlers_bytes: usize,
    pub(super) started: Instant,
    /// What is left of this client's messages and bytes.
    budget: Budget,
    /// It has sent more than it may: the connection ends.
    over_limit: bool,
    /// Whether the log was told that the connection stands.
    pub(super) told: Option<Box<Told>>,
    /// When the first of its tokens expires.
    expires: Option<Instant>,
    /// From then on the client, which is to leave, goes as soon as nothing is unanswered.
    leaves: Option<Instant>,
    /// Its place among the connections of its address.
    _place: Place,
    /// Under which transport it counts as active; `None` once it is released.
    counted_as: Option<Transport>,
}

impl Session {
    /// A session that has just been opened.
    pub(crate) fn new(
        service: Arc<Inner>,
        link: Arc<Link>,
        request: Arc<RequestInfo>,
        place: Place,
        plain: Option<Arc<PlainHandler>>,
    ) -> Self {
        let config = ConnectionConfig {
            ping_interval_ms: millis(service.config.ping_interval),
            ping_timeout_ms: millis(service.config.ping_timeout),
            // Without namespaces there is none to join.
            connect_timeout_ms: plain.as_ref().map_or_else(|| millis(service.config.connect_timeout), |_| u64::MAX),
            max_payload: service.config.max_http_buffer_size,
            ..ConnectionConfig::default()
        };
        let sid = affinity::mint(&service.sid_key(), service.cluster.incarnation());
        service.registry.insert(&sid, Arc::clone(&link));
        let counted_as = link.transport();
        ServiceStats::one(&service.stats.connections_total);
        ServiceStats::one(service.stats.active(counted_as));
        ServiceStats::one(&service.stats.connections_handshake_active);
        Self {
            sid,
            request,
            connection: Connection::new(config, 0),
            sockets: Vec::new(),
            dismissed: Vec::new(),
            inbox: VecDeque::new(),
            control: Vec::new(),
            plain: plain.map(|answer| Box::new(Plain::new(answer))),
            work: None,
            handlers_in_flight: 0,
            handlers_bytes: 0,
            started: Instant::now(),
            budget: Budget::full(Instant::now()),
            over_limit: false,
            told: None,
            expires: None,
            leaves: None,
            _place: place,
            counted_as: Some(counted_as),
            link,
            service,
        }
    }

    /// The handshake.
    pub(crate) fn open_packet(&self) -> Packet {
        let config = &self.service.config;
        let sid = self.sid.to_string();
        let upgradable =
            self.link.transport() == Transport::Polling && config.transports.contains(&Transport::WebSocket);
        let hint = affinity::hint(&self.service);
        OpenPacket {
            sid: &sid,
            upgrades: if upgradable { &["websocket"] } else { &[] },
            ping_interval_ms: millis(config.ping_interval),
            ping_timeout_ms: millis(config.ping_timeout),
            max_payload: config.max_http_buffer_size as u64,
            hint: hint.as_ref().map(|(name, value)| Hint { name, value }),
        }
        .to_packet()
    }

    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// The session goes on over a WebSocket.
    pub(crate) fn upgraded(&mut self) {
        self.link.upgraded();
        if let Some(before) = self.counted_as.replace(Transport::WebSocket) {
            ServiceStats::less(self.service.stats.active(before));
        }
        ServiceStats::one(self.service.stats.active(Transport::WebSocket));
        ServiceStats::one(&self.service.stats.upgrades_total);
        self.tell_upgraded();
    }

    // ---- in ----

    /// Takes a packet; it is handled by the next [`Session::advance`].
    pub(crate) fn receive(&mut self, packet: Packet) {
        let bytes = match &packet {
            Packet::Message(message) => {
                ServiceStats::add(&self.service.stats.bytes_in_total, message.len() as u64);
                self.service.stats.distributions.message_bytes.observe(message.len() as u64);
                message.len()
            }
            Packet::Ping(probe) | Packet::Pong(probe) => probe.len(),
            _ => 0,
        };
        if self.spend(bytes) {
            self.inbox.push_back(packet);
        }
    }

    /// Takes something that costs like a message out of what the client may send; false: it is over its limit, and what
    /// comes before the end of the connection is not looked at.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        if self.over_limit {
            // Told and counted once.
            return false;
        }
        if let Err(scope) = self.service.guard.spend(&mut self.budget, bytes) {
            self.over_limit = true;
            self.service.guard.rate_limited(scope, self.request.remote.ip());
            self.link.close(CloseCause::RateLimited);
        }
        !self.over_limit
    }

    /// Whether its client is in no namespace, nor about to be.
    pub(super) fn is_new(&self) -> bool {
        self.sockets.is_empty() && self.work.as_ref().is_none_or(|work| work.is_empty())
    }

    /// Handles what has been received, as far as handlers in flight and unwritten bytes allow.
    pub(crate) fn advance(&mut self) {
        if let Some(cause) = self.link.close_cause() {
            #[cfg(feature = "planted-bugs")]
            super::planted::closing(self, cause);
            self.connection.close(cause.reason());
        }
        self.part_with_dismissed();
        while self.connection.closed().is_none() && self.may_handle() {
            let Some(packet) = self.inbox.pop_front() else { break };
            let packet = match (packet, &mut self.plain) {
                (Packet::Message(message), Some(plain))
                    if message.len() <= self.service.config.max_http_buffer_size =>
                {
                    plain.take(message);
                    continue;
                }
                (packet, _) => packet,
            };
            let now = self.now_ms();
            // An error comes as an event too.
            let _ = self.connection.handle_packet(now, packet);
            while let Some(event) = self.connection.poll_event() {
                if !matches!(event, Event::Closed(_)) {
                    self.route(event);
                }
            }
        }
        if self.inbox.is_empty() && self.inbox.capacity() > 64 {
            self.inbox = VecDeque::new();
        }
    }

    /// The client is out of the namespaces whose sessions the server has ended; what it has in flight for them is dropped.
    fn part_with_dismissed(&mut self) {
        while let Some(at) = self.sockets.iter().position(|socket| socket.is_dismissed()) {
            let socket = self.sockets.remove(at);
            self.connection.namespace_closed(socket.namespace.name());
            ServiceStats::less(&self.service.stats.sockets_active);
            hooks::farewell(&socket, CloseReason::ServerNamespaceDisconnect, release::nothing_left);
            self.dismissed.push(socket);
        }
    }

    fn may_handle(&self) -> bool {
        // A handler that waits for its client's ack does not keep that ack from being read.
        let asks: usize = self.sockets.iter().map(|socket| socket.asks.len()).sum();
        self.handlers_in_flight.saturating_sub(asks) < self.service.config.handlers_in_flight_max
            && self.handlers_bytes < self.service.config.handlers_bytes_max
            && self.unwritten_bytes() < UNWRITTEN_BYTES_MAX
    }

    fn unwritten_bytes(&self) -> usize {
        let plain = self.plain.as_ref().map_or(0, |plain| plain.bytes());
        self.sockets.iter().chain(&self.dismissed).map(|socket| socket.outbox.bytes()).sum::<usize>() + plain
    }

    /// Ends a session that is to leave once nothing that its client asked is unanswered. Its transport has been read as far
    /// as there was something to read.
    pub(crate) fn leave_if_quiet(&mut self) {
        let Some(cause) = self.link.leave_cause() else { return };
        let now = Instant::now();
        let is_due = *self.leaves.get_or_insert(now + LEAVE_PAUSE) <= now;
        let works = self.work.as_ref().is_some_and(|work| !work.is_empty());
        if is_due && self.inbox.is_empty() && !works && self.unwritten_bytes() <= LEAVE_UNWRITTEN_BYTES_MAX {
            self.link.close(cause);
        }
    }

    /// Whether the transport may be read: all that was received is handled.
    pub(crate) fn may_read(&self) -> bool {
        self.inbox.is_empty() && self.may_handle()
    }

    /// Whether packets wait to be handled.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Why the session has ended, if it has.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.connection.closed()
    }

    /// The transport says that it is over.
    pub(crate) fn close(&mut self, reason: CloseReason) -> CloseReason {
        self.connection.close(reason)
    }

    /// When the protocol's clock has something to do.
    pub(crate) fn deadline(&self) -> Option<tokio::time::Instant> {
        let protocol = self.connection.poll_timeout().map(|at| self.started + Duration::from_millis(at));
        // Once it is due, what happens to the session says when to look, not the clock.
        let leaves = self.leaves.filter(|leaves| *leaves > Instant::now());
        protocol.into_iter().chain(self.expires).chain(leaves).min().map(tokio::time::Instant::from_std)
    }

    /// The client's token is good until then; with several, the first that expires ends the connection.
    pub(super) fn expires_at(&mut self, expires: Instant) {
        self.expires = Some(self.expires.map_or(expires, |known| known.min(expires)));
    }

    /// Lets the protocol look at the clock.
    pub(crate) fn handle_timeout(&mut self) {
        let now = self.now_ms();
        self.connection.handle_timeout(now);
        if self.sockets.is_empty() && self.connection.closed() == Some(CloseReason::ForcedServerClose) {
            // It never joined a namespace.
            ServiceStats::one(&self.service.stats.handshake_timeouts_total);
        }
        if self.expires.is_some_and(|expires| expires <= Instant::now()) {
            // It comes back with a new one, or is told why not.
            self.service.guard.event(SecurityEvent::TokenExpired, self.request.remote.ip(), "a client's token expired");
            self.expires = None;
            self.link.close(CloseCause::TokenExpired);
        }
    }

    // ---- handlers in flight ----

    pub(super) fn spawn_connect(&mut self, work: BoxFuture<'static, Done>) {
        self.work.get_or_insert_with(Box::default).push(work);
    }

    pub(super) fn spawn_handler(&mut self, bytes: usize, work: BoxFuture<'static, Done>) {
        self.handlers_in_flight += 1;
        self.handlers_bytes += bytes;
        self.work.get_or_insert_with(Box::default).push(work);
    }

    /// Resolves when something in flight is done; never when nothing is. Cancel-safe.
    pub(crate) async fn work_done(&mut self) -> Done {
        match &mut self.work {
            Some(work) => match work.next().await {
                Some(done) => done,
                None => {
                    self.work = None;
                    std::future::pending().await
                }
            },
            None => std::future::pending().await,
        }
    }

    /// Takes in what is done.
    pub(crate) fn finish(&mut self, done: Done) {
        match done {
            Done::Connect(namespace, connected) => self.connected(&namespace, *connected),
            Done::Handler(bytes) => {
                self.handlers_in_flight -= 1;
                self.handlers_bytes -= bytes;
            }
        }
    }

    // ---- out ----

    /// Moves what is to be written to `out`, up to about `bytes_max`; true: there is more.
    pub(crate) fn collect(&mut self, out: &mut Vec<Frame>, bytes_max: usize) -> bool {
        while let Some(packet) = self.connection.poll_transmit() {
            if let Message::Text(text) = packet.to_websocket() {
                out.push(own(text));
            }
        }
        out.extend(self.control.drain(..).map(own));
        let mut room = bytes_max;
        if let Some(plain) = &mut self.plain {
            room = room.saturating_sub(plain.collect(out, room));
        }
        let mut pulls = 0;
        let mut lost = None;
        // Before those that the client may have come back with.
        for socket in &self.dismissed {
            room = room.saturating_sub(socket.outbox.take(out, room));
        }
        self.dismissed.retain(|socket| !socket.outbox.is_empty());
        for socket in &self.sockets {
            loop {
                let taken = socket.outbox.take(out, room);
                room = room.saturating_sub(taken);
                if room == 0 {
                    break;
                }
                if pulls == PULLS_MAX {
                    room = 0;
                    break;
                }
                pulls += 1;
                match socket.pull() {
                    Pulled::Again => {}
                    Pulled::Live | Pulled::Over => break,
                    Pulled::Hole => {
                        tracing::info!(sid = ?self.sid, "a slow client fell behind the retained history");
                        lost = Some(CloseCause::Hole);
                        break;
                    }
                    Pulled::Gone => {
                        lost = Some(CloseCause::Fenced);
                        break;
                    }
                }
            }
        }
        if let Some(cause) = lost {
            // The client is told the truth when it resumes.
            self.link.close(cause);
        }
        room == 0
    }

    /// Ends the session: its sockets are released at once, before the transport has said goodbye.
    pub(crate) fn release(&mut self) {
        if self.counted_as.is_some() {
            self.tell_closed(self.end());
        }
        let reason = self.end();
        for socket in self.sockets.drain(..) {
            hooks::farewell(&socket, reason, release::disconnect);
            ServiceStats::less(&self.service.stats.sockets_active);
        }
        self.work = None;
        if let Some(transport) = self.counted_as.take() {
            let stats = &self.service.stats;
            ServiceStats::less(stats.active(transport));
            ServiceStats::less(if self.told.is_some() {
                &stats.connections_open_active
            } else {
                &stats.connections_handshake_active
            });
            ServiceStats::one(&stats.connections_closing_active);
            self.service.stats.session_closed(self.end());
        }
    }

    /// Why it ended. One that is dropped before it did was cut off with its transport's task.
    fn end(&self) -> CloseReason {
        self.connection.closed().unwrap_or(CloseReason::TransportClose)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.release();
        ServiceStats::less(&self.service.stats.connections_closing_active);
        self.service.registry.remove(&self.sid);
    }
}

fn own(text: Bytes) -> Frame {
    Frame::Own(EncodedEvent { text, attachments: Vec::new() })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
