//! Letting clients go so that they find another node: when the node is isolated, when an operator drains it, when it stops.
//!
//! ```text
//!   told to stop ─► not ready, still served (the shutdown delay) ─► handshakes refused ─► waves ─► the rest is told
//!   drain        ─────────────────────────────────────────────────► handshakes refused ─► waves ─► kept empty until told otherwise
//! ```
//!
//! A wave is those who go within [`STEP`]: as many as the rate allows, in no order, so that the other nodes get them one
//! after the other. A client goes once what it has asked is answered, and after [`GRACE`] in any case.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::link::{CloseCause, Link};
use super::standing::Standing;
use super::stats::ServiceStats;
use super::tunnels::Tunnel;

/// Over this long the clients of an isolated node are let go, at most; also those that have no other node to go to.
pub(crate) const JITTER_MAX: Duration = Duration::from_secs(1);
/// Steps in which they go.
const JITTER_STEPS: u32 = 40;
/// Between two waves.
const STEP: Duration = Duration::from_millis(50);
/// A node that is kept empty looks this often whether somebody has slipped in.
const IDLE_STEP: Duration = Duration::from_millis(500);
/// What a client has asked may take this long to be answered.
const GRACE: Duration = Duration::from_secs(2);
/// Polling clients have this long to fetch the word that the session is over.
const TOLD_MAX: Duration = Duration::from_secs(1);
/// That they have left gets this long to be committed.
const COMMITTED_MAX: Duration = Duration::from_millis(1_500);
/// How often it is asked whether there is another node to go to.
const OTHERS_EVERY: Duration = Duration::from_secs(1);

/// What is being done about this node's clients.
///
/// Invariant: `closed` is set before the first client is let go, and from then on there are no new ones.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    /// The node has been told to stop.
    stopping: AtomicBool,
    /// No handshake is taken.
    closed: AtomicBool,
    /// An operator's.
    run: Mutex<Option<Run>>,
    /// Clients that were let go since the start of the process.
    pub(crate) moved_total: AtomicU64,
}

#[derive(Debug)]
struct Run {
    began: Instant,
    /// Clients a second.
    rate: u32,
    /// Connections when it began.
    found: u64,
    cancel: CancellationToken,
}

/// How a drain is going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainStatus {
    /// How the node stands towards clients.
    pub standing: Standing,
    /// Clients that are still here.
    pub connections: u64,
    /// Those that were here when the drain began; 0: there is none.
    pub found: u64,
    /// Clients a second that are let go; 0: there is none.
    pub rate: u32,
    /// Seconds since it began; 0: there is none.
    pub seconds: u64,
}

/// A drain is under way already, or the node is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is {} already", .0.as_str())]
pub struct AlreadyDraining(pub Standing);

impl Drains {
    pub(crate) fn standing(&self) -> Standing {
        match (self.stopping.load(Ordering::Acquire), self.closed.load(Ordering::Acquire)) {
            (true, _) => Standing::Stopping,
            (false, true) => Standing::Draining,
            (false, false) => Standing::Serving,
        }
    }

    /// Whether no handshake is taken.
    pub(crate) fn are_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether clients have been let go, or are, because the node is about to end.
    pub(crate) fn are_final(&self) -> bool {
        self.are_closed() && self.standing() == Standing::Stopping
    }

    /// From here on the node counts as one that is about to end; it goes on serving.
    pub(crate) fn announce_stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Has the node let its clients go, and keeps it empty until [`stop`].
pub(crate) fn start(service: &Arc<Inner>, rate: u32) -> Result<(), AlreadyDraining> {
    let drains = &service.drains;
    let mut run = drains.run.lock();
    match drains.standing() {
        Standing::Serving | Standing::Maintenance => {}
        standing => return Err(AlreadyDraining(standing)),
    }
    drains.close();
    let (cancel, found) = (CancellationToken::new(), clients(service));
    *run = Some(Run { began: Instant::now(), rate, found, cancel: cancel.clone() });
    drop(run);
    tracing::info!(event_type = "draining", reason = "an operator", connections = found, rate, "clients are let go");
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let began = Instant::now();
        let emptied = async {
            waves(&service, Pace { rate, by: None }, &AtomicBool::new(false)).await;
            drained(found, began);
            loop {
                sleep(IDLE_STEP).await;
                waves(&service, Pace { rate, by: None }, &AtomicBool::new(false)).await;
            }
        };
        tokio::select! {
            () = emptied => {}
            () = cancel.cancelled() => {}
        }
    });
    Ok(())
}

/// Takes the node back into service; false: no operator has drained it.
pub(crate) fn stop(service: &Inner) -> bool {
    let drains = &service.drains;
    let mut run = drains.run.lock();
    let Some(ended) = run.take() else { return false };
    ended.cancel.cancel();
    // One that is about to end does not open again.
    if !drains.stopping.load(Ordering::Acquire) {
        drains.closed.store(false, Ordering::Release);
    }
    tracing::info!(event_type = "drain_stopped", "the node takes clients again");
    true
}

/// How it is going.
pub(crate) fn status(service: &Inner) -> DrainStatus {
    let run = service.drains.run.lock();
    let (found, rate, seconds) =
        run.as_ref().map_or((0, 0, 0), |run| (run.found, run.rate, run.began.elapsed().as_secs()));
    DrainStatus { standing: service.standing(), connections: clients(service), found, rate, seconds }
}

/// See [`super::Service::drain`].
pub(crate) async fn drain(service: &Arc<Inner>, rate: u32, within: Duration) {
    service.drains.announce_stop();
    service.drains.close();
    if let Some(run) = service.drains.run.lock().take() {
        run.cancel.cancel();
    }
    let (began, found) = (Instant::now(), clients(service));
    tracing::info!(event_type = "draining", reason = "the end", connections = found, rate, "clients are let go");
    let alone = AtomicBool::new(false);
    let emptied = async {
        // The last part of the time is for those who have to be told.
        let by = began + within.saturating_sub(GRACE.min(within / 2));
        tokio::select! {
            () = waves(service, Pace { rate, by: Some(by) }, &alone) => {}
            () = watch_others(service, &alone) => {}
        }
        drained(found, began);
        let _ = tokio::time::timeout(TOLD_MAX, async {
            while service.registry.len() > 0 {
                sleep(STEP).await;
            }
        })
        .await;
        // Without a quorum they never are, and the rest of the time would be waited out for nothing: what this node leaves
        // unsaid is said by its farewell, or by whoever declares it down.
        if tokio::time::timeout(COMMITTED_MAX, service.releases.settled()).await.is_err() {
            tracing::warn!(?COMMITTED_MAX, "that clients have left could not be committed in time");
        }
    };
    if tokio::time::timeout(within, emptied).await.is_err() {
        let connections = clients(service);
        tracing::warn!(?within, connections, "not every client was let go in time");
    }
}

fn drained(connections: u64, began: Instant) {
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(event_type = "connections_drained", connections, duration_ms, "no client is left");
}

/// Connections that end with this node: its own clients, and those of other nodes whose WebSockets pass through it.
fn clients(service: &Inner) -> u64 {
    service.stats.connections_active() + service.tunnels.len() as u64
}

/// How fast clients are let go.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Clients a second.
    rate: u32,
    /// By then all must have been, however fast that is.
    by: Option<Instant>,
}

impl Pace {
    /// How many go within a time, if so many are left; a fraction is kept for the next wave. `alone_by`: there is nobody to
    /// stampede, and by then all must have gone.
    fn quota(self, now: Instant, elapsed: Duration, left: usize, alone_by: Option<Instant>) -> f64 {
        let by = alone_by.into_iter().chain(self.by).min();
        let needed = by.map_or(0.0, |by| left as f64 / by.saturating_duration_since(now).max(STEP).as_secs_f64());
        elapsed.as_secs_f64() * needed.max(f64::from(self.rate))
    }
}

/// Somebody who can be let go.
enum Leaver {
    Client(Arc<Link>),
    Tunnel(Arc<Tunnel>),
}

impl Leaver {
    /// Everybody who has not been told yet.
    fn all(service: &Inner) -> Vec<Self> {
        let clients = service.registry.all().into_iter().filter(|link| link.leave_cause().is_none());
        let tunnels = service.tunnels.all().into_iter().filter(|tunnel| !tunnel.is_leaving());
        clients.map(Self::Client).chain(tunnels.map(Self::Tunnel)).collect()
    }

    /// It goes as soon as what it has asked is answered.
    fn leave(&self, service: &Arc<Inner>) {
        match self {
            Self::Client(link) => link.leave(CloseCause::Draining),
            Self::Tunnel(tunnel) => tunnel.leave(service),
        }
    }

    /// It goes.
    fn close(&self) {
        match self {
            Self::Client(link) => link.close(CloseCause::Draining),
            Self::Tunnel(tunnel) => tunnel.close(),
        }
    }
}

/// Lets everybody go; returns once nobody is left.
async fn waves(service: &Arc<Inner>, pace: Pace, alone: &AtomicBool) {
    // The registry's order is that of a hash over random ids.
    let mut waiting = Leaver::all(service);
    let mut leaving: VecDeque<(Instant, Leaver)> = VecDeque::new();
    let mut last = Instant::now();
    let mut credit = 1.0;
    let mut alone_by = None;
    loop {
        let now = Instant::now();
        alone_by = alone.load(Ordering::Relaxed).then(|| alone_by.unwrap_or(now + JITTER_MAX));
        credit += pace.quota(now, now.saturating_duration_since(last), waiting.len(), alone_by);
        last = now;
        while credit >= 1.0 {
            let Some(leaver) = waiting.pop() else { break };
            leaver.leave(service);
            ServiceStats::one(&service.drains.moved_total);
            leaving.push_back((now, leaver));
            credit -= 1.0;
        }
        let hurry = pace.by.is_some_and(|by| by <= now);
        let is_due = |(told, _): &(Instant, Leaver)| hurry || now.saturating_duration_since(*told) >= GRACE;
        while leaving.front().is_some_and(is_due)
            && let Some((_, leaver)) = leaving.pop_front()
        {
            leaver.close();
        }
        if waiting.is_empty() {
            if clients(service) == 0 {
                return;
            }
            // Handshakes that were under way when the gate closed.
            waiting = Leaver::all(service);
            credit = credit.min(1.0);
        }
        sleep(STEP).await;
    }
}

/// Finds out now and then whether there is another node for the clients; never ends.
async fn watch_others(service: &Arc<Inner>, alone: &AtomicBool) {
    loop {
        alone.store(!service.has_open_peer().await, Ordering::Relaxed);
        sleep(OTHERS_EVERY).await;
    }
}

/// Closes all transports in random order over `jitter`.
pub(crate) async fn close_all(service: &Inner, cause: CloseCause, jitter: Duration) {
    // The registry's order is that of a hash over random ids.
    let links = service.registry.all();
    let step = links.len().div_ceil(JITTER_STEPS as usize).max(1);
    let mut first = true;
    for chunk in links.chunks(step) {
        if !first && !jitter.is_zero() {
            sleep(jitter / JITTER_STEPS).await;
        }
        first = false;
        for link in chunk {
            link.close(cause);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_unless_the_time_would_not_do_or_nobody_would_be_stampeded() {
        let now = Instant::now();
        let quota = |pace: Pace, left, alone_by| pace.quota(now, Duration::from_millis(100), left, alone_by);
        let unhurried = Pace { rate: 500, by: None };
        assert_eq!(quota(unhurried, 1_000_000, None), 50.0);
        let by = Some(now + Duration::from_secs(4));
        assert_eq!(quota(Pace { rate: 500, by }, 1_000, None), 50.0);
        assert_eq!(quota(Pace { rate: 500, by }, 20_000, None), 500.0);
        assert_eq!(quota(Pace { rate: 500, by }, 2_000, Some(now + JITTER_MAX)), 200.0);
        // Late is as soon as possible.
        assert_eq!(quota(Pace { rate: 1, by: Some(now) }, 10, None), 20.0);
    }
}
