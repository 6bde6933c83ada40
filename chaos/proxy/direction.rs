//! One direction of the line between two nodes: decides each packet's fate and holds those that are on their way.
//!
//! Packets keep their order unless the policy has jitter or reorders: a packet is never due before the one ahead of it,
//! and what is due leaves before a packet that need not wait.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{SockAddr, SockRef};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::policy::{Counters, Policy, count};

/// Packets that are on their way in one direction; further ones are dropped, as a router does.
const QUEUE_PACKETS_MAX: usize = 16_384;
/// Bytes that are on their way in one direction.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// What waits for its turn on a line of limited bandwidth, in time that the line needs for it.
const BACKLOG_MS_MAX: u64 = 500;
/// A packet that is to be overtaken is held back for up to this long.
const HOLD_MS_MAX: u64 = 20;

/// Where packets come out of the proxy.
#[derive(Clone)]
pub(super) struct Outlet {
    /// The socket that the receiver takes for its peer.
    pub(super) socket: Arc<UdpSocket>,
    /// The receiver.
    pub(super) to: SocketAddr,
}

impl Outlet {
    /// Past tokio, which does not know that a fresh socket can be written to until it has polled it.
    pub(super) fn send(&self, packet: &[u8], counters: &Counters) {
        match SockRef::from(&*self.socket).send_to(packet, &SockAddr::from(self.to)) {
            Ok(_) => count(&counters.forwarded),
            // The kernel's queue is full, or whoever was there is gone: packets get lost.
            Err(_) => count(&counters.overflowed),
        }
    }
}

/// See the module.
pub(super) struct Direction {
    line: Mutex<Line>,
    /// Something is due earlier than the deliverer knows.
    earlier: Notify,
    counters: Arc<Counters>,
}

struct Line {
    policy: Policy,
    random: fastrand::Rng,
    queue: BinaryHeap<Reverse<Packet>>,
    queued_bytes: usize,
    /// The number of the next packet.
    next: u64,
    /// The greatest number that has left.
    left: Option<u64>,
    /// When the last packet that keeps its place is due.
    last_due: Instant,
    /// When a line of limited bandwidth has carried what it was given.
    free_at: Instant,
}

struct Packet {
    due: Instant,
    number: u64,
    bytes: Box<[u8]>,
    outlet: Outlet,
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.number) == (other.due, other.number)
    }
}

impl Eq for Packet {}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl Direction {
    /// A line with this policy whose chances are drawn from the seed. [`Direction::deliver`] must run for it.
    pub(super) fn new(policy: Policy, seed: u64, counters: Arc<Counters>) -> Self {
        let now = Instant::now();
        let line = Line {
            policy,
            random: fastrand::Rng::with_seed(seed),
            queue: BinaryHeap::new(),
            queued_bytes: 0,
            next: 0,
            left: None,
            last_due: now,
            free_at: now,
        };
        Self { line: Mutex::new(line), earlier: Notify::new(), counters }
    }

    /// Changes what happens from now on. A cut loses what is on its way; on a perfect line it arrives at once.
    pub(super) fn change(&self, change: impl FnOnce(&mut Policy)) {
        let mut line = self.line.lock();
        change(&mut line.policy);
        let now = Instant::now();
        if line.policy.cut {
            for _ in 0..line.queue.len() {
                count(&self.counters.dropped);
            }
            line.queue.clear();
            line.queued_bytes = 0;
        } else if line.policy == Policy::default() {
            while line.send_first(&self.counters) {}
        }
        if line.policy.cut || line.policy == Policy::default() {
            line.last_due = now;
            line.free_at = now;
        }
    }

    /// A packet came in that is to go out there.
    pub(super) fn pass(&self, packet: &[u8], outlet: &Outlet) {
        let mut line = self.line.lock();
        let line = &mut *line;
        let now = Instant::now();
        if line.policy.cut || line.chance(line.policy.loss) {
            count(&self.counters.dropped);
            return;
        }
        line.send_due(now, &self.counters);
        let earliest = line.queue.peek().map(|Reverse(first)| first.due);
        line.pass(now, packet, outlet, &self.counters);
        if line.chance(line.policy.duplicate) {
            count(&self.counters.duplicated);
            line.pass(now, packet, outlet, &self.counters);
        }
        if line.queue.peek().is_some_and(|Reverse(first)| earliest.is_none_or(|earliest| first.due < earliest)) {
            self.earlier.notify_one();
        }
    }

    /// Sends what is due, for as long as it runs.
    pub(super) async fn deliver(self: Arc<Self>) {
        loop {
            let next = {
                let mut line = self.line.lock();
                line.send_due(Instant::now(), &self.counters);
                line.queue.peek().map(|Reverse(packet)| packet.due)
            };
            match next {
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }
}

impl Line {
    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.f64() < share
    }

    /// Sends one packet now or when it is due.
    fn pass(&mut self, now: Instant, packet: &[u8], outlet: &Outlet, counters: &Counters) {
        let Some(due) = self.due(now, packet.len()) else {
            count(&counters.overflowed);
            return;
        };
        let number = self.next;
        self.next += 1;
        if due <= now {
            self.leave(number, packet, outlet, counters);
            return;
        }
        if self.queue.len() >= QUEUE_PACKETS_MAX || self.queued_bytes + packet.len() > QUEUE_BYTES_MAX {
            count(&counters.overflowed);
            return;
        }
        count(&counters.delayed);
        self.queued_bytes += packet.len();
        self.queue.push(Reverse(Packet { due, number, bytes: packet.into(), outlet: outlet.clone() }));
    }

    /// When a packet arrives; `None` if it waits too long for the line.
    fn due(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let mut due = now;
        if let Some(bytes_per_second) = self.policy.bytes_per_second {
            let free_at = self.free_at.max(now);
            if free_at - now > Duration::from_millis(BACKLOG_MS_MAX) {
                return None;
            }
            self.free_at = free_at + time_for(bytes, bytes_per_second);
            due = self.free_at;
        }
        let Policy { delay, jitter, reorder, .. } = self.policy;
        due += delay.saturating_sub(jitter);
        let held = self.chance(reorder);
        if held {
            due += Duration::from_millis(self.random.u64(1..=HOLD_MS_MAX));
        }
        if !jitter.is_zero() {
            due += (delay.min(jitter) + jitter).mul_f64(self.random.f64());
        }
        if held || !jitter.is_zero() {
            return Some(due);
        }
        self.last_due = self.last_due.max(due);
        Some(self.last_due)
    }

    fn send_due(&mut self, now: Instant, counters: &Counters) {
        while self.queue.peek().is_some_and(|Reverse(first)| first.due <= now) {
            self.send_first(counters);
        }
    }

    /// Whether there was one.
    fn send_first(&mut self, counters: &Counters) -> bool {
        let Some(Reverse(packet)) = self.queue.pop() else { return false };
        self.queued_bytes -= packet.bytes.len();
        self.leave(packet.number, &packet.bytes, &packet.outlet, counters);
        true
    }

    fn leave(&mut self, number: u64, packet: &[u8], outlet: &Outlet, counters: &Counters) {
        if self.left.is_some_and(|left| number < left) {
            count(&counters.reordered);
        }
        self.left = self.left.max(Some(number));
        outlet.send(packet, counters);
    }
}

/// What a line of this bandwidth needs for so many bytes.
pub(super) fn time_for(bytes: usize, bytes_per_second: u64) -> Duration {
    Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / bytes_per_second.max(1))
}

/// The chances of each direction are drawn from a seed of its own.
pub(super) fn seed_of(seed: u64, from: usize, to: usize) -> u64 {
    let mixed = seed ^ (from as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (to as u64 + 1).rotate_left(32);
    fastrand::Rng::with_seed(mixed).u64(..)
}
