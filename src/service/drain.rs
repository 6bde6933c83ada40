//! Letting clients go so that they find another node: on shutdown, and when this node is isolated.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::link::CloseCause;

/// Over this long the clients of an isolated or draining node are let go, at most.
const JITTER_MAX: Duration = Duration::from_secs(1);
/// Steps in which they go.
const JITTER_STEPS: u32 = 40;

/// Closes all transports in random order over `jitter`.
pub(crate) async fn close_all(service: &Inner, cause: CloseCause, jitter: Duration) {
    // The registry's order is that of a hash over random ids.
    let links = service.registry.all();
    let step = links.len().div_ceil(JITTER_STEPS as usize).max(1);
    let mut first = true;
    for chunk in links.chunks(step) {
        if !first && !jitter.is_zero() {
            tokio::time::sleep(jitter / JITTER_STEPS).await;
        }
        first = false;
        for link in chunk {
            link.close(cause);
        }
    }
}

/// See [`super::Service::drain`].
pub(crate) async fn drain(service: &Arc<Inner>, deadline: Duration) {
    service.set_draining();
    let drained = tokio::time::timeout(deadline, async {
        close_all(service, CloseCause::Draining, JITTER_MAX.min(deadline / 4)).await;
        // Handshakes that were under way when the gate closed.
        while service.stats.connections_active() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            close_all(service, CloseCause::Draining, Duration::ZERO).await;
        }
        service.releases.settled().await;
    });
    if drained.await.is_err() {
        tracing::warn!(
            ?deadline,
            connections = service.stats.connections_active(),
            "not every client was let go in time"
        );
    }
}

/// Lets the clients go whenever the node becomes isolated; ends with the cluster floor.
pub(crate) async fn let_go_when_isolated(service: Arc<Inner>) {
    #[cfg(feature = "planted-bugs")]
    if super::planted::is_minority_kept() {
        return;
    }
    let mut readiness = service.readiness();
    while readiness.wait_for(|readiness| readiness.isolated).await.is_ok() {
        let connections = service.registry.len();
        tracing::warn!(connections, "no contact with a quorum: clients are let go to find other nodes");
        close_all(&service, CloseCause::Isolated, JITTER_MAX).await;
        if readiness.wait_for(|readiness| !readiness.isolated).await.is_err() {
            return;
        }
    }
}
