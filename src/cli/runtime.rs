//! The tokio runtime a subcommand runs on.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::Failure;

/// What is still running when a subcommand has returned gets this long.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

/// Runs a future to its end on a runtime with that many threads (`None`: one per core).
pub(crate) fn block_on<T>(
    threads: Option<usize>,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = build(threads)?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}

fn build(threads: Option<usize>) -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().map_err(|error| Failure::other(format!("the runtime cannot start: {error}")))
}
