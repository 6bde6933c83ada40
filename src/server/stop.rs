//! How a node ends: out of the balancers' sight first, then its clients, then Raft.
//!
//! ```text
//!   asked ─► not ready ─► leadership handed over ─► served for the delay ─► clients let go in waves ─► Raft, store ─► gone
//!             └ listeners stay open ─────────────────────────────────────► handshakes refused      └── within the time-out ──┘
//! ```

use std::time::Duration;

use super::Server;
use crate::admin;
use crate::observability::{LeaveRequest, Parts};

/// Handing leadership over may take this long.
const TRANSFER_TIMEOUT: Duration = Duration::from_millis(500);
/// Answers to operators that are on their way get this long.
const ADMIN_STOP_TIMEOUT: Duration = Duration::from_millis(300);
/// Stopping Raft and closing the store may take this long.
const CLUSTER_STOP_TIMEOUT: Duration = Duration::from_millis(1500);
/// What comes after the clients; of a short time-out at most half.
const REST: Duration = Duration::from_millis(2_300);

impl Server {
    /// Lets the clients go, leaves the cluster for good and says what came of it. The rest is an ordinary stop.
    pub(super) async fn leave(&self, request: LeaveRequest) -> Result<(), String> {
        let Some(parts) = self.node.parts() else { return Ok(()) };
        tracing::info!("leaving the cluster");
        self.announce(parts).await;
        self.let_go(parts).await;
        let left = parts.cluster.leave().await.map_err(|error| {
            format!("the node let its clients go but could not leave its cluster: {error}; it is a member still")
        });
        // Whoever asked may have gone away.
        let _ = request.done.send(left.clone());
        left
    }

    /// As [`Server::stop`], after the delay in which balancers look away.
    pub(super) async fn stop_in_order(&mut self) {
        self.node.set_draining();
        let delay = self.stopping.delay;
        let announced = match self.node.parts() {
            Some(parts) if !parts.service.drain_is_final() => Some(parts),
            _ => None,
        };
        if let Some(parts) = announced {
            self.announce(parts).await;
            if !delay.is_zero() {
                tracing::info!(?delay, "serving on until balancers have looked away");
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    _ = parts.cluster.failed() => {}
                }
            }
        }
        self.stop().await;
    }

    /// Not ready from here on, and no leader: clients that leave need one to be resumed by.
    async fn announce(&self, parts: &Parts) {
        self.node.set_draining();
        parts.service.announce_stop();
        if tokio::time::timeout(TRANSFER_TIMEOUT, parts.cluster.transfer_leadership()).await.is_err() {
            tracing::warn!(?TRANSFER_TIMEOUT, "no other voter took the leadership over in time");
        }
    }

    async fn let_go(&self, parts: &Parts) {
        let within = self.stopping.timeout;
        parts.service.drain(self.stopping.rate, within.saturating_sub(REST.min(within / 2))).await;
    }

    pub(super) async fn stop(&mut self) {
        self.node.set_draining();
        if let Some(parts) = self.node.parts() {
            self.announce(parts).await;
            self.let_go(parts).await;
            self.public_stop.cancel();
            if tokio::time::timeout(CLUSTER_STOP_TIMEOUT, parts.cluster.shutdown()).await.is_err() {
                tracing::warn!(?CLUSTER_STOP_TIMEOUT, "the cluster floor did not stop in time");
            }
        }
        self.public_stop.cancel();
        self.admin_stop.cancel();
        // An answer that is on its way, to whoever made the node leave.
        let doors = futures_util::future::join_all(self.admin_doors.drain(..));
        if tokio::time::timeout(ADMIN_STOP_TIMEOUT, doors).await.is_err() {
            tracing::debug!("an operator's request was cut off");
        }
        let _ = std::fs::remove_file(self.node.data_dir().join(admin::SOCKET_NAME));
        tracing::info!(event_type = "stopped", "stopped");
    }
}
