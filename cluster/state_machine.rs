//! openraft's state machine: the adapter onto `State`.
//!
//! The state lives in memory; what makes it durable is the log and the last snapshot. After a restart openraft
//! replays the committed log from the snapshot on, which is harmless: no socket is there to hear the effects.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use vedfolnir_state::{Effect, Format, LogPosition, Outcome, State, written_in};
use vedfolnir_storage::{SnapshotFile, SnapshotStore};

use crate::admission::speaks_too_little;
use crate::background;
use crate::handle::Notice;
use crate::identity::LocalNode;
use crate::proposer::Proposer;
use crate::replica::Replica;
use crate::type_config::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::wire;

/// A snapshot's body may expand to this much at most; beyond it the file is refused.
pub(crate) const SNAPSHOT_BODY_BYTES_MAX: u64 = 16 << 30;

/// See the module.
pub struct StateMachine {
    replica: Arc<Replica>,
    proposer: Arc<Proposer>,
    snapshots: SnapshotStore,
    local: LocalNode,
    /// The highest format that this node may speak.
    speaks: Format,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateMachine {
    /// Starts from the newest snapshot, or empty.
    pub(crate) async fn open(
        replica: Arc<Replica>,
        proposer: Arc<Proposer>,
        snapshots: SnapshotStore,
        local: LocalNode,
        speaks: Format,
    ) -> io::Result<Self> {
        let (last_applied, membership) = (None, StoredMembership::default());
        let mut machine = Self { replica, proposer, snapshots, local, speaks, last_applied, membership };
        if let Some(file) = machine.snapshots.latest().map_err(io::Error::other)? {
            let meta = decode_meta(&file)?;
            check_format(&file, speaks).map_err(io::Error::other)?;
            let loading = tokio::task::spawn_blocking(move || load_state(&file));
            let state = loading.await.map_err(io::Error::other)??;
            machine.replica.write(|current| *current = state);
            machine.last_applied = meta.last_log_id;
            machine.membership = meta.last_membership;
            machine.take_format(Format::FIRST, machine.replica.read(State::format))?;
        }
        Ok(machine)
    }

    /// The cluster's format may have risen: that is on disk before anything else happens, so that no binary that does
    /// not speak it starts on this data directory.
    fn take_format(&self, before: Format, format: Format) -> io::Result<()> {
        if format > before {
            self.local.raise_format(format).map_err(io::Error::other)?;
            self.proposer.set_format(format);
            tracing::info!("the cluster writes format {format}: every member speaks it");
        }
        Ok(())
    }

    async fn apply_empty(&self, index: u64) {
        self.replica.write(|state| state.apply_empty(index));
        #[cfg(feature = "simulation")]
        crate::probe::applied(&self.replica, index, None);
        self.replica.notify(Notice::Applied { index, effects: Vec::new(), handed: None }).await;
    }

    async fn apply_entry(&mut self, index: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(found) = written_in(bytes).filter(|found| *found > self.speaks.number()) {
            return Err(io::Error::other(format!(
                "log entry {index} is written in format {found}, {}",
                speaks_too_little(found, self.speaks)
            )));
        }
        let (before, applied, format) = self.replica.write(|state| {
            let before = state.format();
            let applied = state.apply(index, bytes);
            (before, applied, state.format())
        });
        self.take_format(before, format)?;
        #[cfg(feature = "planted-bugs")]
        crate::planted::applied(&self.replica, self.proposer.incarnation(), index, bytes);
        #[cfg(feature = "simulation")]
        crate::probe::applied(&self.replica, index, Some((bytes, &applied)));
        let metrics = &self.replica.metrics;
        match &applied.outcome {
            Outcome::Executed { responses, .. } => {
                metrics.commands_applied_total.fetch_add(responses.len() as u64, Relaxed);
            }
            // What is newer was refused above; this is no number that any release has written.
            Outcome::UnknownVersion { version } => {
                return Err(io::Error::other(format!("log entry {index} is written in an unknown format {version}")));
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
        let handed = applied.origin.and_then(|origin| self.replica.arrivals.take(origin));
        self.replica.notify(Notice::Applied { index, effects: applied.effects, handed }).await;
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
            state: Some(self.replica.read(Clone::clone)),
            snapshots: self.snapshots.clone(),
            meta: SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() },
            replica: Arc::clone(&self.replica),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let state = background::run("install", move || load_state(&snapshot)).await??;
        let incarnation = self.proposer.incarnation();
        let format = state.format();
        let replaced = self.replica.write(|current| std::mem::replace(current, state));
        self.take_format(replaced.format(), format)?;
        // Giving a large state back takes seconds, and whoever reads would wait for the lock as long.
        background::drop_later(replaced);
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
    /// Taken by the thread that writes it, so that it is given back there as well.
    state: Option<State>,
    snapshots: SnapshotStore,
    meta: SnapshotMeta,
    replica: Arc<Replica>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta_bytes = wire::encode("snapshot meta", &self.meta).map_err(io::Error::other)?;
        let _building = Building::begin(Arc::clone(&self.replica));
        let state = self.state.take().ok_or_else(|| io::Error::other("a builder builds one snapshot"))?;
        let snapshots = self.snapshots.clone();
        let position = self.meta.last_log_id.map_or(0, |log_id| log_id.index);
        let file = background::run("snapshot", move || {
            let mut writer = snapshots.create_at(position, &meta_bytes).map_err(io::Error::other)?;
            state.encode_snapshot(&mut writer).map_err(io::Error::other)?;
            // What has changed meanwhile is held by nobody else.
            drop(state);
            writer.finish().map_err(io::Error::other)
        })
        .await??;
        self.replica.metrics.snapshots_built_total.fetch_add(1, Relaxed);
        Ok(Snapshot { meta: self.meta.clone(), snapshot: file })
    }
}

/// A snapshot that is being built, in the metrics.
struct Building {
    replica: Arc<Replica>,
    began: Instant,
}

impl Building {
    fn begin(replica: Arc<Replica>) -> Self {
        replica.metrics.snapshots_building.fetch_add(1, Relaxed);
        Self { replica, began: Instant::now() }
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        let metrics = &self.replica.metrics;
        metrics.snapshots_building.fetch_sub(1, Relaxed);
        metrics.snapshot_build_micros_total.fetch_add(self.began.elapsed().as_micros() as u64, Relaxed);
    }
}

fn decode_meta(file: &SnapshotFile) -> io::Result<SnapshotMeta> {
    wire::decode("snapshot meta", file.meta()).map_err(io::Error::other)
}

/// Whether a node that speaks this much can read the state in this file; if not, the end of a line that says so.
pub(crate) fn check_format(file: &SnapshotFile, speaks: Format) -> Result<(), String> {
    let mut version = [0];
    file.open_body(SNAPSHOT_BODY_BYTES_MAX)
        .map_err(|error| error.to_string())?
        .read_exact(&mut version)
        .map_err(|error| format!("the snapshot's body cannot be read: {error}"))?;
    match version {
        [found] if found > speaks.number() => {
            Err(format!("the snapshot is written in format {found}, {}", speaks_too_little(found, speaks)))
        }
        _ => Ok(()),
    }
}

fn load_state(file: &SnapshotFile) -> io::Result<State> {
    let body = file.open_body(SNAPSHOT_BODY_BYTES_MAX).map_err(io::Error::other)?;
    State::decode_snapshot(body).map_err(io::Error::other)
}
