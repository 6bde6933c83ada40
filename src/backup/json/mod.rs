//! Backups as JSON, in the layout that production-readiness documents show: for other programs, and from the old system.
//!
//! | in the document | in the cluster |
//! |---|---|
//! | `connections` | connected sessions: who, where from, which rooms; `subscription_data` is that field of the application's data |
//! | `sessions` | the application's data of sessions, by their ids; imported ones are entries of the store under [`SESSION_PREFIX`] |
//! | `redis_sessions` | entries of the store under [`REDIS_PREFIX`] whose values are JSON |
//!
//! It carries data, not recoverability: no messages, no positions, no secrets. A cluster that is to take its clients up again is
//! restored from a native backup.

mod convert;
mod export;
mod import;
mod layout;

#[cfg(test)]
mod tests;

pub use convert::{ConvertError, DOCUMENT_SOURCE, ImportedBackup, export_backup, import_backup};
pub use export::{ExportError, Exported, Keep, export};
pub use import::{Counts, ImportError, Imported, import};
pub use layout::{Facts, VERSION};

/// What the keys of the old system's sessions begin with.
pub const REDIS_PREFIX: &str = "vedfolnir:session:";
/// The application's data of a session that came with an import.
pub const SESSION_PREFIX: &str = "vedfolnir:session-data:";
/// The field of an application's data that is `subscription_data` of its connection.
const SUBSCRIPTION_DATA: &str = "subscription_data";
