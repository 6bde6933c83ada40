//! Alerts by webhook: what a node measures in a window, against thresholds; fired once, told again while it lasts, resolved
//! once.
//!
//! ```text
//!   counters ─► Window (what happened in it) ─► Book (firing? since when? told when?) ─► a bounded queue ─► webhook
//! ```
//!
//! These alerts are a node's own; `cluster/` has those of the whole cluster, which its leader tells. That there is no
//! leader nobody could tell: the rules under `deploy/monitoring` do.

mod book;
mod cluster;
mod message;
mod post;
mod run;
mod sender;
mod stats;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::security::endpoint::Endpoint;
use crate::security::secret::Secret;

pub use cluster::{ClusterAlert, ClusterAlertConfig, ClusterCondition};
pub(crate) use cluster::{Ledger, run as run_cluster};
pub(crate) use run::run;
pub use stats::AlertStats;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Connections that did not come about in the window.
    ConnectionErrors,
    /// Messages that failed in the window: publishes without an answer of the cluster, and what could not be read.
    MessageErrors,
    /// Nineteen of twenty answers in the window took no longer, in milliseconds; as fine as the buckets of
    /// `websocket_response_seconds` are.
    ResponseTimeMs,
    /// Resident memory now, in MB (1,000,000 bytes).
    MemoryUsageMb,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 4] = [Self::ConnectionErrors, Self::MessageErrors, Self::ResponseTimeMs, Self::MemoryUsageMb];

    /// Its key among the thresholds, and the alert's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionErrors => "connection_errors",
            Self::MessageErrors => "message_errors",
            Self::ResponseTimeMs => "response_time_ms",
            Self::MemoryUsageMb => "memory_usage_mb",
        }
    }
}

/// The value beyond which each condition is an alert; one without a value never is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds(BTreeMap<Condition, f64>);

impl Thresholds {
    /// By their keys; keys that are none are left out.
    #[must_use]
    pub fn of(values: &BTreeMap<String, f64>) -> Self {
        let of = |condition: Condition| Some((condition, *values.get(condition.as_str())?));
        Self(Condition::ALL.into_iter().filter_map(of).collect())
    }

    /// Of one condition.
    #[must_use]
    pub fn get(&self, condition: Condition) -> Option<f64> {
        self.0.get(&condition).copied()
    }
}

/// Where alerts go, and when.
#[derive(Clone, Debug)]
pub struct AlertConfig {
    /// The webhook.
    pub endpoint: Endpoint,
    /// For `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// What the receiver knows us by.
    pub secret: Option<Secret>,
    /// Whether the webhook may be at a private, link-local or loopback address.
    pub allow_private: bool,
    /// Over how long conditions are counted.
    pub window: Duration,
    /// An alert that goes on is sent again after this long.
    pub repeat: Duration,
    /// Alerts of the whole cluster, sent by this node while it leads; `None`: it sends none.
    pub cluster: Option<ClusterAlertConfig>,
}
