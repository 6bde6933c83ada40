//! openraft's state machine: the adapter onto `State`.
//!
//! The state lives in memory; what makes it durable is the log and the last snapshot. After a restart openraft
//! replays the committed log from the snapshot on, which is harmless: no socket is there to hear the effects.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use vedfolnir_state::{Effect, LogPosition, Outcome, State};
use vedfolnir_storage::{SnapshotFile, SnapshotStore};

use crate::handle::Notice;
use crate::proposer::Proposer;
use crate::replica::Replica;
use crate::type_config::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::wire;

/// A snapshot's body may expand to this much at most; beyond it the file is refused.
const SNAPSHOT_BODY_BYTES_MAX: u64 = 16 << 30;

/// See the module.
pub struct StateMachine {
    replica: Arc<Replica>,
    proposer: Arc<Proposer>,
    snapshots: SnapshotStore,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateMachine {
    /// Starts from the newest snapshot, or empty.
    pub(crate) async fn open(
        replica: Arc<Replica>,
        proposer: Arc<Proposer>,
        snapshots: SnapshotStore,
    ) -> io::Result<Self> {
        let mut machine =
            Self { replica, proposer, snapshots, last_applied: None, membership: StoredMembership::default() };
        if let Some(file) = machine.snapshots.latest().map_err(io::Error::other)? {
            let meta = decode_meta(&file)?;
            let state = load_state(file).await?;
            machine.replica.write(|current| *current = state);
            machine.last_applied = meta.last_log_id;
            machine.membership = meta.last_membership;
        }
        Ok(machine)
    }

    async fn apply_empty(&self, index: u64) {
        self.replica.write(|state| state.apply_empty(index));
        #[cfg(feature = "simulation")]
        crate::probe::applied(&self.replica, index, None);
        self.replica.notify(Notice::Applied { index, effects: Vec::new() }).await;
    }

    async fn apply_entry(&mut self, index: u64, bytes: &[u8]) -> io::Result<()> {
        let applied = self.replica.write(|state| state.apply(index, bytes));
        #[cfg(feature = "simulation")]
        crate::probe::applied(&self.replica, index, Some((self.proposer.incarnation(), bytes, &applied)));
        let metrics = &self.replica.metrics;
        match &applied.outcome {
            Outcome::Executed { responses, .. } => {
                metrics.commands_applied_total.fetch_add(responses.len() as u64, Relaxed);
            }
            Outcome::UnknownVersion { version } => {
                return Err(io::Error::other(format!(
                    "log entry {index} is of version {version}, which this binary does not know: \
                     it was written by a newer one; start that one on this data directory"
                )));
            }
            Outcome::Malformed => tracing::error!(index, "a committed entry is no proposal; every replica skips it"),
            Outcome::Gap { .. } | Outcome::NotLive => {}
        }
        let fenced = applied.effects.iter().any(|at| match &at.effect {
            Effect::NodeDown { incarnation } => self.proposer.fence(*incarnation),
            _ => false,
        });
        if applied.effects.iter().any(|at| matches!(at.effect, Effect::Event(_))) {
            self.replica.say(index);
        }
        if fenced {
            tracing::warn!(
                index,
                "this node was declared down while alive; it closes its sockets and starts a new life"
            );
        }
        // Also without effects: the service follows how far the replica is by what it is told.
        self.replica.notify(Notice::Applied { index, effects: applied.effects }).await;
        if let Some(origin) = applied.origin {
            self.proposer.handle_applied(origin, applied.outcome);
        }
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let index = entry.log_id.index;
            match entry.payload {
                EntryPayload::Normal(bytes) => self.apply_entry(index, &bytes.0).await?,
                EntryPayload::Blank => self.apply_empty(index).await,
                EntryPayload::Membership(membership) => {
                    self.apply_empty(index).await;
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            self.last_applied = Some(entry.log_id);
            self.replica.metrics.entries_applied_total.fetch_add(1, Relaxed);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            // Persistent maps: the copy shares everything with the living state and costs nothing to take.
            state: self.replica.read(Clone::clone),
            snapshots: self.snapshots.clone(),
            meta: SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() },
            replica: Arc::clone(&self.replica),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let state = load_state(snapshot).await?;
        let incarnation = self.proposer.incarnation();
        self.replica.write(|current| *current = state);
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.replica.metrics.snapshots_installed_total.fetch_add(1, Relaxed);
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index);
        #[cfg(feature = "simulation")]
        crate::probe::installed(&self.replica, index);
        self.replica.say(index);
        self.replica.notify(Notice::Resync { applied: LogPosition::end_of(index) }).await;
        let last_sequence = self.replica.read(|state| state.last_sequence(incarnation));
        match last_sequence {
            Some(last) => self.proposer.handle_installed(Some(last)),
            // Live before, unknown to the new state: it was declared down meanwhile.
            None => {
                self.proposer.fence(incarnation);
            }
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let Some(file) = self.snapshots.latest().map_err(io::Error::other)? else { return Ok(None) };
        Ok(Some(Snapshot { meta: decode_meta(&file)?, snapshot: file }))
    }
}

/// Writes one snapshot, away from the task that applies.
pub struct SnapshotBuilder {
    state: State,
    snapshots: SnapshotStore,
    meta: SnapshotMeta,
    replica: Arc<Replica>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta_bytes = wire::encode("snapshot meta", &self.meta).map_err(io::Error::other)?;
        let state = self.state.clone();
        let snapshots = self.snapshots.clone();
        let position = self.meta.last_log_id.map_or(0, |log_id| log_id.index);
        let file = tokio::task::spawn_blocking(move || {
            let mut writer = snapshots.create_at(position, &meta_bytes).map_err(io::Error::other)?;
            state.encode_snapshot(&mut writer).map_err(io::Error::other)?;
            writer.finish().map_err(io::Error::other)
        })
        .await
        .map_err(io::Error::other)??;
        self.replica.metrics.snapshots_built_total.fetch_add(1, Relaxed);
        Ok(Snapshot { meta: self.meta.clone(), snapshot: file })
    }
}

fn decode_meta(file: &SnapshotFile) -> io::Result<SnapshotMeta> {
    wire::decode("snapshot meta", file.meta()).map_err(io::Error::other)
}

async fn load_state(file: SnapshotFile) -> io::Result<State> {
    tokio::task::spawn_blocking(move || {
        let body = file.open_body(SNAPSHOT_BODY_BYTES_MAX).map_err(io::Error::other)?;
        State::decode_snapshot(body).map_err(io::Error::other)
    })
    .await
    .map_err(io::Error::other)?
}
