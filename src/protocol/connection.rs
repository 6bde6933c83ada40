//! One Engine.IO session and its namespaces, whatever the transport: a state machine that its driver feeds and drains.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::close_reason::CloseReason;
use crate::engine_io::packet::{Message, Packet};
use crate::engine_io::payload::PACKETS_PER_PAYLOAD_MAX;
use crate::socket_io::attachment::{ATTACHMENTS_MAX, Complete, Reassembly};
use crate::socket_io::namespace::{Membership, Namespaces};
use crate::socket_io::packet::{self, PacketData};
use crate::timer::{Heartbeat, HeartbeatAction};

/// How many events may wait for `poll_event`: those of one polling payload. A driver that feeds more without draining
/// has its connection closed.
pub const EVENTS_QUEUED_MAX: usize = PACKETS_PER_PAYLOAD_MAX;

/// The settings of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionConfig {
    /// Milliseconds from a pong (or the opening) to the next ping.
    pub ping_interval_ms: u64,
    /// Milliseconds that a pong may take.
    pub ping_timeout_ms: u64,
    /// Milliseconds within which a first namespace must have been joined.
    pub connect_timeout_ms: u64,
    /// Attachments that one packet may have.
    pub attachments_max: usize,
    /// The largest message in bytes.
    pub max_payload: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            connect_timeout_ms: 45_000,
            attachments_max: ATTACHMENTS_MAX,
            max_payload: 1_000_000,
        }
    }
}

/// What a connection tells its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client wants to join; answer with `connect_accepted` or `connect_refused` and the packet that says so.
    Connect {
        /// Which namespace.
        namespace: Box<str>,
        /// The raw JSON object that it authenticates with.
        auth: Option<Bytes>,
    },
    /// An event from a joined namespace.
    Event {
        /// Which namespace.
        namespace: Box<str>,
        /// The raw JSON array `["name",…]`.
        args: Bytes,
        /// What the placeholders in it stand for.
        attachments: Vec<Bytes>,
        /// The id to acknowledge it with.
        ack_id: Option<u64>,
    },
    /// An acknowledgement; ignore ids that nobody waits for.
    Ack {
        /// Which namespace.
        namespace: Box<str>,
        /// Which of the server's events it answers.
        id: u64,
        /// The raw JSON array.
        args: Bytes,
        /// What the placeholders in it stand for.
        attachments: Vec<Bytes>,
    },
    /// The client left the namespace: its session ends. It may CONNECT again.
    Disconnect {
        /// Which namespace.
        namespace: Box<str>,
    },
    /// The connection has ended, once and as the last event. The driver closes the transport.
    Closed(CloseReason),
}

/// One Engine.IO session.
///
/// Invariants: after `Closed` is queued nothing else is, and every input is refused; packets of a namespace become
/// events only while it is joined; attachments become part of the packet that announced them or close the connection.
#[derive(Debug)]
pub struct Connection {
    config: ConnectionConfig,
    heartbeat: Heartbeat,
    /// Until a first namespace is joined.
    connect_deadline_ms: Option<u64>,
    ping_due: bool,
    closed: Option<CloseReason>,
    namespaces: Namespaces,
    reassembly: Option<Box<Reassembly>>,
    events: EventQueue,
}

impl Connection {
    /// A session that has just been opened.
    #[must_use]
    pub fn new(config: ConnectionConfig, now_ms: u64) -> Self {
        Self {
            heartbeat: Heartbeat::new(config.ping_interval_ms, now_ms),
            connect_deadline_ms: Some(now_ms.saturating_add(config.connect_timeout_ms)),
            ping_due: false,
            closed: None,
            namespaces: Namespaces::default(),
            reassembly: None,
            events: EventQueue::default(),
            config,
        }
    }

    /// Why it has ended, if it has.
    #[must_use]
    pub const fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Whether the client is in `namespace`.
    #[must_use]
    pub fn is_connected(&self, namespace: &str) -> bool {
        self.namespaces.get(namespace) == Some(Membership::Connected)
    }

    /// The namespaces that the client is in.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.connected()
    }

    // ---- input from the transport and the clock ----

    /// Takes an Engine.IO packet. The probe of an upgrade never comes here: it belongs to the transport.
    ///
    /// An error says that the connection has ended; `poll_event` gives the same reason once as `Event::Closed`.
    pub fn handle_packet(&mut self, now_ms: u64, packet: Packet) -> Result<(), CloseReason> {
        if let Some(reason) = self.closed {
            return Err(reason);
        }
        match packet {
            Packet::Message(message) => self.handle_message(now_ms, message),
            Packet::Pong(_) => {
                self.heartbeat.handle_pong(self.config.ping_interval_ms, now_ms);
                Ok(())
            }
            // In version 4 only the server pings.
            Packet::Ping(_) => Err(self.close(CloseReason::TransportError)),
            Packet::Close => Err(self.close(CloseReason::TransportClose)),
            // Nothing that a client says with these has a meaning here; the reference server ignores them too.
            Packet::Noop | Packet::Upgrade | Packet::Open(_) => Ok(()),
        }
    }

    /// Takes a message: the content of a `4` packet or a binary frame.
    ///
    /// An error says that the connection has ended; `poll_event` gives the same reason once as `Event::Closed`.
    pub fn handle_message(&mut self, _now_ms: u64, message: Message) -> Result<(), CloseReason> {
        if let Some(reason) = self.closed {
            return Err(reason);
        }
        if message.len() > self.config.max_payload {
            return Err(self.close(CloseReason::ParseError));
        }
        match (message, self.reassembly.take()) {
            (Message::Binary(attachment), Some(reassembly)) => match reassembly.push(attachment) {
                Ok(complete) => self.handle_complete(complete),
                Err(reassembly) => {
                    self.reassembly = Some(Box::new(reassembly));
                    Ok(())
                }
            },
            (Message::Text(text), None) => match packet::Packet::decode(&text, self.config.attachments_max) {
                Ok(packet) => self.handle_socket_packet(packet),
                Err(_) => Err(self.close(CloseReason::ParseError)),
            },
            // Binary that nothing announced, or text while attachments are due.
            (Message::Binary(_), None) | (Message::Text(_), Some(_)) => Err(self.close(CloseReason::ParseError)),
        }
    }

    /// Acts on deadlines that have passed: a ping becomes due, or the connection ends.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.closed.is_some() {
            return;
        }
        if self.connect_deadline_ms.is_some_and(|deadline| now_ms >= deadline) {
            self.close(CloseReason::ForcedServerClose);
            return;
        }
        match self.heartbeat.handle_timeout(self.config.ping_timeout_ms, now_ms) {
            Some(HeartbeatAction::Ping) => self.ping_due = true,
            #[cfg(feature = "planted-bugs")]
            Some(HeartbeatAction::TimedOut) if crate::planted::is_patient_for_ever() => {
                self.heartbeat = Heartbeat::new(self.config.ping_interval_ms, now_ms);
            }
            Some(HeartbeatAction::TimedOut) => {
                self.close(CloseReason::PingTimeout);
            }
            None => {}
        }
    }

    /// Ends the connection for a reason that the driver knows: its transport closed, the node drains. Only the first
    /// reason counts; it is returned.
    pub fn close(&mut self, reason: CloseReason) -> CloseReason {
        if let Some(first) = self.closed {
            return first;
        }
        self.closed = Some(reason);
        self.ping_due = false;
        self.reassembly = None;
        self.events.push(Event::Closed(reason));
        reason
    }

    // ---- the service's answers ----

    /// The service accepted a CONNECT and has queued its answer: events of the namespace are welcome from now on.
    /// False when no CONNECT was waiting.
    pub fn connect_accepted(&mut self, namespace: &str) -> bool {
        let accepted = self.closed.is_none()
            && self.namespaces.get(namespace) == Some(Membership::Pending)
            && self.namespaces.set(namespace, Membership::Connected);
        if accepted {
            self.connect_deadline_ms = None;
        }
        accepted
    }

    /// The service refused a CONNECT with `44`: the client may try again, until the connect time-out.
    /// False when no CONNECT was waiting.
    pub fn connect_refused(&mut self, namespace: &str) -> bool {
        let pending = self.namespaces.get(namespace) == Some(Membership::Pending);
        if pending {
            self.namespaces.remove(namespace);
        }
        pending
    }

    /// The service sent `41` for a joined namespace: what the client has in flight for it is dropped until it CONNECTs
    /// again. False when it was not joined.
    pub fn namespace_closed(&mut self, namespace: &str) -> bool {
        match self.namespaces.get(namespace) {
            Some(Membership::Connected) => self.namespaces.set(namespace, Membership::Left),
            Some(Membership::Pending) => {
                self.namespaces.remove(namespace);
                true
            }
            Some(Membership::Left) | None => false,
        }
    }

    // ---- output ----

    /// When `handle_timeout` has something to do; none once the connection has ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.closed.is_some() {
            return None;
        }
        let ping = self.heartbeat.deadline_ms();
        Some(self.connect_deadline_ms.map_or(ping, |connect| connect.min(ping)))
    }

    /// A packet of the protocol's own to send: pings. What the service sends goes to the transport directly.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        std::mem::take(&mut self.ping_due).then_some(Packet::PING)
    }

    /// The next event, in the order in which the client caused them.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    // ---- Socket.IO ----

    fn handle_socket_packet(&mut self, packet: packet::Packet) -> Result<(), CloseReason> {
        let membership = self.namespaces.get(&packet.namespace);
        match (&packet.data, membership) {
            (PacketData::Connect(_), None | Some(Membership::Left)) => {
                if !self.namespaces.set(&packet.namespace, Membership::Pending) {
                    return Err(self.close(CloseReason::ForcedServerClose));
                }
            }
            (PacketData::Disconnect, Some(Membership::Connected)) => self.namespaces.remove(&packet.namespace),
            (PacketData::Disconnect, Some(Membership::Left)) => {
                self.namespaces.remove(&packet.namespace);
                return Ok(());
            }
            (PacketData::Event { .. } | PacketData::Ack { .. }, Some(Membership::Connected | Membership::Left)) => {}
            // A second CONNECT, a packet for a namespace that is not joined (yet), a refusal from a client.
            _ => return Err(self.close(CloseReason::ForcedServerClose)),
        }
        match Reassembly::begin(packet) {
            Err(complete) => self.handle_complete(complete),
            Ok(reassembly) => {
                self.reassembly = Some(Box::new(reassembly));
                Ok(())
            }
        }
    }

    fn handle_complete(&mut self, Complete { packet, attachments }: Complete) -> Result<(), CloseReason> {
        let namespace = packet.namespace;
        let event = match packet.data {
            PacketData::Connect(auth) => Event::Connect { namespace, auth },
            PacketData::Disconnect => Event::Disconnect { namespace },
            // The server may have ended the namespace before the packet came or while its attachments were due.
            PacketData::Event { .. } | PacketData::Ack { .. } if !self.is_connected(&namespace) => return Ok(()),
            PacketData::Event { args, ack_id, .. } => Event::Event { namespace, args, attachments, ack_id },
            PacketData::Ack { args, id, .. } => Event::Ack { namespace, id, args, attachments },
            PacketData::ConnectError(_) => return Err(self.close(CloseReason::ForcedServerClose)),
        };
        if self.events.len() >= EVENTS_QUEUED_MAX {
            return Err(self.close(CloseReason::ForcedServerClose));
        }
        self.events.push(event);
        Ok(())
    }
}

/// Events that wait for the driver: the one that a message causes is held inline, so that an idle connection and one
/// that is drained after each message allocate nothing; a payload's further ones go to a queue that is freed when empty.
///
/// Invariant: `rest` holds nothing while `first` is empty.
#[derive(Debug, Default)]
struct EventQueue {
    first: Option<Event>,
    rest: VecDeque<Event>,
}

impl EventQueue {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    fn push(&mut self, event: Event) {
        if self.first.is_none() {
            self.first = Some(event);
        } else {
            self.rest.push_back(event);
        }
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.first.take();
        self.first = self.rest.pop_front();
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        event
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
