//! What a node takes from its surroundings besides network and disk: tasks, blocking work, randomness, files.
//!
//! The simulator builds this crate's own sources with another `runtime`, in which every choice comes from one seed.

use std::fs::File;
use std::io;

/// openraft's tasks, timers and channels.
pub(crate) type Runtime = openraft::impls::TokioRuntime;

/// Work that may block, away from the tasks that answer heartbeats.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Random bytes from the system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}

/// A file to be read without blocking.
pub(crate) fn async_file(file: File) -> tokio::fs::File {
    tokio::fs::File::from_std(file)
}
