//! A server that embeds this one and has nothing else to do: from its start until the process is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::{Server, ServerError};
use crate::app::ServerHandle;

/// What tells a process to stop: each counts, also after the first.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn install() -> Result<Self, ServerError> {
        let of = |kind| signal(kind).map_err(ServerError::Signals);
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

impl Server {
    /// What the application reaches beside its clients' sockets; also from [`App::server`](crate::app::App::server).
    #[must_use]
    pub fn handle(&self) -> Option<ServerHandle> {
        self.node.parts().map(|parts| parts.service.handle())
    }

    /// Serves until the process is sent SIGINT or SIGTERM, then leaves in order, as `vedfolnir start` does: not ready,
    /// leadership handed over, served for `WEBSOCKET_SHUTDOWN_DELAY`, clients let go in waves, all within
    /// `WEBSOCKET_DRAIN_TIMEOUT` after the delay. A second signal ends it at once. For another reason to stop there is
    /// [`Server::run_until`].
    ///
    /// # Errors
    /// Why the node could not go on, or handlers of signals cannot be installed.
    pub async fn run(self) -> Result<(), ServerError> {
        let mut signals = StopSignals::install()?;
        let limit = self.stopping.delay + self.stopping.timeout;
        let (stopping, stopped) = oneshot::channel::<StopSignals>();
        let run = self.run_until(async move {
            let reason = signals.next().await;
            tracing::info!(event_type = "stopping", reason, "shutting down");
            let _ = stopping.send(signals);
        });
        let overdue = async move {
            let Ok(mut signals) = stopped.await else { return std::future::pending().await };
            tokio::select! {
                () = tokio::time::sleep(limit) => tracing::warn!(?limit, "the shutdown hangs: ending without it"),
                reason = signals.next() => tracing::warn!(reason, "asked a second time: ending at once"),
            }
        };
        tokio::select! {
            ended = run => ended,
            () = overdue => Ok(()),
        }
    }
}
