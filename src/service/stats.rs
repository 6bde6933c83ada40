//! Counters of the service floor since start; read by the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::link::Transport;
use crate::tls::HandshakeFailureKind;

/// Upper bounds of the processing-time buckets, in microseconds; one more bucket holds the rest.
pub const PROCESSING_BUCKETS_US: [u64; 10] = [10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 1_000_000];

/// Counters; those called `active` go up and down, all others only up.
#[derive(Debug, Default)]
pub struct ServiceStats {
    /// Engine.IO sessions now on polling.
    pub connections_polling_active: AtomicU64,
    /// Engine.IO sessions now on WebSocket.
    pub connections_websocket_active: AtomicU64,
    /// Engine.IO sessions opened.
    pub connections_total: AtomicU64,
    /// Handshakes refused.
    pub connections_failed_total: AtomicU64,
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
    /// Events and acks written to clients.
    pub events_out_total: AtomicU64,
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
    /// Publishes acknowledged as committed.
    pub publishes_acked_total: AtomicU64,
    /// Publishes that were refused or not acknowledged in time.
    pub publishes_failed_total: AtomicU64,
    /// Transports closed because the session has a newer owner.
    pub fenced_total: AtomicU64,
    /// Events handled, by time until their handler was done, microseconds: see [`PROCESSING_BUCKETS_US`].
    pub processing_buckets: [AtomicU64; PROCESSING_BUCKETS_US.len() + 1],
    /// Sum of those times, microseconds.
    pub processing_sum_us: AtomicU64,
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

    pub(crate) fn processed(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = PROCESSING_BUCKETS_US.iter().position(|bound| us <= *bound);
        Self::one(&self.processing_buckets[bucket.unwrap_or(PROCESSING_BUCKETS_US.len())]);
        Self::add(&self.processing_sum_us, us);
    }

    /// Engine.IO sessions now, on either transport.
    #[must_use]
    pub fn connections_active(&self) -> u64 {
        self.connections_polling_active.load(Ordering::Relaxed)
            + self.connections_websocket_active.load(Ordering::Relaxed)
    }
}
