//! How each node of the cluster feels, coarsely: its load, memory, answers and errors, and whether it takes clients.
//!
//! Every node asks every other one each [`EVERY`] over the lane beside Raft's and remembers what it hears: what is a little
//! old at once, and wrong a moment later, is not worth a log entry and its syncs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::PeerStream;
use vedfolnir_cluster::state::NodeId;

use super::standing::Standing;
use super::{Inner, Service};

/// The question to another node; `forward.rs` and `trace.rs` have the others.
const HEADER: [u8; 2] = [1, 5];
/// A node that takes longer does not answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the others are asked.
const EVERY: Duration = Duration::from_secs(2);
/// What a node said is forgotten after this long.
const KEPT: Duration = Duration::from_secs(5);

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
    /// How it stands towards clients; `None`: a node of an earlier release, which does not say.
    pub standing: Option<Standing>,
    /// Whether it takes new ones; `None` likewise.
    pub open: Option<bool>,
}

/// What the others have said of late, by node id (16 hexadecimal digits).
pub(super) type Heard = BTreeMap<String, (Instant, Vitals)>;

impl Service {
    /// From now on these are this node's.
    pub(crate) fn set_vitals(&self, vitals: Vitals) {
        *self.inner.vitals.lock() = Some(vitals);
    }

    /// Those of a member now; `None`: it does not answer.
    pub async fn vitals_of(&self, member: &str) -> Option<Vitals> {
        of(&self.inner, member).await
    }

    /// Those of all members that have said theirs within the last seconds, this node's among them; asks nobody.
    #[must_use]
    pub fn vitals_heard(&self) -> BTreeMap<String, Vitals> {
        let heard = self.inner.heard.lock();
        let fresh = heard.iter().filter(|(_, (at, _))| at.elapsed() < KEPT);
        let own = (format!("{:016x}", self.inner.cluster.incarnation().node), own(&self.inner));
        fresh.map(|(id, (_, vitals))| (id.clone(), *vitals)).chain([own]).collect()
    }

    /// Whether another node takes clients now: it is asked.
    pub async fn has_open_peer(&self) -> bool {
        self.inner.has_open_peer().await
    }
}

impl Inner {
    /// Whether another node takes clients now.
    pub(super) async fn has_open_peer(&self) -> bool {
        ask_others(self).await.values().any(|vitals| vitals.open.unwrap_or(true))
    }
}

/// This node's, as of now.
fn own(service: &Inner) -> Vitals {
    Vitals {
        connections: service.stats.connections_active(),
        standing: Some(service.standing()),
        open: Some(service.is_open()),
        ..service.vitals.lock().unwrap_or_default()
    }
}

async fn of(service: &Inner, member: &str) -> Option<Vitals> {
    let node: NodeId = u64::from_str_radix(member, 16).ok()?;
    if node == service.cluster.incarnation().node {
        return Some(own(service));
    }
    let answer = async {
        let mut stream = service.cluster.open_peer_stream(node, Bytes::from_static(&HEADER)).await.ok()?;
        serde_json::from_slice(&stream.recv().await?).ok()
    };
    tokio::time::timeout(PEER_TIMEOUT, answer).await.ok().flatten()
}

/// Those of the members that answer but this one.
async fn ask_others(service: &Inner) -> BTreeMap<String, Vitals> {
    let status = service.cluster.status();
    let others = status.nodes.into_iter().filter(|member| member.id != status.node_id);
    let answers = others.map(|member| async move { Some((member.id.clone(), of(service, &member.id).await?)) });
    futures_util::future::join_all(answers).await.into_iter().flatten().collect()
}

/// Asks the others now and then; ends with the service.
pub(super) async fn follow(service: std::sync::Weak<Inner>) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(service) = service.upgrade() else { return };
        let answers = ask_others(&service).await;
        let mut heard = service.heard.lock();
        heard.retain(|_, (at, _)| at.elapsed() < KEPT);
        heard.extend(answers.into_iter().map(|(id, vitals)| (id, (Instant::now(), vitals))));
    }
}

/// Whether another node asks for them.
pub(super) fn is_asked(header: &[u8]) -> bool {
    header == HEADER
}

/// Answers another node.
pub(super) async fn answer(service: &Arc<Inner>, mut stream: PeerStream) {
    if let Ok(answer) = serde_json::to_vec(&own(service)) {
        stream.send(answer.into()).await;
    }
}
