//! From a native backup to a document and back.

use std::io::{self, Read, Write};
use std::time::Instant;

use serde::Serialize;
use vedfolnir_cluster::backup::{About, BackupError, BackupId, BackupKey, Origin, Packing, load, write_state};
use vedfolnir_cluster::state::Configuration;

use super::export::{ExportError, Exported, Keep, export};
use super::import::{Counts, ImportError, import};
use super::layout::{Facts, VERSION};
use crate::backup::Created;
use crate::backup::create::settle;
use crate::backup::location::{Location, LocationError};
use crate::observability::{read_rfc3339_ms, rfc3339_ms};

/// The server that a backup which was made of a document names.
pub const DOCUMENT_SOURCE: &str = "a document";

/// Why there is no document, or no backup of one.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The backup cannot be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The document cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The document cannot be taken.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The location does not do it.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The system does not.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A document that was taken.
#[derive(Clone, Debug, Serialize)]
pub struct ImportedBackup {
    /// The native backup that was made of it.
    #[serde(flatten)]
    pub created: Created,
    /// What was in it.
    pub imported: Counts,
}

/// Writes a native backup as a document; nothing of it is written before all of the backup was found sound.
///
/// # Errors
/// [`ConvertError`].
pub fn export_backup(
    backup: impl Read,
    key: Option<&BackupKey>,
    keep: Keep,
    out: &mut impl Write,
) -> Result<Exported, ConvertError> {
    let loaded = load(backup, key)?;
    let facts = facts(&loaded.about, &loaded.verified.sha256);
    let taken_at_ms = read_rfc3339_ms(&facts.timestamp).unwrap_or_default();
    Ok(export(&loaded.state, &facts, taken_at_ms, keep, out)?)
}

/// What a backup that was made of a document says is what that document said.
fn facts(about: &About, sha256: &str) -> Facts {
    let imported = about.imported.as_ref().and_then(|imported| serde_json::from_value(imported.clone()).ok());
    imported.unwrap_or_else(|| Facts {
        backup_type: "full".to_owned(),
        timestamp: about.timestamp.clone(),
        version: VERSION.to_owned(),
        backup_id: Some(about.backup_id.to_string()),
        checksum: Some(sha256.to_owned()),
        cluster_id: Some(about.cluster_id.clone()),
        raft_index: Some(about.raft_index),
        term: Some(about.term),
        server_version: Some(about.server_version.clone()),
        counts: Some(about.counts),
    })
}

/// Makes a native backup of a document: read back as a whole, like every other. It is called and dated by when the document
/// was taken: it is no newer than what it holds, for the schedule, for retention and for whoever restores the newest.
///
/// # Errors
/// [`ConvertError`]; there is no backup then.
pub fn import_backup(
    document: impl Read,
    configuration: Configuration,
    location: &dyn Location,
    packing: &Packing,
) -> Result<ImportedBackup, ConvertError> {
    let began = Instant::now();
    let imported = import(document, configuration)?;
    let taken_at_ms = imported.taken_at_ms;
    let mut pending = location.begin(BackupId::at(taken_at_ms / 1_000))?;
    let origin = Origin {
        // No cluster has it: sixteen bytes of nothing.
        cluster_id: "0".repeat(32),
        term: 1,
        server_id: DOCUMENT_SOURCE.to_owned(),
        imported: Some(serde_json::to_value(&imported.facts).map_err(io::Error::other)?),
    };
    let about = About::of(&imported.state, pending.id(), rfc3339_ms(taken_at_ms), origin);
    let (_, report) = write_state(&imported.state, about, packing, &mut pending)?;
    let report = settle(pending, report, packing.key.as_ref())?;
    Ok(ImportedBackup {
        created: Created {
            about: report.about,
            bytes: report.written.bytes,
            checksum: report.written.sha256,
            verified: true,
            duration_ms: began.elapsed().as_millis() as u64,
        },
        imported: imported.counts,
    })
}
