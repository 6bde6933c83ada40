//! Answers peers: Raft's requests and streams, forwarded proposals, and the questions of nodes that look for a cluster.

use openraft::async_runtime::WatchReceiver;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use openraft::raft::TransferLeaderRequest;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use vedfolnir_state::Record;

use crate::handle::{Inner, Notice};
use crate::network::{FrameReceiver, FrameSender, Handler, PeerIdentity};
use crate::type_config::{EntryBytes, Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::wire::{self, FormationPlan, JoinRequest, PromiseReply, SystemReply, WireError, kind};
use crate::{bootstrap, incarnation, join, runtime};

/// Snapshots larger than this are refused while they arrive.
const SNAPSHOT_FILE_BYTES_MAX: u64 = 16 << 30;

/// The peers' counterpart. It holds the node weakly: the endpoint must not keep a stopped node alive.
pub(crate) struct PeerHandler {
    pub(crate) node: std::sync::OnceLock<Weak<Inner>>,
}

impl PeerHandler {
    fn node(&self) -> Result<Arc<Inner>, Bytes> {
        self.node.get().and_then(Weak::upgrade).ok_or_else(|| Bytes::from_static(b"the node is starting or stopping"))
    }
}

impl Handler for PeerHandler {
    fn request(&self, from: PeerIdentity, kind: u8, body: Bytes) -> BoxFuture<'_, Result<Bytes, Bytes>> {
        Box::pin(async move { self.node()?.answer(&from, kind, &body).await.map_err(Bytes::from) })
    }

    fn stream(
        &self,
        from: PeerIdentity,
        kind: u8,
        header: Bytes,
        sender: FrameSender,
        receiver: FrameReceiver,
    ) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Ok(node) = self.node() else { return };
            let result = match kind {
                kind::APPEND_STREAM => node.append_stream(sender, receiver).await,
                kind::SNAPSHOT_STREAM => node.snapshot_stream(&header, sender, receiver).await,
                kind::PROPOSE_STREAM => node.propose_stream(sender, receiver).await,
                other => Err(format!("unknown stream kind {other}")),
            };
            if let Err(reason) = result {
                tracing::debug!(peer = %from, kind, reason, "a peer's stream ended");
            }
        })
    }

    fn volatile(&self, _from: PeerIdentity, body: Bytes) {
        let Ok(node) = self.node() else { return };
        match wire::decode::<Record>("volatile record", &body) {
            Ok(record) => {
                if !node.replica.try_notify(Notice::Volatile(Arc::new(record))) {
                    node.metrics.volatile_dropped_total.fetch_add(1, Relaxed);
                }
            }
            Err(error) => tracing::warn!(%error, "a peer sent a volatile record that does not decode"),
        }
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, from: &PeerIdentity, kind: u8, body: &[u8]) -> Result<Bytes, String> {
        let text = |error: WireError| error.to_string();
        match kind {
            kind::VOTE => {
                let request: VoteRequest<TypeConfig> = wire::decode("vote", body).map_err(text)?;
                let reply = self.raft.vote(request).await.map_err(|error| error.to_string())?;
                wire::encode("vote", &reply).map_err(text)
            }
            kind::PRE_VOTE => {
                let request: VoteRequest<TypeConfig> = wire::decode("pre-vote", body).map_err(text)?;
                let reply = self.raft.pre_vote(request).await.map_err(|error| error.to_string())?;
                wire::encode("pre-vote", &reply).map_err(text)
            }
            kind::APPEND => {
                let request: AppendEntriesRequest<TypeConfig> = wire::decode("append", body).map_err(text)?;
                let reply = self.raft.append_entries(request).await.map_err(|error| error.to_string())?;
                if reply.is_success() {
                    self.contact.touch();
                }
                wire::encode("append", &reply).map_err(text)
            }
            kind::TRANSFER_LEADER => {
                let request: TransferLeaderRequest<TypeConfig> = wire::decode("transfer", body).map_err(text)?;
                let reply = self.raft.handle_transfer_leader(request).await.map_err(|error| error.to_string())?;
                wire::encode("transfer", &reply).map_err(text)
            }
            kind::PROPOSE_SYSTEM => {
                if !incarnation::is_about(body, from.node_id) {
                    return Err(format!("node {:016x} may propose only what it says of itself", from.node_id));
                }
                let reply = self.propose_system_here(Bytes::copy_from_slice(body)).await;
                wire::encode("system proposal", &reply).map_err(text)
            }
            kind::PEER_STATUS => wire::encode("peer status", &self.peer_status()).map_err(text),
            kind::PROMISE => {
                let plan: FormationPlan = wire::decode("plan", body).map_err(text)?;
                let reply: PromiseReply = bootstrap::answer_promise(&self, &plan).map_err(|error| error.to_string())?;
                wire::encode("promise", &reply).map_err(text)
            }
            kind::RELEASE => {
                let plan: FormationPlan = wire::decode("plan", body).map_err(text)?;
                bootstrap::answer_release(&self, from, &plan).map_err(|error| error.to_string())?;
                Ok(Bytes::new())
            }
            kind::JOIN => {
                let request: JoinRequest = wire::decode("join", body).map_err(text)?;
                let reply = join::answer_join(&self, from, &request).await?;
                wire::encode("join", &reply).map_err(text)
            }
            other => Err(format!("unknown request kind {other}")),
        }
    }

    /// Commits a system proposal if this node leads.
    pub(crate) async fn propose_system_here(&self, body: Bytes) -> SystemReply {
        match self.raft.client_write(EntryBytes(body)).await {
            Ok(_) => SystemReply::Committed,
            Err(_) => SystemReply::NotLeader,
        }
    }

    async fn append_stream(&self, mut sender: FrameSender, receiver: FrameReceiver) -> Result<(), String> {
        let requests = futures_util::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(Some(body)) => match wire::decode::<AppendEntriesRequest<TypeConfig>>("append", &body) {
                    Ok(request) => Some((request, receiver)),
                    Err(error) => {
                        tracing::warn!(%error, "a leader's append does not decode; its stream is closed");
                        None
                    }
                },
                Ok(None) | Err(_) => None,
            }
        });
        let mut answers = std::pin::pin!(self.raft.stream_append(requests));
        while let Some(answer) = answers.next().await {
            let result = answer.map_err(|fatal| fatal.to_string())?;
            if result.is_ok() {
                self.contact.touch();
            }
            let body = wire::encode("append result", &result).map_err(|error| error.to_string())?;
            sender.send(body).await.map_err(|error| error.to_string())?;
        }
        sender.finish().await.map_err(|error| error.to_string())
    }

    async fn snapshot_stream(
        &self,
        header: &[u8],
        mut sender: FrameSender,
        mut receiver: FrameReceiver,
    ) -> Result<(), String> {
        let (vote, meta): (Vote, SnapshotMeta) =
            wire::decode("snapshot header", header).map_err(|error| error.to_string())?;
        let mut incoming = self.snapshots.receive().map_err(|error| error.to_string())?;
        let mut received = 0u64;
        while let Some(chunk) = receiver.recv().await.map_err(|error| error.to_string())? {
            received += chunk.len() as u64;
            if received > SNAPSHOT_FILE_BYTES_MAX {
                return Err(format!("a snapshot of more than {SNAPSHOT_FILE_BYTES_MAX} bytes"));
            }
            self.contact.touch();
            incoming.write(&chunk).map_err(|error| error.to_string())?;
        }
        // Verifying reads the whole file: not on a task that answers heartbeats.
        let file = runtime::blocking(move || incoming.finish())
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let reply = self
            .raft
            .install_full_snapshot(vote, Snapshot { meta, snapshot: file })
            .await
            .map_err(|error| error.to_string())?;
        let body = wire::encode("snapshot answer", &reply).map_err(|error| error.to_string())?;
        sender.send(body).await.map_err(|error| error.to_string())?;
        sender.finish().await.map_err(|error| error.to_string())
    }

    /// A follower's batches, in its order; the stream ends as soon as this node does not lead, so that the follower
    /// looks for the leader again. Nothing is answered: the follower's own replica tells it what was applied.
    async fn propose_stream(&self, sender: FrameSender, mut receiver: FrameReceiver) -> Result<(), String> {
        let mut leadership = self.raft.server_metrics();
        loop {
            tokio::select! {
                biased;
                frame = receiver.recv() => {
                    let Some(body) = frame.map_err(|error| error.to_string())? else { break };
                    if !self.leads() {
                        break;
                    }
                    self.raft.client_write_ff(EntryBytes(body), None).await.map_err(|error| error.to_string())?;
                }
                changed = leadership.changed() => {
                    changed.map_err(|error| error.to_string())?;
                    if !self.leads() {
                        break;
                    }
                }
            }
        }
        drop(sender);
        Ok(())
    }
}
