//! openraft's network: its requests and streams over the QUIC edge.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::metrics::RaftServerMetrics;
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest, VoteResponse,
};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vedfolnir_state::NodeId;
use vedfolnir_storage::SnapshotFile;

use crate::compaction::Transfers;
use crate::network::{Endpoint, Peer, RpcError};
use crate::raft::Raft;
use crate::snapshot_transfer::{self, TransferError};
use crate::type_config::{Snapshot, TypeConfig, Vote};
use crate::wire::{self, kind};

/// A snapshot's transfer and installation may take this long.
const SNAPSHOT_SECONDS_MAX: u64 = 600;
/// How long an answer is waited for before it is looked whether anything has come from the peer. A stream of appends is broken when
/// an answer is owed and nothing at all has come between two looks.
const APPEND_SILENCE: Duration = Duration::from_secs(1);
/// And when the answer has not come for so many looks, while other things have. A slow line needs longer than one silence for a
/// batch: to begin the same batch anew each time would never end.
const APPEND_SILENCES_MAX: u32 = 30;

/// Where the members are, as the membership in effect says. openraft keeps a peer's client while its address changes
/// in the membership, so every call looks the address up.
#[derive(Clone, Default)]
pub(crate) struct AddressBook(Arc<OnceLock<WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>>>);

impl AddressBook {
    /// Raft runs: its membership is known from here on.
    pub(crate) fn open(&self, raft: &Raft) {
        // Set once, right after Raft was made.
        let _ = self.0.set(raft.server_metrics());
    }

    fn addr(&self, node: NodeId) -> Option<String> {
        let metrics = self.0.get()?.borrow_watched();
        metrics.membership_config.get_node(&node).map(|member| member.addr.clone())
    }
}

/// Makes a client for each peer.
pub(crate) struct NetworkFactory {
    pub(crate) endpoint: Endpoint,
    pub(crate) addresses: AddressBook,
    pub(crate) transfers: Transfers,
}

impl RaftNetworkFactory<TypeConfig> for NetworkFactory {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> PeerNetwork {
        PeerNetwork {
            endpoint: self.endpoint.clone(),
            addresses: self.addresses.clone(),
            transfers: self.transfers.clone(),
            target,
            told: node.addr.clone(),
            refusal: None,
        }
    }
}

/// One peer as openraft sees it. QUIC's streams are independent, so heartbeats, appends and snapshots share a
/// connection without waiting for each other.
pub(crate) struct PeerNetwork {
    endpoint: Endpoint,
    addresses: AddressBook,
    transfers: Transfers,
    target: NodeId,
    /// Its HOST:PORT when this client was made.
    told: String,
    /// What it said when it refused a snapshot: said once.
    refusal: Option<String>,
}

impl PeerNetwork {
    fn peer(&self) -> Peer {
        let addr = self.addresses.addr(self.target);
        self.endpoint.peer(addr.as_deref().unwrap_or(&self.told), Some(self.target))
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: u8,
        what: &'static str,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, RPCError<TypeConfig>> {
        let body = wire::encode(what, request).map_err(|error| NetworkError::new(&error))?;
        let reply = self.peer().request(kind, body, timeout).await.map_err(rpc_error)?;
        wire::decode(what, &reply).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(kind::APPEND, "append", &rpc, option.soft_ttl()).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let peer = self.peer();
        Box::pin(async move { append_stream(peer, input, option).await })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(kind::VOTE, "vote", &rpc, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(kind::PRE_VOTE, "pre-vote", &rpc, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let peer = self.peer();
        let position = snapshot.snapshot.position();
        let begin = || self.transfers.begin(self.target, position);
        let transfer = snapshot_transfer::send(&peer, vote, snapshot, &mut self.refusal, begin);
        tokio::select! {
            result = tokio::time::timeout(Duration::from_secs(SNAPSHOT_SECONDS_MAX), transfer) => match result {
                Ok(result) => result.map_err(|error| StreamingError::from(transfer_error(error))),
                Err(_) => Err(StreamingError::Network(NetworkError::from_string("the snapshot took too long"))),
            },
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(kind::TRANSFER_LEADER, "transfer of leadership", &req, option.soft_ttl()).await
    }

    fn backoff(&self) -> Option<Backoff> {
        // A peer that restarts is back within milliseconds: look again soon, and keep looking at that pace.
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(100))))
    }
}

/// A pipelined stream: requests go out as they come, answers come back in the same order.
async fn append_stream<S>(
    peer: Peer,
    mut input: S,
    option: RPCOption,
) -> Result<BoxStream<'static, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    // openraft waits between two attempts where it hands out the next request, and nowhere else: a peer that is refused at
    // once, as one that lost its disk and answers under another id, would be tried without end and without pause.
    let Some(first) = input.next().await else { return Ok(Box::pin(futures_util::stream::empty())) };
    let mut input = futures_util::stream::iter([first]).chain(input).fuse();
    let opening = peer.open_stream(kind::APPEND_STREAM, Bytes::new());
    let (mut sender, receiver) = tokio::time::timeout(option.soft_ttl().max(Duration::from_millis(100)), opening)
        .await
        .map_err(|_| RPCError::Unreachable(Unreachable::from_string("opening the append stream took too long")))?
        .map_err(rpc_error)?;
    let sent = Arc::new(AtomicU64::new(0));
    let sent_by_feeder = Arc::clone(&sent);
    let feeder = tokio::spawn(async move {
        while let Some(request) = next_worth_sending(&mut input).await {
            let body = match wire::encode("append", &request) {
                Ok(body) => body,
                Err(error) => {
                    tracing::error!(%error, "an append could not be encoded");
                    return;
                }
            };
            sent_by_feeder.fetch_add(1, Ordering::Release);
            if sender.send(body).await.is_err() {
                return;
            }
        }
        // The answers still under way are awaited by the other half.
        let _ = sender.finish().await;
    });
    // Ends the feeder when openraft drops the stream.
    let feeder = AbortOnDrop(feeder);
    let state = Some((receiver, feeder, sent, 0u64));
    let answers = futures_util::stream::unfold(state, |state| async move {
        let (mut receiver, feeder, sent, received) = state?;
        // Looked at only when an answer is late: it costs the connection's lock.
        let (mut heard, mut silences) = (None, 0);
        let answer = loop {
            if let Ok(answer) = tokio::time::timeout(APPEND_SILENCE, receiver.recv()).await {
                break answer;
            }
            if sent.load(Ordering::Acquire) == received {
                // Nothing asked, nothing owed: an idle stream is healthy.
                (heard, silences) = (None, 0);
                continue;
            }
            let datagrams = receiver.datagrams();
            let is_silent = heard.replace(datagrams) == Some(datagrams);
            silences += 1;
            if is_silent {
                // A leader that is heard and hears nothing leads nobody: its followers elect another once it is silent, too.
                receiver.give_up();
            }
            if is_silent || silences > APPEND_SILENCES_MAX {
                let silent = RPCError::Network(NetworkError::from_string("no answer to an append"));
                return Some((Err(silent), None));
            }
        };
        match answer {
            Ok(Some(body)) => match wire::decode::<StreamAppendResult<TypeConfig>>("append result", &body) {
                Ok(result) => {
                    let ended = result.is_err();
                    let next = (!ended).then_some((receiver, feeder, sent, received + 1));
                    Some((Ok(result), next))
                }
                Err(error) => Some((Err(RPCError::Network(NetworkError::new(&error))), None)),
            },
            Ok(None) if feeder.0.is_finished() && sent.load(Ordering::Acquire) == received => None,
            Ok(None) => {
                let ended = NetworkError::from_string("the peer ended the append stream");
                Some((Err(RPCError::Network(ended)), None))
            }
            Err(error) => Some((Err(rpc_error(error)), None)),
        }
    });
    Ok(Box::pin(answers))
}

/// The next request, but for one that the next one makes superfluous.
///
/// A request without entries says how far the log is committed. The commit that it tells of lets proposers go on, and what they
/// propose next takes the same news along, a moment later: so whatever is ready to run on this node runs first. An answer
/// acknowledges everything up to its position, so that nothing is owed for the request that was passed over.
/// openraft notes the time of a request when it hands it out, which is before it leaves: no lease gets longer.
async fn next_worth_sending<S>(input: &mut S) -> Option<AppendEntriesRequest<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
{
    let request = input.next().await?;
    if !request.entries.is_empty() {
        return Some(request);
    }
    // Comes back when nothing else is ready, or after a bounded number of other tasks.
    tokio::task::yield_now().await;
    Some(input.next().now_or_never().flatten().unwrap_or(request))
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn transfer_error(error: TransferError) -> RPCError<TypeConfig> {
    match error {
        TransferError::Rpc(error) => rpc_error(error),
        error => RPCError::Network(NetworkError::new(&error)),
    }
}

/// Unreachable peers are retried with a pause, everything else at once.
fn rpc_error(error: RpcError) -> RPCError<TypeConfig> {
    match error {
        RpcError::Remote(_) | RpcError::Timeout { .. } => RPCError::Network(NetworkError::new(&error)),
        _ => RPCError::Unreachable(Unreachable::new(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use openraft::alias::LeaderIdOf;
    use openraft::vote::RaftLeaderIdExt;
    use openraft::{Entry, EntryPayload, Vote};

    use super::*;
    use crate::config::ClusterTls;
    use crate::network::{LocalIdentity, NetworkTls};
    use crate::server::PeerHandler;
    use crate::type_config::LogId;

    /// Panics when it does not come up.
    #[track_caller]
    fn endpoint(node: NodeId) -> Endpoint {
        let tls = NetworkTls::load(&ClusterTls::InsecureLoopback).unwrap_or_else(|error| panic!("{error}"));
        let handler = Arc::new(PeerHandler { node: OnceLock::new() });
        let bind = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        Endpoint::bind(bind, tls, Arc::new(LocalIdentity::new(node, None)), handler)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[tokio::test]
    async fn a_peer_is_not_tried_before_openraft_has_a_request_for_it() {
        let (here, there) = (endpoint(1), endpoint(2));
        let asked = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&asked);
        let input = futures_util::stream::iter([AppendEntriesRequest::<TypeConfig> {
            vote: Vote::new(1, 1),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        }])
        .inspect(move |_| hears.store(true, Ordering::Release));
        // The node at that address is another one: refused as soon as it has said so.
        let peer = here.peer(&there.local_addr().to_string(), Some(3));
        let result = append_stream(peer, input, RPCOption::new(Duration::from_secs(5))).await;
        assert!(matches!(result, Err(RPCError::Unreachable(_))));
        assert!(asked.load(Ordering::Acquire), "refused without a look at what is to be sent");
    }

    fn request(entries: usize) -> AppendEntriesRequest<TypeConfig> {
        let entry = |index| Entry {
            log_id: LogId::new(LeaderIdOf::<TypeConfig>::new_committed(1, 1), index),
            payload: EntryPayload::Blank,
        };
        let entries = (1..=entries as u64).map(entry).collect();
        AppendEntriesRequest { vote: Vote::new(1, 1), prev_log_id: None, entries, leader_commit: None }
    }

    #[tokio::test]
    async fn news_of_a_commit_travel_with_what_is_proposed_because_of_it_or_alone() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let mut input = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)).fuse();
        // Who hears of the commit proposes, a few tasks later.
        sender.try_send(request(0)).unwrap_or_else(|error| panic!("{error}"));
        let proposing = tokio::spawn(async move {
            let proposer = tokio::spawn(async move {
                let sent = sender.send(request(2)).await;
                sent.map(|()| sender)
            });
            proposer.await
        });
        assert_eq!(next_worth_sending(&mut input).await.map(|sent| sent.entries.len()), Some(2));
        let Ok(Ok(Ok(sender))) = proposing.await else { panic!("the proposer is gone") };
        // Nobody proposes anything: the news are not kept back.
        sender.try_send(request(0)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(next_worth_sending(&mut input).await.map(|sent| sent.entries.len()), Some(0));
        sender.try_send(request(0)).unwrap_or_else(|error| panic!("{error}"));
        drop(sender);
        assert_eq!(next_worth_sending(&mut input).await.map(|sent| sent.entries.len()), Some(0));
        assert!(next_worth_sending(&mut input).await.is_none());
    }
}
