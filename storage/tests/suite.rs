//! Storage against openraft's own suite, on a real state machine whose snapshots are real files.

use std::collections::BTreeMap;
use std::io::{self, Read};

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, OptionalSend, StorageError as RaftStorageError};
use tempfile::TempDir;

use super::{Config, LogId, open};
use crate::{LogStore, SnapshotFile, SnapshotStore};

type StoredMembership = openraft::alias::StoredMembershipOf<Config>;
type SnapshotMeta = openraft::alias::SnapshotMetaOf<Config>;
type Snapshot = openraft::alias::SnapshotOf<Config, SnapshotFile>;

/// Remembers what was applied; its snapshots are real files.
struct Machine {
    applied: BTreeMap<u64, String>,
    last: Option<LogId>,
    membership: StoredMembership,
    snapshots: SnapshotStore,
}

impl RaftStateMachine<Config> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Config>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            match entry.payload {
                EntryPayload::Normal(text) => drop(self.applied.insert(entry.log_id.index, text)),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
                EntryPayload::Blank => {}
            }
            self.last = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            applied: self.applied.clone(),
            meta: SnapshotMeta { last_log_id: self.last, last_membership: self.membership.clone() },
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        // The suite hands over another node's file: it travels as it does over a network.
        let mut incoming = self.snapshots.receive().map_err(io::Error::other)?;
        let mut raw = Vec::new();
        snapshot.open_raw().map_err(io::Error::other)?.read_to_end(&mut raw)?;
        incoming.write(&raw).map_err(io::Error::other)?;
        let received = incoming.finish().map_err(io::Error::other)?;
        let body = received.open_body(1 << 30).map_err(io::Error::other)?;
        self.applied = rmp_serde::from_read(body).map_err(io::Error::other)?;
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let Some(file) = self.snapshots.latest().map_err(io::Error::other)? else { return Ok(None) };
        let meta = rmp_serde::from_slice(file.meta()).map_err(io::Error::other)?;
        Ok(Some(Snapshot { meta, snapshot: file }))
    }
}

struct Builder {
    applied: BTreeMap<u64, String>,
    meta: SnapshotMeta,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<Config> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta = rmp_serde::to_vec(&self.meta).map_err(io::Error::other)?;
        let position = self.meta.last_log_id.map_or(0, |last| last.index);
        let mut writer = self.snapshots.create_at(position, &meta).map_err(io::Error::other)?;
        rmp_serde::encode::write(&mut writer, &self.applied).map_err(io::Error::other)?;
        let snapshot = writer.finish().map_err(io::Error::other)?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}

struct Rooms;

impl StoreBuilder<Config, LogStore<Config>, Machine, TempDir> for Rooms {
    async fn build(&self) -> Result<(TempDir, LogStore<Config>, Machine), RaftStorageError<Config>> {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = open(&dir);
        let snapshots = storage.snapshots();
        let machine =
            Machine { applied: BTreeMap::new(), last: None, membership: StoredMembership::default(), snapshots };
        Ok((dir, storage.log_store(), machine))
    }
}

#[test]
fn openraft_s_own_suite_passes() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(Suite::test_all(Rooms)).expect("the suite passes");
}
