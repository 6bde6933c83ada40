//! Real nodes on loopback for the cluster floor's tests.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod proxy;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use vedfolnir_cluster::state::{Command, Effect, Payload, Publish, Record, Response};
use vedfolnir_cluster::{Cluster, ClusterConfig, Notice, StartError};

/// Nothing here takes longer unless it is broken.
pub const CEILING: Duration = Duration::from_secs(60);

pub fn config(dir: &Path, bind: SocketAddr, bootstrap: &[SocketAddr], expect: Option<usize>) -> ClusterConfig {
    ClusterConfig {
        bootstrap: bootstrap.iter().map(ToString::to_string).collect(),
        bootstrap_expect: expect,
        node_down_after: Duration::from_secs(5),
        snapshot_every_entries: 10_000,
        ..ClusterConfig::on_loopback(dir, bind)
    }
}

/// Addresses that were free a moment ago. They lie below the range from which the system takes ports that nobody asked
/// for: a node that is away for a while must find its own free when it comes back.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let low: u64 = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    let (first, count) = (10_000, low.saturating_sub(10_000).max(1_000));
    let free = || {
        (0..1_000).find_map(|attempt: u64| {
            let port = first + RandomState::new().hash_one(attempt) % count;
            UdpSocket::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).ok()?)).ok()
        })
    };
    let sockets: [UdpSocket; N] = std::array::from_fn(|_| free().expect("a free port"));
    std::array::from_fn(|i| sockets[i].local_addr().expect("bound"))
}

/// A node and what it delivers.
pub struct Node {
    pub cluster: Cluster,
    pub notices: mpsc::Receiver<Notice>,
}

pub async fn start(config: ClusterConfig) -> Result<Node, StartError> {
    let (cluster, notices) = tokio::time::timeout(CEILING, Cluster::start(config)).await.expect("starts in time")?;
    Ok(Node { cluster, notices })
}

impl Node {
    pub async fn ready(&self) {
        let mut readiness = self.cluster.readiness();
        let ready = tokio::time::timeout(CEILING, readiness.wait_for(|readiness| readiness.ready)).await;
        let Ok(ready) = ready else {
            panic!("not ready in time: {:?}\n{:?}", self.cluster.status(), self.cluster.metrics());
        };
        ready.expect("the node lives");
    }

    pub async fn publish(&self, text: &str) -> Response {
        let payload = Payload { text: Bytes::from(format!("[\"m\",\"{text}\"]")), attachments: Vec::new() };
        let record = Record { namespace: "/".into(), rooms: Vec::new(), except: Vec::new(), payload };
        let command = Command::Publish(Publish { from: None, record: Arc::new(record), trace: None });
        let ticket = self.cluster.propose(command).expect("accepted");
        tokio::time::timeout(CEILING, ticket).await.expect("committed in time").expect("a response")
    }

    /// The next `count` deliveries, in order.
    pub async fn deliveries(&mut self, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let notice = tokio::time::timeout(CEILING, self.notices.recv())
                .await
                .unwrap_or_else(|_| panic!("{} of {count} deliveries came", seen.len()))
                .expect("the node lives");
            if let Notice::Applied { effects, .. } = notice {
                seen.extend(effects.into_iter().filter_map(|at| match at.effect {
                    Effect::Deliver { record, .. } => {
                        Some(String::from_utf8(record.payload.text.to_vec()).expect("utf-8"))
                    }
                    _ => None,
                }));
            }
        }
        seen
    }
}
