//! The node in one object: its health, TLS, cluster, connections and configuration.

use serde::Serialize;
use vedfolnir_cluster::ClusterStatus;
use vedfolnir_cluster::state::Format;

use crate::admin::{ScheduleView, TlsView};
use crate::observability::health;
use crate::observability::node::Node;

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct ProductionStatus {
    /// `healthy`, `degraded`, `unhealthy`, `draining` or `maintenance`.
    pub status: &'static str,
    /// Why it is not healthy.
    pub reason: Option<String>,
    /// Name of this process.
    pub server_id: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// TLS of the public listener.
    pub tls: TlsView,
    /// The cluster as this node sees it.
    pub cluster: ClusterStatus,
    /// Clients on this node.
    pub connections: ConnectionsView,
    /// Backups; `None`: the node was told of no place for them.
    pub backups: Option<ScheduleView>,
    /// Names the configuration that was read last: [`Config::hash`](crate::config::Config::hash).
    pub config_hash: String,
    /// What runs.
    pub versions: Versions,
}

/// Clients on this node.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ConnectionsView {
    /// Engine.IO sessions now.
    pub active: u64,
    /// Engine.IO sessions since the start.
    pub total: u64,
}

/// What runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Versions {
    /// The program.
    pub program: &'static str,
    /// The format that the cluster writes.
    pub cluster_format: u8,
    /// The highest format that this program can speak.
    pub newest_format: u8,
}

impl Versions {
    pub(crate) const fn with_format(cluster_format: u8) -> Self {
        Self { program: env!("CARGO_PKG_VERSION"), cluster_format, newest_format: Format::NEWEST.number() }
    }
}

impl ProductionStatus {
    pub(super) fn of(node: &Node) -> Option<Self> {
        let parts = node.parts()?;
        let health = health::report(node);
        let cluster = parts.cluster.status();
        let stats = parts.service.stats();
        Some(Self {
            status: health.status.value(),
            reason: health.reason,
            server_id: node.server_id().to_owned(),
            uptime: node.uptime_seconds(),
            tls: TlsView::of(parts.tls.as_deref()),
            connections: ConnectionsView {
                active: stats.connections_active(),
                total: stats.connections_total.load(std::sync::atomic::Ordering::Relaxed),
            },
            backups: node.backups().and_then(|backups| ScheduleView::of(backups)),
            config_hash: node.config_hash(),
            versions: Versions::with_format(cluster.format),
            cluster,
        })
    }
}
