//! Keeps the set of voters healthy: learners that caught up become voters while there are seats, and one of them takes
//! the seat of a voter that is dead for too long.
//!
//! One change at a time, by a leader that has led for the whole grace, never without a healthy majority before and
//! after, never with fewer voters than before; whoever loses its seat stays a learner.

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use vedfolnir_state::NodeId;

use crate::handle::Inner;
use crate::remove;

/// Whoever answered within this time is healthy.
pub(crate) const HEALTHY_WITHIN: Duration = Duration::from_secs(2);
/// A learner this close to the end of the log may become a voter.
const PROMOTION_LAG_ENTRIES_MAX: u64 = 1_000;
/// A cluster of fewer voters has nothing to gain from a replacement: nobody could agree to it.
const VOTERS_TO_REPLACE_MIN: usize = 3;

/// How many of so many voters decide.
pub(crate) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// What the leader sees.
struct View {
    me: NodeId,
    voters: BTreeSet<NodeId>,
    /// Learners that serve and have the log, all but a little.
    caught_up: BTreeSet<NodeId>,
    /// Since each other node last answered.
    heard: BTreeMap<NodeId, Duration>,
    /// How long this node has led.
    led_for: Duration,
    voters_max: usize,
    replace_after: Duration,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Promote(NodeId),
    Replace { dead: NodeId, by: NodeId },
}

impl View {
    fn is_healthy(&self, id: NodeId) -> bool {
        id == self.me || self.heard.get(&id).is_some_and(|age| *age <= HEALTHY_WITHIN)
    }

    /// Silent for the whole grace, as this leader itself has seen.
    fn is_dead(&self, id: NodeId) -> bool {
        id != self.me
            && self.led_for >= self.replace_after
            && self.heard.get(&id).is_none_or(|age| *age >= self.replace_after)
    }

    fn decide(&self) -> Option<Change> {
        let healthy = self.voters.iter().filter(|id| self.is_healthy(**id)).count();
        if healthy < majority(self.voters.len()) {
            return None;
        }
        let spare = self.caught_up.iter().copied().find(|id| self.is_healthy(*id))?;
        let dead = self.voters.iter().copied().find(|id| self.is_dead(*id));
        match dead {
            Some(dead) if self.voters.len() >= VOTERS_TO_REPLACE_MIN => Some(Change::Replace { dead, by: spare }),
            _ if self.voters.len() < self.voters_max && healthy + 1 >= majority(self.voters.len() + 1) => {
                Some(Change::Promote(spare))
            }
            _ => None,
        }
    }
}

/// One look by the leader, which has led for so long.
pub(crate) async fn run(node: &Inner, led_for: Duration) {
    remove::finish(node).await;
    finish_joint(node).await;
    let Some(change) = view(node, led_for).and_then(|view| view.decide()) else { return };
    // A node that joins or is removed goes first.
    let Ok(_serial) = node.membership_change.try_lock() else { return };
    let change_members = match change {
        Change::Promote(id) => ChangeMembers::AddVoterIds(BTreeSet::from([id])),
        Change::Replace { dead, by } => ChangeMembers::Batch(vec![
            ChangeMembers::AddVoterIds(BTreeSet::from([by])),
            ChangeMembers::RemoveVoters(BTreeSet::from([dead])),
        ]),
    };
    match (node.raft.change_membership(change_members, true).await, change) {
        (Ok(_), Change::Promote(id)) => {
            node.metrics.voters_promoted_total.fetch_add(1, Relaxed);
            tracing::info!(node = format!("{id:016x}"), "a learner caught up and votes now");
        }
        (Ok(_), Change::Replace { dead, by }) => {
            node.metrics.voters_replaced_total.fetch_add(1, Relaxed);
            tracing::warn!(
                dead = format!("{dead:016x}"),
                by = format!("{by:016x}"),
                "a voter was silent for {} s: a learner votes in its place, it is a learner until it comes back",
                node.config.replace_after.as_secs()
            );
        }
        (Err(error), _) => tracing::warn!(?change, %error, "the voters could not be changed"),
    }
}

/// A leader that died between the two halves of a change left the cluster with two sets of voters at once.
async fn finish_joint(node: &Inner) {
    let goal = {
        let metrics = node.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        if metrics.membership_config != metrics.committed_membership_config {
            return;
        }
        match metrics.membership_config.membership().get_joint_config().as_slice() {
            [_, .., goal] => goal.clone(),
            _ => return,
        }
    };
    let Ok(_serial) = node.membership_change.try_lock() else { return };
    if let Err(error) = node.raft.change_membership(ChangeMembers::ReplaceAllVoters(goal), true).await {
        tracing::debug!(%error, "a joint change could not be finished");
    }
}

/// `None` while a change is under way.
fn view(node: &Inner, led_for: Duration) -> Option<View> {
    let heard = node.last_heard();
    let metrics = node.raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    if metrics.membership_config != metrics.committed_membership_config || membership.get_joint_config().len() != 1 {
        return None;
    }
    let last = metrics.last_log_index.unwrap_or(0);
    let replication = metrics.replication.as_ref()?;
    let has_the_log = |id: &NodeId| {
        let matched = replication.get(id).and_then(|matched| matched.as_ref());
        matched.is_some_and(|log_id| log_id.index + PROMOTION_LAG_ENTRIES_MAX >= last)
    };
    let caught_up = membership.learner_ids().filter(has_the_log);
    let caught_up = node.replica.read(|state| {
        let serves = |id: &NodeId| state.node_info(*id).is_some_and(|(live, _)| live) && !state.is_removed(*id);
        caught_up.filter(serves).collect()
    });
    Some(View {
        me: node.local.node_id(),
        voters: membership.voter_ids().collect(),
        caught_up,
        heard,
        led_for,
        voters_max: node.config.voters_max,
        replace_after: node.config.replace_after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);
    const NOW: Duration = Duration::from_millis(50);
    const LONG_AGO: Duration = Duration::from_secs(31);

    /// Node 1 leads; voters and learners answered so long ago.
    fn view(voters: &[(NodeId, Duration)], learners: &[(NodeId, Duration)]) -> View {
        View {
            me: 1,
            voters: voters.iter().map(|(id, _)| *id).chain([1]).collect(),
            caught_up: learners.iter().map(|(id, _)| *id).collect(),
            heard: voters.iter().chain(learners).copied().collect(),
            led_for: GRACE,
            voters_max: 3,
            replace_after: GRACE,
        }
    }

    #[test]
    fn a_dead_voter_is_replaced_by_a_healthy_learner() {
        let view = view(&[(2, NOW), (3, LONG_AGO)], &[(4, LONG_AGO), (5, NOW)]);
        assert_eq!(view.decide(), Some(Change::Replace { dead: 3, by: 5 }));
    }

    #[test]
    fn never_heard_of_is_dead_only_after_this_leader_s_own_grace() {
        let mut view = view(&[(2, NOW), (3, LONG_AGO)], &[(5, NOW)]);
        view.heard.remove(&3);
        assert_eq!(view.decide(), Some(Change::Replace { dead: 3, by: 5 }));
        view.led_for = GRACE - NOW;
        assert_eq!(view.decide(), None);
    }

    #[test]
    fn nothing_is_changed_without_a_spare_or_before_the_grace() {
        assert_eq!(view(&[(2, NOW), (3, LONG_AGO)], &[]).decide(), None);
        assert_eq!(view(&[(2, NOW), (3, LONG_AGO)], &[(4, LONG_AGO)]).decide(), None);
        assert_eq!(view(&[(2, NOW), (3, Duration::from_secs(29))], &[(5, NOW)]).decide(), None);
        assert_eq!(view(&[(2, NOW), (3, NOW)], &[(5, NOW)]).decide(), None, "all voters are healthy, all seats taken");
    }

    #[test]
    fn nothing_is_changed_without_a_healthy_majority() {
        assert_eq!(view(&[(2, LONG_AGO), (3, LONG_AGO)], &[(5, NOW)]).decide(), None);
        let mut five = view(&[(2, LONG_AGO), (3, LONG_AGO), (4, NOW), (5, NOW)], &[(6, NOW)]);
        five.voters_max = 5;
        assert_eq!(five.decide(), Some(Change::Replace { dead: 2, by: 6 }), "one at a time");
        five.heard.insert(4, Duration::from_secs(3));
        assert_eq!(five.decide(), None);
    }

    #[test]
    fn two_voters_replace_nobody() {
        assert_eq!(view(&[(2, LONG_AGO)], &[(5, NOW)]).decide(), None);
    }

    #[test]
    fn free_seats_are_taken_unless_the_majority_would_be_lost() {
        let mut view = view(&[(2, NOW), (3, NOW)], &[(5, NOW)]);
        view.voters_max = 5;
        assert_eq!(view.decide(), Some(Change::Promote(5)));
        view.heard.insert(3, Duration::from_secs(10));
        assert_eq!(view.decide(), Some(Change::Promote(5)), "three of four are healthy then");
        let alone = self::view(&[], &[(5, NOW)]);
        assert_eq!(alone.decide(), Some(Change::Promote(5)));
    }
}
