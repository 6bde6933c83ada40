//! An empty data directory becomes that of the first node of a new cluster, whose state comes from a backup.
//!
//! The state is turned into a new cluster's ([`State::restored`]) and written as a snapshot at the position after the
//! backup's; its membership is this node alone or, where nodes have promised each other to form a cluster, all of them. A
//! node that starts on it finds itself initialised; the others join, or have the snapshot sent to them, as ever. What a
//! client knows of the old cluster (its session, its offset) is worth as much as both have in common. What a node of the old
//! cluster knows is worth nothing: it is of another cluster, and is refused at the first Hello.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openraft::Membership;
use openraft::impls::BasicNode;
use openraft::vote::RaftLeaderIdExt;
use vedfolnir_state::{NodeId, Restoration, SidKey, State, StateCounts};
use vedfolnir_storage::{Storage, StorageError, StorageOptions, set_aside};

use crate::backup::{About, BackupError, BackupKey, LoadedBackup, load};
use crate::handle::StartError;
use crate::hex;
use crate::identity::{IDENTITY_KEY, IdentityRecord, random_bytes};
pub use crate::replay::{ArchivedLog, OpenSegment, Replayed, Until};
use crate::type_config::{LogId, SnapshotMeta, StoredMembership, TypeConfig, Vote};
use crate::wire::{self, WireError};

/// A data directory that is held for longer than this is in use.
const DIRECTORY_HELD_MAX: Duration = Duration::from_secs(2);
const HELD_RETRY: Duration = Duration::from_millis(20);

/// What is to become of the directory.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// What the backup is encrypted with.
    pub key: Option<BackupKey>,
    /// HOST:PORT that peers will reach the node at; empty: the node says so itself once it runs.
    pub cluster_addr: String,
    /// Everything is read and verified, and nothing is written.
    pub dry_run: bool,
    /// The state that the directory holds is moved into a directory of this name inside it; `None`: it must hold none.
    pub set_aside: Option<String>,
    /// The node is to form a cluster with others that have promised it: with them, and under the id that was drawn then.
    pub as_planned: bool,
}

/// What was restored, or would have been.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub about: About,
    /// What is in the state.
    pub counts: StateCounts,
    /// Id of the new cluster, 32 hexadecimal digits; empty after a dry run.
    pub cluster_id: String,
    /// The node, 16 hexadecimal digits; empty after a dry run.
    pub node_id: String,
    /// The first log index of the new cluster.
    pub raft_index: u64,
    /// What of the archived log is in it; `None`: nothing was asked for.
    pub replayed: Option<Replayed>,
    /// Where the state that the directory held is now.
    pub set_aside: Option<PathBuf>,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

/// Why nothing was restored; the directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The directory cannot be used, or its disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory belongs to a cluster, or another reason of the node's.
    #[error("{0}")]
    Refused(String),
}

impl From<StartError> for RestoreError {
    fn from(error: StartError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<WireError> for RestoreError {
    fn from(error: WireError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Restores a backup into a data directory whose node does not run. Killed at any moment it leaves the directory as it was,
/// or complete.
///
/// # Errors
/// [`RestoreError`]; the directory is as it was.
pub fn restore(data_dir: &Path, input: impl Read, options: &RestoreOptions) -> Result<Restored, RestoreError> {
    restore_to(data_dir, input, None, &|| true, options)
}

/// As [`restore`], and goes on through the archived log before anything is written; `proceed` is asked once between reading
/// and writing.
///
/// # Errors
/// [`RestoreError`]; the directory is as it was.
pub fn restore_to(
    data_dir: &Path,
    input: impl Read,
    log: Option<&ArchivedLog<'_>>,
    proceed: &dyn Fn() -> bool,
    options: &RestoreOptions,
) -> Result<Restored, RestoreError> {
    let began = Instant::now();
    // The cheap question first: a backup may be large.
    let is_new = !data_dir.join("db").exists();
    if !is_new && options.set_aside.is_none() {
        refuse_over_data(&open(data_dir)?, data_dir, options.as_planned)?;
    }
    let key = options.key.as_ref();
    let mut loaded = load(input, key)?;
    let replayed = log.map(|log| loaded.replay(log, key)).transpose()?;
    let LoadedBackup { about, state, .. } = loaded;
    let term = replayed.as_ref().map_or(about.term, |replayed| replayed.term.max(about.term));
    if !proceed() {
        return Err(RestoreError::Refused("it was given up".to_owned()));
    }
    let counts = state.counts();
    let mut restored = Restored {
        raft_index: state.applied().index.saturating_add(1),
        replayed,
        about,
        counts,
        cluster_id: String::new(),
        node_id: String::new(),
        set_aside: None,
        duration_ms: 0,
    };
    if !options.dry_run {
        if let Some(name) = &options.set_aside {
            restored.set_aside = set_aside(data_dir, name)?;
        }
        let storage = open(data_dir)?;
        refuse_over_data(&storage, data_dir, options.as_planned)?;
        storage.begin_restore()?;
        let identity = fill(&storage, state, term, options).inspect_err(|_| {
            if let Err(error) = storage.abandon_restore(data_dir) {
                tracing::warn!(%error, "what was begun is removed at the next start");
            }
        })?;
        restored.cluster_id = identity.cluster_id.map(|id| hex(&id)).unwrap_or_default();
        restored.node_id = format!("{:016x}", identity.node_id);
    }
    restored.duration_ms = began.elapsed().as_millis() as u64;
    Ok(restored)
}

/// A node that has just ended may hold it for a moment.
fn open(data_dir: &Path) -> Result<Storage, StorageError> {
    let deadline = Instant::now() + DIRECTORY_HELD_MAX;
    loop {
        match Storage::open(data_dir, StorageOptions::default()) {
            Err(error) if error.is_locked() && Instant::now() < deadline => std::thread::sleep(HELD_RETRY),
            result => return result,
        }
    }
}

fn identity_of(storage: &Storage) -> Result<Option<IdentityRecord>, RestoreError> {
    let stored = storage.get_meta(IDENTITY_KEY)?;
    Ok(stored.map(|bytes| wire::decode("node identity", &bytes)).transpose()?)
}

fn refuse_over_data(storage: &Storage, data_dir: &Path, as_planned: bool) -> Result<(), RestoreError> {
    let refused = |what: &str| {
        Err(RestoreError::Refused(format!(
            "--data-dir (WEBSOCKET_DATA_DIR) {} {what}: restore into an empty directory, or with --force, which moves what \
             is there into a directory inside it",
            data_dir.display()
        )))
    };
    let identity = identity_of(storage)?;
    let bound = identity.as_ref().is_some_and(|identity| identity.cluster_id.is_some() || identity.plan.is_some());
    if storage.holds_state()? {
        return refused("holds a node's state");
    }
    // A node that is to form its cluster now is bound to it and has nothing yet.
    if bound && !as_planned { refused("belongs to a cluster that is being formed") } else { Ok(()) }
}

/// Writes the snapshot, then makes it count together with the node's identity. No entry of the old log is of a later `term`.
fn fill(storage: &Storage, state: State, term: u64, options: &RestoreOptions) -> Result<IdentityRecord, RestoreError> {
    let mut identity = match identity_of(storage)? {
        Some(identity) => identity,
        None => IdentityRecord::draw()?,
    };
    let node_id = identity.node_id;
    let (cluster_id, members) = match &identity.plan {
        Some(plan) if options.as_planned => (plan.cluster_id, plan.members.clone()),
        _ => (random_bytes()?, BTreeMap::from([(node_id, options.cluster_addr.clone())])),
    };
    let history_id = u64::from_le_bytes(random_bytes()?).max(1);
    let state = state.restored(&Restoration { history_id, sid_key: SidKey(random_bytes()?) });
    // This node's, in a term that nobody has had: what the members elect comes after it.
    let leader = openraft::alias::LeaderIdOf::<TypeConfig>::new_committed(term.saturating_add(1), node_id);
    let log_id = LogId::new(leader, state.applied().index);
    let meta = SnapshotMeta {
        last_log_id: Some(log_id),
        last_membership: StoredMembership::new(Some(log_id), membership(&members)?),
    };
    let meta = wire::encode("snapshot meta", &meta)?;
    let mut writer = storage.snapshots().create_at(log_id.index, &meta)?;
    state.encode_snapshot(&mut writer).map_err(|error| RestoreError::Refused(error.to_string()))?;
    writer.finish()?;
    identity.version = identity.version.max(state.format().number());
    identity.cluster_id = Some(cluster_id);
    let record = wire::encode("node identity", &identity)?;
    let vote = Vote { leader_id: leader, committed: true };
    storage.complete_restore(&vote, &[(IDENTITY_KEY, record.as_ref())])?;
    Ok(identity)
}

fn membership(members: &BTreeMap<NodeId, String>) -> Result<Membership<NodeId, BasicNode>, RestoreError> {
    let voters: BTreeSet<NodeId> = members.keys().copied().collect();
    let nodes: BTreeMap<NodeId, BasicNode> =
        members.iter().map(|(id, addr)| (*id, BasicNode { addr: addr.clone() })).collect();
    Membership::new(vec![voters], nodes).map_err(|error| RestoreError::Refused(error.to_string()))
}
