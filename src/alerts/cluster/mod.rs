//! Alerts about the whole cluster: told by whoever leads, each once, whoever leads afterwards.
//!
//! ```text
//!   the leader's view ─► Watch (what is wrong) ─► Ledger (what is told, what is to be told) ─► committed ─► webhook
//!                                                     ▲                                                       │
//!                                                     └───────────── taken, or given up: committed ───────────┘
//! ```
//!
//! The ledger is one entry of the replicated key-value store, under a key that applications do not reach. A message is
//! committed with its body and key before it is sent, by compare-and-set, after a quorum has confirmed who leads: of two
//! nodes that hold themselves for the leader one decides. A new leader finds what was committed and not settled, and
//! sends those very bytes again.

mod backups;
mod ledger;
mod run;
mod watch;
mod webhooks;

use std::time::Duration;

pub use ledger::ClusterAlert;
pub(crate) use ledger::Ledger;
pub(crate) use run::run;

/// What an alert about the cluster is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterCondition {
    /// The leader has not heard of a member for the grace; value and threshold in seconds. One alert for each member.
    NodeDown,
    /// Some voters are not heard of, and with one voter less nothing could be committed; the value is how many are
    /// heard of, the threshold how many it takes to be able to lose one.
    QuorumAtRisk,
    /// A member that is heard of has been behind for the grace; value and threshold in log entries. One alert for each
    /// member.
    ReplicationLag,
    /// Backups are scheduled, and the last attempt to make one failed; the value is how many did in a row, the threshold none.
    BackupFailing,
    /// Backups are scheduled, and the newest one is older than two of its intervals and half a minute; value and threshold in
    /// seconds.
    BackupLate,
    /// Webhooks are configured, and the receiver takes nothing; the value is how many attempts failed in a row.
    WebhookFailing,
}

impl ClusterCondition {
    /// Every condition.
    pub const ALL: [Self; 6] = [
        Self::NodeDown,
        Self::QuorumAtRisk,
        Self::ReplicationLag,
        Self::BackupFailing,
        Self::BackupLate,
        Self::WebhookFailing,
    ];

    /// The alert's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodeDown => "node_down",
            Self::QuorumAtRisk => "quorum_at_risk",
            Self::ReplicationLag => "replication_lag",
            Self::BackupFailing => "backup_failing",
            Self::BackupLate => "backup_late",
            Self::WebhookFailing => "webhook_failing",
        }
    }
}

/// When they fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterAlertConfig {
    /// The grace: a member that has not been heard of for longer is down, one that is behind for longer lags.
    pub node_down_after: Duration,
    /// Committed entries that a member may be without.
    pub lag_entries_max: u64,
}
