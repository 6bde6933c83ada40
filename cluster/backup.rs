//! A backup of the state at one log position, written beside the commits and not in their way.
//!
//! ```text
//!   read index: everything that any node has acknowledged ─► a copy of the state, which shares everything with the living
//!   one ─► hashed, encoded, compressed and sealed by a thread of low priority ─► whatever takes the bytes
//! ```

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vedfolnir_state::{CodecError, Contents, State, StateCounts};
pub use vedfolnir_storage::backup::{
    BACKUP_KEY_BYTES_MIN, BackupError, BackupId, BackupIdError, BackupKey, BackupKeyError, Compression, Manifest,
    Packing, Verified, Written, read_manifest, verify,
};
use vedfolnir_storage::backup::{BackupReader, BackupWriter};

use crate::background;
use crate::handle::{Cluster, Inner};
use crate::hex;
use crate::reads::ReadError;

/// A state may have as many bytes as a snapshot's body; beyond it a backup is refused.
pub const STATE_BYTES_MAX: u64 = crate::state_machine::SNAPSHOT_BODY_BYTES_MAX;

/// What a backup says of itself, in its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub backup_id: BackupId,
    /// Always everything there is.
    pub backup_type: BackupType,
    /// When it was begun: RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    /// 32 hexadecimal digits.
    pub cluster_id: String,
    /// 16 hexadecimal digits.
    pub history_id: String,
    /// The last log index in it.
    pub raft_index: u64,
    /// The term at that time.
    pub term: u64,
    /// The format of the state.
    pub format: u8,
    /// The release that wrote it.
    pub server_version: String,
    /// The node that wrote it.
    pub server_id: String,
    /// What is in it.
    pub counts: StateCounts,
    /// Equal states have equal ones: 16 hexadecimal digits.
    pub state_hash: String,
    /// Of one that was made of a document: what that said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Value>,
}

/// What a state does not say of where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// See [`About::cluster_id`].
    pub cluster_id: String,
    /// See [`About::term`].
    pub term: u64,
    /// See [`About::server_id`].
    pub server_id: String,
    /// See [`About::imported`].
    pub imported: Option<Value>,
}

impl About {
    /// Of a state that this release writes.
    #[must_use]
    pub fn of(state: &State, backup_id: BackupId, timestamp: String, origin: Origin) -> Self {
        let Origin { cluster_id, term, server_id, imported } = origin;
        Self {
            backup_id,
            backup_type: BackupType::Full,
            timestamp,
            cluster_id,
            history_id: format!("{:016x}", state.history_id().unwrap_or_default()),
            raft_index: state.applied().index,
            term,
            format: state.format().number(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            server_id,
            counts: state.counts(),
            state_hash: format!("{:016x}", state.state_hash()),
            imported,
        }
    }
}

/// See [`About::backup_type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupType {
    /// Everything.
    Full,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// Its name.
    pub id: BackupId,
    /// When it was begun: RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    /// How it is written.
    pub packing: Packing,
    /// What of the state is in it.
    pub contents: Contents,
    /// A quorum has to confirm within this time up to where everything is in it.
    pub read_timeout: Duration,
}

/// A backup that was written.
#[derive(Clone, Debug)]
pub struct BackupReport {
    /// What it says of itself.
    pub about: About,
    /// Its length and checksum.
    pub written: Written,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailure {
    /// Nobody could say what has been acknowledged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] BackupError),
}

/// A state that was read from a backup, once the whole file was found sound.
#[derive(Debug)]
pub struct LoadedBackup {
    /// What it says of itself.
    pub about: About,
    /// The state.
    pub state: State,
    /// What was read.
    pub verified: Verified,
}

impl Cluster {
    /// Writes a backup of everything that any node had acknowledged when this was called.
    ///
    /// Memory is bounded by what changes of the state meanwhile. The last thing that is done to `out` is a flush; whether
    /// the bytes are on disk is its owner's to see to.
    ///
    /// # Errors
    /// [`BackupFailure`]; what was written is nothing then.
    pub async fn write_backup<W>(&self, request: BackupRequest, out: W) -> Result<(W, BackupReport), BackupFailure>
    where
        W: Write + Send + 'static,
    {
        self.read_index(request.read_timeout).await?;
        let node = Arc::clone(&self.inner);
        let work = move || write(&node, request, out);
        Ok(background::run("backup", work).await.map_err(BackupError::Io)??)
    }
}

/// Runs what blocks and can wait on a thread that gives way to everything else, as writing a backup does.
///
/// # Errors
/// There is no thread, or the work panicked.
pub async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    background::run("backup", work).await
}

fn write<W: Write>(node: &Inner, request: BackupRequest, out: W) -> Result<(W, BackupReport), BackupError> {
    // Persistent maps: the copy costs nothing to take.
    let state = node.replica.read(Clone::clone).with(request.contents);
    let origin = Origin {
        cluster_id: node.local.cluster_id().map(|id| hex(&id)).unwrap_or_default(),
        term: node.term(),
        server_id: node.config.node_info.server_id.clone(),
        imported: None,
    };
    let about = About::of(&state, request.id, request.timestamp, origin);
    write_state(&state, about, &request.packing, out)
}

/// Writes a state, with what is said of it, as a backup.
///
/// # Errors
/// [`BackupError`].
pub fn write_state<W: Write>(
    state: &State,
    about: About,
    packing: &Packing,
    out: W,
) -> Result<(W, BackupReport), BackupError> {
    let Value::Object(said) = serde_json::to_value(&about).map_err(io::Error::other)? else {
        return Err(io::Error::other("what is said of a backup is no object").into());
    };
    let mut writer = BackupWriter::create(out, said, packing)?;
    state.encode_snapshot(&mut writer).map_err(|error| match error {
        CodecError::Io(error) => error,
        other => io::Error::other(other),
    })?;
    let (out, written) = writer.finish()?;
    Ok((out, BackupReport { about, written }))
}

/// What the manifest of a backup says, as far as this release knows it.
///
/// # Errors
/// [`BackupError::Damaged`].
pub fn about(said: &Map<String, Value>) -> Result<About, BackupError> {
    serde_json::from_value(Value::Object(said.clone()))
        .map_err(|error| BackupError::Damaged(format!("its manifest: {error}")))
}

/// Reads a whole backup: the state is handed out once every byte was found sound.
///
/// # Errors
/// [`BackupError`].
pub fn load(input: impl Read, key: Option<&BackupKey>) -> Result<LoadedBackup, BackupError> {
    let mut reader = BackupReader::open(input, key, STATE_BYTES_MAX)?;
    let about = about(&reader.manifest().about)?;
    let decoded = State::decode_snapshot(&mut reader);
    // What is wrong with the file comes first: its state cannot be read for that.
    let verified = reader.finish()?;
    let state = decoded.map_err(|error| BackupError::Damaged(format!("its state: {error}")))?;
    // A decoder reads ahead into a buffer of its own, so what it left over is in `left` only beyond that; the hash that
    // a deep verification compares covers the rest.
    if verified.left > 0 || state.applied().index != about.raft_index || state.format().number() != about.format {
        return Err(BackupError::Damaged("its state is another one than its manifest says".to_owned()));
    }
    Ok(LoadedBackup { about, state, verified })
}

impl LoadedBackup {
    /// Whether the state that was read is the state that was written, by its hash.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] with both hashes.
    pub fn compare_hashes(&self) -> Result<(), BackupError> {
        let found = format!("{:016x}", self.state.state_hash());
        if found == self.about.state_hash {
            return Ok(());
        }
        Err(BackupError::Damaged(format!("its state has hash {found}, but {} was written", self.about.state_hash)))
    }
}
