//! When to stop: SIGINT, SIGTERM, or the end of standard input for a supervisor's child.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;

/// What asks for the end: each signal counts, also after the first.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Installs the handlers now.
    pub(crate) fn install() -> Result<Self, Failure> {
        let refused = |error| Failure::other(format!("signal handlers cannot be installed: {error}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
        let terminate = signal(SignalKind::terminate()).map_err(refused)?;
        Ok(Self { interrupt, terminate })
    }

    /// The next one; cancel-safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// SIGHUP: read the configuration again.
pub(crate) fn hang_ups() -> Result<Signal, Failure> {
    signal(SignalKind::hangup())
        .map_err(|error| Failure::other(format!("signal handlers cannot be installed: {error}")))
}

/// Ends when standard input does; without the wish for it, never.
///
/// A thread of its own reads, because a read of standard input cannot be cancelled and would hold up the runtime's end.
pub(crate) async fn stdin_closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (closed, wait) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(closed);
    });
    let _ = wait.await;
}
