//! How each node of the cluster feels, coarsely: its load, memory, answers and errors; asked of each by whoever is asked.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::PeerStream;
use vedfolnir_cluster::state::NodeId;

use super::{Inner, Service};

/// The question to another node; `forward.rs` and `trace.rs` have the others.
const HEADER: [u8; 2] = [1, 5];
/// A node that takes longer does not answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);

/// A node's figures over its last few seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vitals {
    /// Of one core, in percent: more than 100 where several are busy.
    pub cpu_percent: f64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// How long answers to HTTP requests and acks took on average, in milliseconds; `None`: there were none.
    pub response_ms: Option<f64>,
    /// Of connections and messages together, the share that failed, from 0 to 1; `None`: there were none.
    pub error_rate: Option<f64>,
    /// Transports open now.
    pub connections: u64,
}

impl Service {
    /// From now on these are this node's.
    pub(crate) fn set_vitals(&self, vitals: Vitals) {
        *self.inner.vitals.lock() = Some(vitals);
    }

    /// Those of a member; `None`: it does not answer, does not know the question, or has just started.
    pub async fn vitals_of(&self, member: &str) -> Option<Vitals> {
        let service = &self.inner;
        if member == service.cluster.status().node_id {
            return *service.vitals.lock();
        }
        let node: NodeId = u64::from_str_radix(member, 16).ok()?;
        let answer = async {
            let mut stream = service.cluster.open_peer_stream(node, Bytes::from_static(&HEADER)).await.ok()?;
            serde_json::from_slice(&stream.recv().await?).ok()
        };
        tokio::time::timeout(PEER_TIMEOUT, answer).await.ok().flatten()
    }
}

/// Whether another node asks for them.
pub(super) fn is_asked(header: &[u8]) -> bool {
    header == HEADER
}

/// Answers another node; without figures yet the stream ends.
pub(super) async fn answer(service: &Inner, mut stream: PeerStream) {
    let vitals = *service.vitals.lock();
    if let Some(Ok(answer)) = vitals.map(|vitals| serde_json::to_vec(&vitals)) {
        stream.send(answer.into()).await;
    }
}
