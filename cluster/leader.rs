//! What the leader does besides replicating: cluster time, first configuration, dead nodes, the set of voters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::{Duration, Instant};

use vedfolnir_state::{Command, Incarnation, NodeId, Origin, Proposal, State, encode_proposal};

use crate::handle::Inner;
use crate::type_config::EntryBytes;
use crate::{autopilot, format};

/// How often the leader looks at its duties.
const DUTIES_EVERY: Duration = Duration::from_millis(200);
/// Cluster time advances in steps of at least this length.
const TICK_MS_MIN: u64 = 1_000;

/// One leader's term of duty; forgotten with the leadership, so that a new leader starts from zero elapsed.
struct Duty {
    since: Instant,
    ticked_at: Instant,
    /// Whom it has told of as dead: without a quorum that is proposed again and again.
    told_dead: BTreeSet<Incarnation>,
}

/// Runs for as long as the node lives.
pub(crate) async fn run(node: Weak<Inner>) {
    let mut duty: Option<(u64, Duty)> = None;
    let mut interval = tokio::time::interval(DUTIES_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(node) = node.upgrade() else { return };
        let now = Instant::now();
        if !node.leads() {
            duty = None;
            continue;
        }
        let term = node.term();
        if duty.as_ref().is_none_or(|(known, _)| *known != term) {
            duty = Some((term, Duty { since: now, ticked_at: now, told_dead: BTreeSet::new() }));
        }
        let Some((_, current)) = duty.as_mut() else { continue };
        configure_once(&node).await;
        tick(&node, current, now).await;
        declare_dead(&node, current, now).await;
        autopilot::run(&node, now.saturating_duration_since(current.since)).await;
        format::raise(&node).await;
    }
}

/// Commits the limits and the history id of a new cluster.
async fn configure_once(node: &Inner) {
    if node.replica.read(|state| state.history_id()).is_some() {
        return;
    }
    let Ok(configuration) = node.config.limits.configuration() else { return };
    propose(node, Command::Configure(configuration)).await;
}

/// Advances cluster time by what this leader's monotonic clock measured since its last tick.
async fn tick(node: &Inner, duty: &mut Duty, now: Instant) {
    let elapsed = now.saturating_duration_since(duty.ticked_at);
    if elapsed < Duration::from_millis(TICK_MS_MIN) {
        return;
    }
    duty.ticked_at = now;
    // A leader that was asleep must not expire anybody for its own sleep: without a recent quorum it does not tick.
    if node.quorum_acked_within(Duration::from_millis(TICK_MS_MIN)) {
        let elapsed_ms = u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX).min(2 * TICK_MS_MIN as u32);
        propose(node, Command::Tick { elapsed_ms }).await;
    }
}

/// Declares down what has been silent for too long.
async fn declare_dead(node: &Inner, duty: &mut Duty, now: Instant) {
    let limit = node.config.node_down_after;
    if now.saturating_duration_since(duty.since) < limit {
        return;
    }
    let heard: BTreeMap<NodeId, Duration> = node.last_heard();
    let live: Vec<Incarnation> = node.replica.read(|state| state.live_incarnations());
    duty.told_dead.retain(|told| live.contains(told));
    for incarnation in live {
        if incarnation.node == node.local.node_id() {
            continue;
        }
        let silent = heard.get(&incarnation.node).is_none_or(|age| *age > limit);
        #[cfg(feature = "planted-bugs")]
        let silent = crate::planted::silent(silent);
        if silent {
            if duty.told_dead.insert(incarnation) {
                tracing::warn!(node = %incarnation, "silent for {} s: declared down, its clients may resume elsewhere", limit.as_secs());
            }
            propose(node, Command::NodeDown { incarnation }).await;
        }
    }
}

/// Commits a command of the leader's own; whether it did. Applied here when it returns.
pub(crate) async fn propose(node: &Inner, command: Command) -> bool {
    let format = node.replica.read(State::format);
    let bytes = encode_proposal(format, &Proposal { origin: Origin::System, commands: vec![command] });
    // Leadership may be lost under way: the next leader has the same duties.
    match node.raft.client_write(EntryBytes(bytes)).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "a leader's command was not committed by this leader");
            false
        }
    }
}
