//! Answers peers: Raft's requests and streams, forwarded proposals, and the questions of nodes that look for a cluster.

use openraft::async_runtime::WatchReceiver;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use openraft::raft::TransferLeaderRequest;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use vedfolnir_state::Record;

use crate::handle::{Inner, Notice};
use crate::network::{FrameReceiver, FrameSender, Handler, PeerIdentity, Unwelcome};
use crate::peer_service::PeerStream;
use crate::type_config::{EntryBytes, TypeConfig};
use crate::verdicts::Verdicts;
use crate::wire::{
    self, FormationPlan, JoinRequest, MembershipRequest, PromiseReply, SignRequest, SystemReply, WireError, kind,
};
use crate::{
    admission, bootstrap, doctor, enrol, incarnation, join, membership, question, reads, remove, server_id,
    snapshot_transfer,
};

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
                kind::SNAPSHOT_STREAM => snapshot_transfer::take_whole(&node, &header, sender, receiver).await,
                kind::SNAPSHOT_OFFER_STREAM => snapshot_transfer::take_offered(&node, &header, sender, receiver).await,
                kind::PROPOSE_STREAM => node.propose_stream(sender, receiver).await,
                kind::SERVICE_STREAM => match node.peer_service.get() {
                    Some(service) => {
                        service.serve(header, PeerStream::new(sender, receiver)).await;
                        Ok(())
                    }
                    None => Err("this node has no service yet".to_owned()),
                },
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

    fn enrol(&self, from: SocketAddr, body: Bytes) -> BoxFuture<'_, Bytes> {
        Box::pin(async move { enrol::answer(self.node().ok(), from, &body).await })
    }

    fn turned_away(&self) {
        if let Ok(node) = self.node() {
            node.metrics.certificates_turned_away_total.fetch_add(1, Relaxed);
        }
    }

    fn unwelcome(&self, peer: &PeerIdentity) -> Option<Unwelcome> {
        let node = self.node().ok()?;
        admission::judge(&node, peer)
    }

    fn unwelcome_by_now(&self, peer: &PeerIdentity) -> Option<Unwelcome> {
        admission::judge_unless_busy(&*self.node().ok()?, peer)
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
            kind::SERVER_ID => server_id::answer(&self, from.node_id, body).await.map_err(text),
            kind::CLOCK => wire::encode("clock", &doctor::unix_ms()).map_err(text),
            kind::QUESTION => question::answer(&self, from, body).await,
            kind::READ_INDEX => wire::encode("read index", &reads::answer(&self).await).map_err(text),
            kind::MEMBERSHIP => {
                let request: MembershipRequest = wire::decode("membership request", body).map_err(text)?;
                if !remove::is_member(&self, from.node_id) {
                    return Err(format!("node {:016x} is no member", from.node_id));
                }
                wire::encode("membership reply", &membership::answer(&self, request).await).map_err(text)
            }
            kind::SIGN => {
                let request: SignRequest = wire::decode("sign request", body).map_err(text)?;
                wire::encode("sign answer", &enrol::answer_sign(&self, from, &request).await?).map_err(text)
            }
            other => Err(format!("unknown request kind {other}")),
        }
    }

    /// Commits a system proposal if this node leads.
    pub(crate) async fn propose_system_here(&self, body: Bytes) -> SystemReply {
        if let Some((node, name)) = server_id::start_in(&body) {
            return server_id::commit_start(self, node, &name, body).await;
        }
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

    /// A follower's batches, in its order; the stream ends as soon as this node does not take one or does not lead, so
    /// that the follower looks for the leader again. Nothing is answered: the follower's own replica tells it what was applied.
    async fn propose_stream(&self, sender: FrameSender, mut receiver: FrameReceiver) -> Result<(), String> {
        let mut leadership = self.raft.server_metrics();
        let mut verdicts = Verdicts::default();
        loop {
            tokio::select! {
                () = verdicts.refused() => break,
                frame = receiver.recv() => {
                    let Some(body) = frame.map_err(|error| error.to_string())? else { break };
                    if !self.leads() {
                        break;
                    }
                    verdicts.write(self, EntryBytes(body)).await.map_err(|error| error.to_string())?;
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
