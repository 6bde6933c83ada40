//! Whether the node takes clients, and if not, why: the one answer that health, handshakes and other nodes go by.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::Inner;

/// How a node stands towards clients; what it is told by the cluster (a quorum, catching up) comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It takes new clients and keeps those it has.
    #[default]
    Serving,
    /// It keeps those it has.
    Maintenance,
    /// It lets those it has go, until an operator says otherwise.
    Draining,
    /// It is about to end.
    Stopping,
}

impl Standing {
    /// As answers show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Maintenance => "maintenance",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }

    /// Why there is nothing for new clients; `None`: there is.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Serving => None,
            Self::Maintenance => Some("the node is in maintenance"),
            Self::Draining => Some("the node is being drained"),
            Self::Stopping => Some("the node is shutting down"),
        }
    }
}

/// Why a client is not taken now, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable {
    /// For people.
    pub(crate) reason: String,
    /// In seconds.
    pub(crate) retry_after_seconds: u64,
}

impl Unavailable {
    /// Something that is soon over.
    pub(crate) fn shortly(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_after_seconds: 1 }
    }

    /// This node will not do for a while; another one will.
    fn here(reason: &str) -> Self {
        Self { reason: reason.to_owned(), retry_after_seconds: 5 }
    }
}

/// What newcomers are told.
pub(crate) const CROWDED: &str = "the node has room only for clients that come back";
/// One in so many connections is kept for clients that come back.
const RESERVED_SHARE: usize = 10;
/// While more resumes than this are under way, newcomers wait: a node has died, or is being drained.
const RESUMES_MAX: u64 = 256;

impl Inner {
    /// Whether a client that brings no session of its own is to come back later, while one that brings one is taken. That is
    /// known at CONNECT and not before: an Engine.IO handshake does not say who it is.
    pub(crate) fn is_crowded(&self) -> bool {
        let max = self.config.connections_max;
        self.registry.len() > max - max / RESERVED_SHARE
            || self.crowded.load(Ordering::Relaxed)
            || self.stats.resumes_active.load(Ordering::Relaxed) > RESUMES_MAX
    }

    /// How the node stands towards clients.
    pub(crate) fn standing(&self) -> Standing {
        match self.drains.standing() {
            Standing::Serving if self.is_in_maintenance() => Standing::Maintenance,
            standing => standing,
        }
    }

    /// Why no handshake is taken now, if so. A node that was told to stop takes them until it lets its clients go: balancers
    /// have that long to look away.
    pub(crate) fn refusal(&self) -> Option<Unavailable> {
        let standing = self.standing();
        if let Some(reason) = standing.reason().filter(|_| standing != Standing::Stopping || self.drains.are_closed()) {
            return Some(Unavailable::here(reason));
        }
        if self.shedding.load(Ordering::Relaxed) {
            return Some(Unavailable::shortly("the node has no memory for more clients"));
        }
        let readiness = self.readiness.borrow();
        let refused = !readiness.ready || readiness.isolated;
        refused.then(|| {
            let reason = readiness.reason.clone();
            Unavailable::shortly(reason.unwrap_or_else(|| "the node is not ready".to_owned()))
        })
    }

    /// Whether clients that another node lets go may come here.
    pub(crate) fn is_open(&self) -> bool {
        self.standing() == Standing::Serving && self.refusal().is_none()
    }
}
