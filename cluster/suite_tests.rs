//! openraft's own storage suite on what a node runs on: the log store, the state machine and the snapshots.
#![allow(clippy::expect_used)]

use std::io::{self, Read};
use std::sync::Arc;

use futures_util::Stream;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, StorageError as RaftStorageError};
use tempfile::TempDir;
use vedfolnir_state::Format;
use vedfolnir_storage::{LogStore, SnapshotFile, SnapshotStore, Storage, StorageOptions};

use crate::identity::LocalNode;
use crate::proposer::Proposer;
use crate::replica::Replica;
use crate::state_machine::{SnapshotBuilder, StateMachine};
use crate::status::ClusterMetrics;
use crate::type_config::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};

/// A node's state machine, and its way of getting another node's snapshot: the suite hands over the other's file, which a
/// node receives into its own directory before Raft installs it (`snapshot_transfer`).
struct Member {
    machine: StateMachine,
    snapshots: SnapshotStore,
}

impl RaftStateMachine<TypeConfig> for Member {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        self.machine.applied_state().await
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        self.machine.apply(entries).await
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.machine.get_snapshot_builder().await
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let mut incoming = self.snapshots.receive().map_err(io::Error::other)?;
        let mut raw = Vec::new();
        snapshot.open_raw().map_err(io::Error::other)?.read_to_end(&mut raw)?;
        incoming.write(&raw).map_err(io::Error::other)?;
        let received = incoming.finish().map_err(io::Error::other)?;
        self.machine.install_snapshot(meta, received).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.machine.get_current_snapshot().await
    }
}

struct Members;

impl StoreBuilder<TypeConfig, LogStore<TypeConfig>, Member, TempDir> for Members {
    async fn build(&self) -> Result<(TempDir, LogStore<TypeConfig>, Member), RaftStorageError<TypeConfig>> {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = Storage::open(dir.path(), StorageOptions::default()).expect("opens");
        let local = LocalNode::open(storage.clone(), Format::NEWEST).expect("an identity");
        let metrics = Arc::new(ClusterMetrics::default());
        // Nobody has attached to the replica: it tells nobody what is applied.
        let (replica, _notices) = Replica::new(Arc::clone(&metrics));
        let proposer = Arc::new(Proposer::new(local.incarnation(), metrics));
        let snapshots = storage.snapshots();
        let machine = StateMachine::open(replica, proposer, snapshots.clone(), local, Format::NEWEST);
        let machine = machine.await.expect("opens");
        Ok((dir, storage.log_store(), Member { machine, snapshots }))
    }
}

#[test]
fn openraft_s_own_suite_passes() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(Suite::test_all(Members)).expect("the suite passes");
}
