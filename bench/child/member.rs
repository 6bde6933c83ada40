//! A node of a cluster with proposers inside: the cluster floor of the product, and nothing above it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::state::{Command, KvExpected, KvPut};
use vedfolnir_cluster::{Cluster, ClusterConfig};

use super::{hear, say};
use crate::error::BenchError;
use crate::histogram::Histogram;

/// Keys that each proposer writes in turn.
const KEYS: u64 = 1;

/// Log entries between snapshots: seconds at the rates that are measured.
const SNAPSHOT_EVERY: u64 = 100_000;

/// Where the node lives and whom it knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemberOrders {
    pub(crate) dir: PathBuf,
    pub(crate) bind: SocketAddr,
    pub(crate) bootstrap: Vec<String>,
    pub(crate) nodes: usize,
}

/// It serves; said once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemberReady {
    pub(crate) leads: bool,
}

/// What its proposers are to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Go {
    /// The first one's number, and how many there are.
    pub(crate) first: usize,
    pub(crate) proposers: usize,
    pub(crate) payload: usize,
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
}

/// What they did in the measured span.
#[derive(Serialize, Deserialize)]
pub(crate) struct MemberResult {
    pub(crate) latency: Histogram,
    /// The first command that was not committed, in words.
    pub(crate) failed: Option<String>,
    /// Times that this node saw another leader come.
    pub(crate) leader_changes: u64,
}

pub(super) async fn run(orders: MemberOrders) -> Result<(), BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Other(error.to_string());
    let config = ClusterConfig {
        bootstrap: orders.bootstrap,
        bootstrap_expect: Some(orders.nodes),
        snapshot_every_entries: SNAPSHOT_EVERY,
        ..ClusterConfig::on_loopback(orders.dir, orders.bind)
    };
    let (cluster, mut notices) = Cluster::start(config).await.map_err(|error| failed(&error))?;
    // Nobody is connected: what comes up is heard and let go.
    tokio::spawn(async move { while notices.recv().await.is_some() {} });
    let mut readiness = cluster.readiness();
    readiness.wait_for(|readiness| readiness.ready).await.map_err(|error| failed(&error))?;
    let status = cluster.status();
    say(&MemberReady { leads: status.leader.as_deref() == Some(status.node_id.as_str()) })?;
    if let Some(go) = hear::<Go>().await? {
        say(&propose(&cluster, &go).await?)?;
        // The others measure until they have said so too.
        let _: Option<Go> = hear().await?;
    }
    cluster.shutdown().await;
    Ok(())
}

/// Runs the proposers through the span.
async fn propose(cluster: &Cluster, go: &Go) -> Result<MemberResult, BenchError> {
    let changes_before = cluster.metrics().leader_changes_total.load(std::sync::atomic::Ordering::Relaxed);
    let from = Instant::now() + Duration::from_secs_f64(go.warm_up);
    let until = from + Duration::from_secs_f64(go.seconds);
    let value = Bytes::from(vec![b'x'; go.payload]);
    let tasks: Vec<_> = (go.first..go.first + go.proposers)
        .map(|number| tokio::spawn(one(cluster.clone(), number, value.clone(), from, until)))
        .collect();
    let mut result = MemberResult { latency: Histogram::default(), failed: None, leader_changes: 0 };
    for task in tasks {
        let (latency, failed) = task.await.map_err(|error| BenchError::Other(error.to_string()))?;
        result.latency.merge(&latency);
        result.failed = result.failed.or(failed);
    }
    let changes_after = cluster.metrics().leader_changes_total.load(std::sync::atomic::Ordering::Relaxed);
    result.leader_changes = changes_after - changes_before;
    Ok(result)
}

/// One proposer: a command, its commit and its application here, the next command.
async fn one(
    cluster: Cluster,
    number: usize,
    value: Bytes,
    from: Instant,
    until: Instant,
) -> (Histogram, Option<String>) {
    let keys: Vec<Arc<str>> = (0..KEYS).map(|key| format!("bench:{number}:{key}").into()).collect();
    let mut latency = Histogram::default();
    for key in keys.iter().cycle() {
        let began = Instant::now();
        if began >= until {
            break;
        }
        let put = KvPut { key: Arc::clone(key), value: value.clone(), ttl_ms: None, expected: KvExpected::Anything };
        let committed = match cluster.propose(Command::KvPut(put)) {
            Ok(ticket) => ticket.await,
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            return (latency, Some(error.to_string()));
        }
        let ended = Instant::now();
        if (from..until).contains(&ended) {
            latency.record((ended - began).as_nanos() as u64);
        }
    }
    (latency, None)
}
