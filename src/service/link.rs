//! What others may do to a connection from outside its task: wake it, close its transport, hand it polling requests.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use vedfolnir_protocol::CloseReason;

use super::polling::PollingRequest;

/// Why the server closes a transport; never a `41` or `44`, so that the client comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseCause {
    /// The session has a newer owner.
    Fenced = 1,
    /// The node has no contact with a quorum.
    Isolated = 2,
    /// The node is going down.
    Draining = 3,
    /// What the socket has yet to see is no longer retained.
    Hole = 4,
    /// The cluster declared this life of the node down.
    NodeDown = 5,
    /// The session could not be opened in time, or not now.
    NotOpened = 6,
    /// The client sends more than it may.
    RateLimited = 7,
    /// The client's token has expired.
    TokenExpired = 8,
    /// What room there is is for those who come back.
    Crowded = 9,
}

impl CloseCause {
    const ALL: [Self; 9] = [
        Self::Fenced,
        Self::Isolated,
        Self::Draining,
        Self::Hole,
        Self::NodeDown,
        Self::NotOpened,
        Self::RateLimited,
        Self::TokenExpired,
        Self::Crowded,
    ];

    fn of(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| *cause as u8 == value)
    }

    /// What the WebSocket's close frame says, where the client is to know: 1008 (RFC 6455, section 7.4.1), or 1013, try again
    /// later (IANA's registry of close codes).
    pub(crate) const fn frame(self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::RateLimited => Some((CloseCode::Policy, "rate limited")),
            Self::TokenExpired => Some((CloseCode::Policy, "token expired")),
            Self::Crowded => Some((CloseCode::Again, "no room for newcomers")),
            _ => None,
        }
    }

    /// For an operator.
    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Fenced => "the session was resumed elsewhere",
            Self::Isolated => "the node had no contact with a quorum",
            Self::Draining => "the node was going down",
            Self::Hole => "it fell behind what is retained",
            Self::NodeDown => "the cluster declared the node down",
            Self::NotOpened => "it was not opened in time",
            Self::RateLimited => "the client sent more than it may",
            Self::TokenExpired => "the client's token expired",
            Self::Crowded => "the node had room only for those who come back",
        }
    }

    /// As the protocol names it.
    pub(crate) const fn reason(self) -> CloseReason {
        match self {
            Self::Draining => CloseReason::ServerShuttingDown,
            Self::NotOpened | Self::Crowded => CloseReason::ForcedServerClose,
            _ => CloseReason::ForcedClose,
        }
    }
}

/// Which transport a connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// Long polling.
    Polling = 0,
    /// WebSocket.
    WebSocket = 1,
}

impl Transport {
    /// The name in the query.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// The outside of one connection.
///
/// Invariants: the first close cause stands; a transport goes from polling to WebSocket once and never back.
#[derive(Debug)]
pub(crate) struct Link {
    wake: Notify,
    close: AtomicU8,
    /// The same, but not before what the client has asked is answered.
    leave: AtomicU8,
    transport: AtomicU8,
    /// A POST is being read or handled.
    pub(crate) posting: AtomicBool,
    /// A WebSocket has probed or is probing.
    pub(crate) upgrading: AtomicBool,
    requests: Mutex<Option<mpsc::Sender<PollingRequest>>>,
}

impl Link {
    pub(crate) fn websocket() -> Self {
        Self::new(Transport::WebSocket, None)
    }

    pub(crate) fn polling(requests: mpsc::Sender<PollingRequest>) -> Self {
        Self::new(Transport::Polling, Some(requests))
    }

    fn new(transport: Transport, requests: Option<mpsc::Sender<PollingRequest>>) -> Self {
        Self {
            wake: Notify::new(),
            close: AtomicU8::new(0),
            leave: AtomicU8::new(0),
            transport: AtomicU8::new(transport as u8),
            posting: AtomicBool::new(false),
            upgrading: AtomicBool::new(transport == Transport::WebSocket),
            requests: Mutex::new(requests),
        }
    }

    /// There is something to write.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Resolves after a wake; a wake that nobody waited for is kept.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Has the connection task close the transport.
    pub(crate) fn close(&self, cause: CloseCause) {
        let _ = self.close.compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire);
        self.wake();
    }

    /// Why the transport is to be closed, if it is.
    pub(crate) fn close_cause(&self) -> Option<CloseCause> {
        CloseCause::of(self.close.load(Ordering::Acquire))
    }

    /// Has the connection task close the transport as soon as what the client has asked is answered.
    pub(crate) fn leave(&self, cause: CloseCause) {
        let _ = self.leave.compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire);
        self.wake();
    }

    /// Whether it is to be closed so, and why.
    pub(crate) fn leave_cause(&self) -> Option<CloseCause> {
        CloseCause::of(self.leave.load(Ordering::Acquire))
    }

    /// Resolves when the transport is to be closed; swallows wakes, so look at the outboxes afterwards.
    pub(crate) async fn closing(&self) -> CloseCause {
        loop {
            if let Some(cause) = self.close_cause() {
                return cause;
            }
            self.woken().await;
        }
    }

    /// Which transport it is on.
    pub(crate) fn transport(&self) -> Transport {
        match self.transport.load(Ordering::Acquire) {
            0 => Transport::Polling,
            _ => Transport::WebSocket,
        }
    }

    /// The upgrade is done.
    pub(crate) fn upgraded(&self) {
        self.transport.store(Transport::WebSocket as u8, Ordering::Release);
        *self.requests.lock() = None;
    }

    /// Where polling requests go.
    pub(crate) fn requests(&self) -> Option<mpsc::Sender<PollingRequest>> {
        self.requests.lock().clone()
    }
}
