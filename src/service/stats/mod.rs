//! Counters of the service floor since start; read by the metrics page.

mod events;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vedfolnir_protocol::CloseReason;

use super::link::Transport;
use super::outbox::Frame;
use crate::tls::HandshakeFailureKind;

pub use events::EventCounts;
pub use vedfolnir_cluster::Distribution;

/// Counters; those called `active` go up and down, all others only up.
#[derive(Debug, Default)]
pub struct ServiceStats {
    /// Engine.IO sessions now on polling.
    pub connections_polling_active: AtomicU64,
    /// Engine.IO sessions now on WebSocket.
    pub connections_websocket_active: AtomicU64,
    /// Engine.IO sessions now that are in no namespace yet.
    pub connections_handshake_active: AtomicU64,
    /// Engine.IO sessions now that have been in a namespace.
    pub connections_open_active: AtomicU64,
    /// WebSockets now that probe whether a session on polling can go on over them.
    pub connections_upgrading_active: AtomicU64,
    /// Engine.IO sessions that have ended, and whose transport has not.
    pub connections_closing_active: AtomicU64,
    /// Engine.IO sessions opened.
    pub connections_total: AtomicU64,
    /// Requests that are none of the protocol: a wrong version, an unknown transport or session.
    pub connections_failed_total: AtomicU64,
    /// Handshakes refused because the node cannot serve now.
    pub connections_unavailable_total: AtomicU64,
    /// CONNECTs to a namespace that is not there, or that its application refused.
    pub connects_refused_total: AtomicU64,
    /// Engine.IO sessions that ended, by [`CloseReason::ALL`].
    pub closed: [AtomicU64; CloseReason::ALL.len()],
    /// Handshakes refused because the node has all the connections that it takes.
    pub connections_full_total: AtomicU64,
    /// Sessions that went from polling to WebSocket.
    pub upgrades_total: AtomicU64,
    /// TCP connections now.
    pub tcp_active: AtomicU64,
    /// TCP connections closed at once because there were too many.
    pub tcp_refused_total: AtomicU64,
    /// Connections that did not say within the time what they were to say first.
    pub handshake_timeouts_total: AtomicU64,
    /// TLS handshakes that failed, by [`HandshakeFailureKind::ALL`].
    pub tls_failures: [AtomicU64; HandshakeFailureKind::ALL.len()],
    /// Requests of clients that came to this node although another one owns their session.
    pub forwarded_total: AtomicU64,
    /// Those of them that the owner refused or that did not reach it.
    pub forward_refusals_total: AtomicU64,
    /// Requests that other nodes passed on to this one.
    pub forwarded_here_total: AtomicU64,
    /// Namespace sockets now.
    pub sockets_active: AtomicU64,
    /// Events from clients.
    pub events_in_total: AtomicU64,
    /// Acks from clients.
    pub acks_in_total: AtomicU64,
    /// Acks from clients that nobody waited for (any more).
    pub acks_unexpected_total: AtomicU64,
    /// Events to clients whose ack came in time.
    pub asks_answered_total: AtomicU64,
    /// Events to clients whose ack did not come in time.
    pub asks_timed_out_total: AtomicU64,
    /// Events to clients whose connection ended before the ack.
    pub asks_disconnected_total: AtomicU64,
    /// Events with an ack that were not sent: too many waited, or the client would not have accepted it.
    pub asks_refused_total: AtomicU64,
    /// Events from clients, by name.
    pub events_in: EventCounts,
    /// Events written to clients.
    pub events_out_total: AtomicU64,
    /// Acks written to clients.
    pub acks_out_total: AtomicU64,
    /// Answers to CONNECT and the like, written to clients.
    pub control_out_total: AtomicU64,
    /// Durable events handed to sockets, live and replayed.
    pub deliveries_total: AtomicU64,
    /// Durable events handed to sockets from the history.
    pub deliveries_replayed_total: AtomicU64,
    /// Payload bytes from clients.
    pub bytes_in_total: AtomicU64,
    /// Payload bytes to clients.
    pub bytes_out_total: AtomicU64,
    /// New sessions.
    pub sessions_registered_total: AtomicU64,
    /// Resumes under way.
    pub resumes_active: AtomicU64,
    /// New clients that were told to come back later, because there was room only for those who come back.
    pub newcomers_postponed_total: AtomicU64,
    /// Resumes that gave the client its session back.
    pub resumes_recovered_total: AtomicU64,
    /// Resumes of a session that is not there (any more).
    pub resumes_unknown_total: AtomicU64,
    /// Resumes that would have had a hole.
    pub resumes_hole_total: AtomicU64,
    /// Resumes with an offset that is none of this history.
    pub resumes_bad_offset_total: AtomicU64,
    /// Resumes as another user or into another namespace.
    pub resumes_foreign_total: AtomicU64,
    /// Resumes whose session got a newer owner meanwhile.
    pub resumes_epoch_moved_total: AtomicU64,
    /// Sockets that fell behind and went on from the history.
    pub overflows_total: AtomicU64,
    /// Volatile events not handed to a socket.
    pub volatile_dropped_total: AtomicU64,
    /// Volatile events handed to sockets.
    pub volatile_delivered_total: AtomicU64,
    /// Publishes acknowledged as committed: of clients, and by the HTTP API.
    pub publishes_acked_total: AtomicU64,
    /// Publishes that were refused or not acknowledged in time.
    pub publishes_failed_total: AtomicU64,
    /// Publishes whose idempotency key had been used for the same before.
    pub publishes_repeated_total: AtomicU64,
    /// Transports closed because the session has a newer owner.
    pub fenced_total: AtomicU64,
    /// Connections that an embedding application says did not come about.
    pub application_connections_failed_total: AtomicU64,
    /// Messages that an embedding application says it could not handle.
    pub application_messages_failed_total: AtomicU64,
    /// How they are distributed.
    pub distributions: Distributions,
}

/// Distributions of times and sizes.
#[derive(Debug)]
pub struct Distributions {
    /// Events of clients: until their handler was done, microseconds.
    pub processing: Distribution,
    /// HTTP requests, long polls left out: until they were answered, microseconds.
    pub http_answers: Distribution,
    /// Events that asked for an ack: until it stood in the client's queue, microseconds.
    pub acks: Distribution,
    /// Clients that came back with a session: until it was theirs or refused, microseconds.
    pub resumes: Distribution,
    /// Messages of clients, bytes.
    pub message_bytes: Distribution,
    /// Durable events: how many sockets of this node each was for.
    pub fan_out: Distribution,
}

impl Default for Distributions {
    fn default() -> Self {
        Self {
            processing: Distribution::of_times(),
            http_answers: Distribution::of_times(),
            acks: Distribution::of_times(),
            resumes: Distribution::of_times(),
            message_bytes: Distribution::of_sizes(),
            fan_out: Distribution::of_counts(),
        }
    }
}

impl ServiceStats {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn one(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    pub(crate) fn less(counter: &AtomicU64) {
        counter.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn active(&self, transport: Transport) -> &AtomicU64 {
        match transport {
            Transport::Polling => &self.connections_polling_active,
            Transport::WebSocket => &self.connections_websocket_active,
        }
    }

    pub(crate) fn tls_failed(&self, kind: HandshakeFailureKind) {
        let place = HandshakeFailureKind::ALL.iter().position(|known| *known == kind);
        if let Some(counter) = place.and_then(|place| self.tls_failures.get(place)) {
            Self::one(counter);
        }
    }

    /// An event came to an application by another way than this service.
    pub(crate) fn came_in(&self, event: &str, bytes: usize) {
        Self::one(&self.events_in_total);
        self.events_in.count(event);
        Self::add(&self.bytes_in_total, bytes as u64);
        self.distributions.message_bytes.observe(bytes as u64);
    }

    /// An event's handler is done, and its ack, if one was asked for, stands in the client's queue.
    pub(crate) fn processed(&self, time: Duration, acked: bool) {
        self.distributions.processing.observe_time(time);
        if acked {
            self.distributions.acks.observe_time(time);
        }
    }

    /// An Engine.IO session is over.
    pub(crate) fn session_closed(&self, reason: CloseReason) {
        let place = CloseReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = place.and_then(|place| self.closed.get(place)) {
            Self::one(counter);
        }
    }

    /// These are written to a client.
    pub(crate) fn count_out(&self, frames: &[Frame]) {
        let (mut events, mut acks, mut control, mut bytes) = (0, 0, 0, 0);
        for frame in frames {
            bytes += frame.len() as u64;
            let Some(event) = frame.event() else { continue };
            // An Engine.IO message (`4`) and the packet's type in it (Socket.IO protocol v5): EVENT and BINARY_EVENT, ACK and
            // BINARY_ACK.
            match event.text.get(..2) {
                Some(b"42" | b"45") => events += 1,
                Some(b"43" | b"46") => acks += 1,
                _ => control += 1,
            }
        }
        Self::add(&self.bytes_out_total, bytes);
        for (counter, count) in
            [(&self.events_out_total, events), (&self.acks_out_total, acks), (&self.control_out_total, control)]
        {
            if count > 0 {
                Self::add(counter, count);
            }
        }
    }

    /// Engine.IO sessions now, on either transport.
    #[must_use]
    pub fn connections_active(&self) -> u64 {
        self.connections_polling_active.load(Ordering::Relaxed)
            + self.connections_websocket_active.load(Ordering::Relaxed)
    }
}
