//! The interface of vedfolnir-storage on a simulated disk that forgets what was not synced.
//!
//! What is kept of the real one: operations are written in their order, several together under one sync, and are
//! acknowledged in their order once they are on disk; the committed index waits for the next sync; a snapshot takes its
//! place as a whole. What a crash leaves of operations that were under way is any prefix of them.

mod disk;
mod log_store;
mod snapshots;
mod storage;

pub use disk::{DiskWeather, crash, set_weather, wipe};
pub use log_store::{LogReader, LogStore};
pub use snapshots::{IncomingSnapshot, SnapshotFile, SnapshotId, SnapshotStore, SnapshotWriter};
pub use storage::{Storage, StorageError, StorageMetrics, StorageOptions};
