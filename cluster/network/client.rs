//! Calls to a peer, over one pooled connection for each address that is dialled when it is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::dial::{CONNECT_TIMEOUT, Dialer};
use super::error::RpcError;
use super::frame::{FRAME_BYTES_MAX, FrameError};
use super::hello::PeerIdentity;
use super::link::{CallError, Link};
use super::stream::{FrameReceiver, FrameSender};
use super::volatile::VolatileQueue;

/// After a failed dial the next one waits this long, doubled with each failure.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// But never longer: a peer that comes back is found at once.
const BACKOFF_MAX: Duration = Duration::from_millis(250);
/// A link to another node than expected is dialled again when it is older than this: the peer may be another since.
const WRONG_NODE_REDIAL_AFTER: Duration = Duration::from_secs(1);
/// Connecting and opening a stream together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

type Dialled = Option<Result<Arc<Link>, RpcError>>;

/// The one connection to an address.
///
/// Invariants: at most one dial is under way; whoever needs the connection meanwhile waits for that dial; a link that
/// is closed, that told the peer another cluster than the node is in now, or that leads to a peer which must not be
/// called any more, is never handed out.
pub(super) struct Slot {
    addr: String,
    dialer: Arc<Dialer>,
    state: Mutex<State>,
    pub(super) volatile: Arc<VolatileQueue>,
}

enum State {
    Idle { failures: u32, not_before: Instant, last: Option<RpcError> },
    Dialling(watch::Receiver<Dialled>),
    Connected(Arc<Link>),
}

impl Slot {
    pub(super) fn new(addr: String, dialer: Arc<Dialer>, volatile_dropped: Arc<AtomicU64>) -> Self {
        let idle = State::Idle { failures: 0, not_before: Instant::now(), last: None };
        Self { addr, dialer, state: Mutex::new(idle), volatile: Arc::new(VolatileQueue::new(volatile_dropped)) }
    }

    /// The connection, dialled if there is none; takes as long as a pause after a failure and a dial at most.
    pub(super) async fn link(self: &Arc<Self>) -> Result<Arc<Link>, RpcError> {
        let mut dial = {
            let mut state = self.state.lock();
            match &*state {
                State::Connected(link) if self.is_usable(link) => return Ok(Arc::clone(link)),
                State::Connected(_) => self.start_dial(&mut state, 0, Instant::now()),
                State::Idle { failures, not_before, .. } => {
                    let (failures, not_before) = (*failures, *not_before);
                    self.start_dial(&mut state, failures, not_before)
                }
                State::Dialling(dial) => dial.clone(),
            }
        };
        match dial.wait_for(Option::is_some).await.map(|dialled| dialled.clone()) {
            Ok(Some(result)) => result,
            // The task that dials ends without a result only together with the runtime.
            Ok(None) | Err(_) => Err(RpcError::unreachable(&self.addr, "this node is stopping")),
        }
    }

    /// A task of its own, so that a caller that gives up does not end the dial for the others.
    fn start_dial(self: &Arc<Self>, state: &mut State, failures: u32, not_before: Instant) -> watch::Receiver<Dialled> {
        let (sender, receiver) = watch::channel(None);
        *state = State::Dialling(receiver.clone());
        let slot = Arc::clone(self);
        tokio::spawn(async move {
            sleep_until(not_before).await;
            let result = slot.dialer.dial(&slot.addr).await.map(Arc::new);
            *slot.state.lock() = match &result {
                Ok(link) => State::Connected(Arc::clone(link)),
                Err(error) => State::Idle {
                    failures: failures.saturating_add(1),
                    not_before: Instant::now() + backoff(failures),
                    last: Some(error.clone()),
                },
            };
            // Nobody waits any more: the state has the result.
            let _ = sender.send(Some(result));
        });
        receiver
    }

    pub(super) fn is_usable(&self, link: &Link) -> bool {
        link.is_open()
            && link.told_cluster == self.dialer.identity.cluster_id()
            && !self.dialer.is_barred_by_now(&link.identity)
    }

    /// The next call dials anew; what is under way on the link goes on.
    fn forget(&self, link: &Arc<Link>) {
        let mut state = self.state.lock();
        if matches!(&*state, State::Connected(current) if Arc::ptr_eq(current, link)) {
            *state = State::Idle { failures: 0, not_before: Instant::now(), last: None };
        }
    }

    fn last_failure(&self) -> Option<RpcError> {
        match &*self.state.lock() {
            State::Idle { last, .. } => last.clone(),
            State::Dialling(_) | State::Connected(_) => None,
        }
    }

    /// Who is at the other end, while there is one.
    pub(super) fn connected_to(&self) -> Option<PeerIdentity> {
        match &*self.state.lock() {
            State::Connected(link) if link.is_open() => Some(link.identity),
            _ => None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(&*self.state.lock(), State::Connected(link) if link.is_open())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.volatile.close();
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.min(8)).min(BACKOFF_MAX)
}

/// A peer at an address; cheap to clone. Nothing is dialled before the first call.
#[derive(Clone)]
pub struct Peer {
    slot: Arc<Slot>,
    expected: Option<u64>,
}

impl Peer {
    pub(super) fn new(slot: Arc<Slot>, expected: Option<u64>) -> Self {
        Self { slot, expected }
    }

    /// HOST:PORT.
    #[must_use]
    pub fn addr(&self) -> &str {
        &self.slot.addr
    }

    /// One request and its answer, connecting included, within `timeout`.
    ///
    /// A request is sent once: it is repeated on a new connection only if the old one was dead before anything was
    /// sent.
    ///
    /// # Errors
    /// [`RpcError::Remote`] if the peer refused; [`RpcError::Timeout`], [`RpcError::Unreachable`] and
    /// [`RpcError::Frame`] leave open whether it was handled; the others were found before it was sent.
    pub async fn request(&self, kind: u8, body: Bytes, timeout: Duration) -> Result<Bytes, RpcError> {
        self.check_length(&body)?;
        let deadline = Instant::now() + timeout;
        let mut again = true;
        loop {
            let link = self.link_before(deadline, timeout).await?;
            match timeout_at(deadline, link.call(kind, body.clone())).await {
                Ok(Err(CallError::NotSent(_))) if again => again = false,
                Ok(result) => return result.map_err(RpcError::from),
                Err(_) => {
                    link.drop_if_silent();
                    return Err(RpcError::Timeout { peer: self.slot.addr.clone(), after: timeout });
                }
            }
        }
    }

    /// Opens a stream of frames in both directions; returns once the opening is under way.
    ///
    /// # Errors
    /// As [`Peer::request`], within two seconds.
    pub async fn open_stream(&self, kind: u8, header: Bytes) -> Result<(FrameSender, FrameReceiver), RpcError> {
        self.check_length(&header)?;
        let deadline = Instant::now() + OPEN_TIMEOUT;
        let mut again = true;
        loop {
            let link = self.link_before(deadline, OPEN_TIMEOUT).await?;
            match timeout_at(deadline, link.stream(kind, header.clone())).await {
                Ok(Err(CallError::NotSent(_))) if again => again = false,
                Ok(result) => return result.map_err(RpcError::from),
                Err(_) => return Err(RpcError::Timeout { peer: self.slot.addr.clone(), after: OPEN_TIMEOUT }),
            }
        }
    }

    /// Hands over a frame that may be lost. Never waits: beyond
    /// [`VOLATILE_QUEUE_BYTES_MAX`](super::VOLATILE_QUEUE_BYTES_MAX) waiting bytes the oldest frames are dropped and
    /// counted, and so are all that wait when the peer cannot be reached. Must be called within a tokio runtime.
    pub fn send_volatile(&self, body: Bytes) {
        self.slot.volatile.push(self.expected, body);
        self.slot.volatile.ensure_pump(&self.slot);
    }

    /// Volatile frames to this address that were dropped.
    #[must_use]
    pub fn volatile_dropped(&self) -> u64 {
        self.slot.volatile.dropped.load(Ordering::Relaxed)
    }

    /// Who is at the other end of the connection that there is, if there is one and it is the expected node.
    #[must_use]
    pub fn connected_to(&self) -> Option<PeerIdentity> {
        self.slot.connected_to().filter(|peer| self.expected.is_none_or(|expected| expected == peer.node_id))
    }

    /// Who answers at the address.
    ///
    /// # Errors
    /// [`RpcError::Unreachable`], [`RpcError::WrongNode`], [`RpcError::WrongCluster`], [`RpcError::Tls`],
    /// [`RpcError::Incompatible`], [`RpcError::Barred`].
    pub async fn hello(&self) -> Result<PeerIdentity, RpcError> {
        let limit = BACKOFF_MAX + CONNECT_TIMEOUT;
        Ok(self.link_before(Instant::now() + limit, limit).await?.identity)
    }

    async fn link_before(&self, deadline: Instant, limit: Duration) -> Result<Arc<Link>, RpcError> {
        loop {
            let failed_before = self.slot.last_failure();
            let link = timeout_at(deadline, self.slot.link()).await.map_err(|_| {
                failed_before.unwrap_or_else(|| {
                    RpcError::unreachable(&self.slot.addr, format!("not connected within {limit:?}"))
                })
            })??;
            match self.expected {
                Some(expected) if expected != link.identity.node_id => {
                    if link.since.elapsed() > WRONG_NODE_REDIAL_AFTER {
                        self.slot.forget(&link);
                        continue;
                    }
                    return Err(RpcError::WrongNode {
                        peer: self.slot.addr.clone(),
                        expected,
                        found: link.identity.node_id,
                    });
                }
                _ => return Ok(link),
            }
        }
    }

    fn check_length(&self, body: &Bytes) -> Result<(), RpcError> {
        // One byte goes before it: the caller's kind.
        if body.len() < FRAME_BYTES_MAX {
            return Ok(());
        }
        Err(RpcError::frame(&self.slot.addr, FrameError::TooLong { length: body.len() + 1 }))
    }
}

/// Waits for the pump's next step no longer than a dial takes; used by the volatile pump.
pub(super) async fn link_for_volatile(slot: &Arc<Slot>) -> Result<Arc<Link>, RpcError> {
    let limit = BACKOFF_MAX + CONNECT_TIMEOUT * 2;
    match timeout(limit, slot.link()).await {
        Ok(result) => result,
        Err(_) => Err(RpcError::unreachable(&slot.addr, "not connected in time")),
    }
}
