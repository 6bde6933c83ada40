//! Raft's handle, as this crate may use it: every call is carried to its end, also when whoever made it is gone.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use futures_util::{Stream, StreamExt};
use openraft::alias::{CommittedLeaderIdOf, JoinErrorOf, WatchReceiverOf, WriteResponderOf};
use openraft::errors::{ClientWriteError, Fatal, InitializeError, LinearizableReadError, RaftError};
use openraft::impls::{BasicNode, ProgressResponder};
use openraft::metrics::RaftServerMetrics;
use openraft::raft::linearizable_read::Linearizer;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, ClientWriteResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{ChangeMembers, Config, RaftMetrics, ReadPolicy};
use tokio::sync::watch;
use vedfolnir_state::NodeId;

use crate::raft_network::NetworkFactory;
use crate::state_machine::StateMachine;
use crate::type_config::{EntryBytes, Snapshot, TypeConfig, Vote};

/// Not written by this leader; whether a later one commits it is unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusedWrite;

impl From<Fatal<TypeConfig>> for RefusedWrite {
    fn from(_: Fatal<TypeConfig>) -> Self {
        Self
    }
}

type Answer<T> = Result<T, RaftError<TypeConfig>>;
type Written = Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;
type Read<T> = Result<T, RaftError<TypeConfig, LinearizableReadError<TypeConfig>>>;

/// openraft's handle.
///
/// A call that finds the core ended joins it; were that call dropped half-way (its peer hung up, its time was over), the
/// core would count as being joined for ever, and every call after it panics (`raft_inner.rs`,
/// `get_core_stop_error`). So nothing here is cancelled: a call whose caller is gone runs on as a task of its own.
///
/// Nor is a call waited for once the core has ended and was joined. A message to the core that is sent while the core drops its
/// end of the channel may stay in there, with the sender of the answer (`tokio::sync::mpsc::Receiver` drains what it finds at
/// that moment only), for as long as somebody holds the handle, as the call itself does: its caller, which holds the node and so
/// the lock on its data directory, would wait for ever.
#[derive(Clone)]
pub(crate) struct Raft {
    raft: openraft::Raft<TypeConfig, StateMachine>,
    /// The core has ended and was joined.
    ended: watch::Sender<bool>,
}

impl Raft {
    pub(crate) async fn open(
        id: NodeId,
        config: Arc<Config>,
        network: NetworkFactory,
        log: vedfolnir_storage::LogStore<TypeConfig>,
        machine: StateMachine,
    ) -> Result<Self, Fatal<TypeConfig>> {
        let raft = openraft::Raft::new(id, config, network, log, machine).await?;
        Ok(Self { raft, ended: watch::channel(false).0 })
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    /// Changes with every entry: look at it, do not follow it.
    pub(crate) fn metrics(&self) -> WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>> {
        self.raft.metrics()
    }

    /// Changes with the leader and the membership.
    pub(crate) fn server_metrics(&self) -> WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>> {
        self.raft.server_metrics()
    }

    pub(crate) async fn is_initialized(&self) -> Result<bool, Fatal<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.is_initialized().await }).await
    }

    pub(crate) async fn initialize(
        &self,
        members: BTreeMap<NodeId, BasicNode>,
    ) -> Result<(), RaftError<TypeConfig, InitializeError<TypeConfig>>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.initialize(members).await }).await
    }

    pub(crate) async fn vote(&self, request: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.vote(request).await }).await
    }

    pub(crate) async fn pre_vote(&self, request: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.pre_vote(request).await }).await
    }

    pub(crate) async fn append_entries(
        &self,
        request: AppendEntriesRequest<TypeConfig>,
    ) -> Answer<AppendEntriesResponse<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.append_entries(request).await }).await
    }

    /// The answers must be awaited to the last one, or dropped only between two: they are not carried to their end. There are
    /// no more of them once the core has ended.
    pub(crate) fn stream_append(
        &self,
        requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
    ) -> impl Stream<Item = Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>> + Send + 'static {
        self.raft.stream_append(requests).take_until(ended(&self.ended))
    }

    pub(crate) async fn install_full_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<TypeConfig>, Fatal<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.install_full_snapshot(vote, snapshot).await }).await
    }

    pub(crate) async fn handle_transfer_leader(
        &self,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Fatal<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.handle_transfer_leader(request).await }).await
    }

    pub(crate) async fn transfer_leader(&self, to: NodeId) -> Result<(), Fatal<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.trigger().transfer_leader(to).await }).await
    }

    /// Asks for a snapshot of what is applied, unless one is being taken.
    pub(crate) async fn take_snapshot(&self) -> Result<(), Fatal<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.trigger().snapshot().await }).await
    }

    /// Asks for the log to be purged up to this index, that one included: now, or once no follower reads it any more.
    pub(crate) async fn purge_log(&self, end: u64) -> Result<(), Fatal<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.trigger().purge_log(end).await }).await
    }

    /// Returns once the entry is committed and applied here.
    pub(crate) async fn client_write(&self, entry: EntryBytes) -> Written {
        let raft = self.raft.clone();
        self.whole(async move { raft.client_write(entry).await }).await
    }

    /// Which leadership this node holds, as far as it knows.
    pub(crate) fn leadership(&self) -> Option<CommittedLeaderIdOf<TypeConfig>> {
        self.raft.as_leader().ok().map(|leader| leader.to_committed_leader_id())
    }

    /// As [`Self::client_write`], refused if the leadership is not this one (any more); `held` until it is decided.
    pub(crate) async fn client_write_under(
        &self,
        leadership: CommittedLeaderIdOf<TypeConfig>,
        entry: EntryBytes,
        held: impl Send + 'static,
    ) -> Result<(), RefusedWrite> {
        let raft = self.raft.clone();
        self.whole(async move {
            let (responder, verdict) = ProgressResponder::complete_only();
            raft.write(entry).with_leader(leadership).responder(responder).await.map_err(|_| RefusedWrite)?;
            let decided = verdict.await;
            drop(held);
            match decided {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(RefusedWrite),
            }
        })
        .await
    }

    /// Returns once the core was handed the entry; the responder tells what became of it.
    pub(crate) async fn client_write_ff(
        &self,
        entry: EntryBytes,
        responder: WriteResponderOf<TypeConfig>,
    ) -> Result<(), Fatal<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.client_write_ff(entry, Some(responder)).await }).await
    }

    pub(crate) async fn change_membership(&self, change: ChangeMembers<NodeId, BasicNode>, retain: bool) -> Written {
        let raft = self.raft.clone();
        self.whole(async move { raft.change_membership(change, retain).await }).await
    }

    /// Does not wait until the learner has the log.
    pub(crate) async fn add_learner(&self, id: NodeId, member: BasicNode) -> Written {
        let raft = self.raft.clone();
        self.whole(async move { raft.add_learner(id, member, false).await }).await
    }

    /// Confirms with a quorum that this node leads; tells up to where is to be read.
    pub(crate) async fn read_linearizer(&self) -> Read<Linearizer<TypeConfig>> {
        let raft = self.raft.clone();
        self.whole(async move { raft.get_read_linearizer(ReadPolicy::ReadIndex).await }).await
    }

    /// As [`Self::read_linearizer`], and waits until all of that is applied here.
    pub(crate) async fn ensure_linearizable(&self) -> Read<()> {
        let raft = self.raft.clone();
        self.whole(async move { raft.ensure_linearizable(ReadPolicy::ReadIndex).await.map(drop) }).await
    }

    /// Ends the core and returns when it has ended.
    pub(crate) async fn shutdown(&self) -> Result<(), JoinErrorOf<TypeConfig>> {
        let (raft, ended) = (self.raft.clone(), self.ended.clone());
        whole(async move {
            let joined = raft.shutdown().await;
            ended.send_replace(true);
            joined
        })
        .await
    }

    /// As [`whole`], for as long as there is a core that can answer.
    async fn whole<T, E>(&self, call: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fatal<TypeConfig>> + Send + 'static,
    {
        let mut call = std::pin::pin!(whole(call));
        if let Poll::Ready(done) = futures_util::poll!(call.as_mut()) {
            return done;
        }
        answer_before(ended(&self.ended), call).await
    }
}

/// Resolves once the core has ended and was joined.
fn ended(signal: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut signal = signal.subscribe();
    async move {
        // Without a sender there is no handle either, and nobody who would have given the signal.
        if signal.wait_for(|ended| *ended).await.is_err() {
            std::future::pending().await
        }
    }
}

/// What the call answers; that the core has stopped, when it has not answered by its end.
async fn answer_before<T, E: From<Fatal<TypeConfig>>>(
    ended: impl Future<Output = ()>,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        biased;
        done = call => done,
        () = ended => Err(Fatal::Stopped.into()),
    }
}

/// Runs `call` to its end, even if this future is dropped. What is done at once costs no task.
async fn whole<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> T {
    let mut call = Box::pin(call);
    if let Poll::Ready(done) = futures_util::poll!(call.as_mut()) {
        return done;
    }
    match tokio::spawn(call).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::{oneshot, watch};

    use super::{Fatal, RefusedWrite, TypeConfig, answer_before, ended, whole};

    #[tokio::test]
    async fn a_call_whose_caller_is_gone_is_carried_to_its_end() {
        let (go, gate) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let call = async move {
            let opened = gate.await;
            let _ = done.send(opened);
        };
        assert!(whole(call).now_or_never().is_none(), "it waits at the gate; its caller gives up");
        go.send(()).expect("the call still waits");
        ended.await.expect("the call was not dropped").expect("the gate was opened");
    }

    #[tokio::test]
    async fn a_call_that_the_core_never_answered_ends_with_the_core() {
        let core = watch::channel(false).0;
        // Its sender lies in the channel to the core, which the call keeps open.
        let (_unanswered, answer) = oneshot::channel::<()>();
        let call = whole(async move { answer.await.map_err(|_| Fatal::<TypeConfig>::Panicked) });
        let mut call = std::pin::pin!(answer_before(ended(&core), call));
        assert!(call.as_mut().now_or_never().is_none(), "the core runs: it may answer yet");
        core.send_replace(true);
        assert_eq!(call.await, Err(Fatal::Stopped));
    }

    #[tokio::test]
    async fn what_was_answered_before_the_core_ended_counts() {
        let core = watch::channel(true).0;
        let answered = answer_before(ended(&core), std::future::ready(Ok::<_, RefusedWrite>(7)));
        assert_eq!(answered.await.ok(), Some(7));
    }

    #[tokio::test]
    async fn what_is_done_at_once_needs_no_task() {
        assert_eq!(whole(std::future::ready(7)).now_or_never(), Some(7));
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_is_the_callers() {
        whole(async {
            tokio::task::yield_now().await;
            std::panic::resume_unwind(Box::new("on purpose"));
        })
        .await
    }
}
