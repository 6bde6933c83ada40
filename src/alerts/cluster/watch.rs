//! What is wrong with the cluster, in its leader's eyes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vedfolnir_cluster::{ClusterStatus, NodeStatus, Role};

use super::{ClusterAlertConfig, ClusterCondition};

/// What an alert is about: the condition, and the member if it is one's.
pub(super) type Subject = (ClusterCondition, Option<String>);

/// What was found of a subject. One that was not looked at, or of which nothing is known yet, stays as it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) fires: bool,
    pub(super) value: f64,
    pub(super) threshold: f64,
}

/// One term of leading. What a leader has not seen itself it does not know: it begins anew with the next.
pub(super) struct Watch {
    since: Instant,
    /// Since when members are behind.
    behind: BTreeMap<String, Instant>,
}

enum Contact {
    Heard,
    Silent(Duration),
    /// Not heard of, and the grace is not over yet.
    Unknown,
}

impl Watch {
    pub(super) const fn new(since: Instant) -> Self {
        Self { since, behind: BTreeMap::new() }
    }

    /// Findings of everything that is known; `None` for what is not. Members that are no more are not among them.
    pub(super) fn look(
        &mut self,
        status: &ClusterStatus,
        config: &ClusterAlertConfig,
        now: Instant,
    ) -> BTreeMap<Subject, Option<Finding>> {
        let grace = config.node_down_after;
        let (mut voters, mut heard, mut unknown) = (0_u64, 0_u64, 0_u64);
        let mut findings = BTreeMap::new();
        self.behind.retain(|id, _| status.nodes.iter().any(|member| member.id == *id));
        for member in &status.nodes {
            let is_me = member.id == status.node_id;
            let contact = if is_me { Contact::Heard } else { self.contact(member, grace, now) };
            if member.role != Role::Learner {
                voters += 1;
                heard += u64::from(matches!(contact, Contact::Heard));
                unknown += u64::from(matches!(contact, Contact::Unknown));
            }
            if is_me {
                continue;
            }
            let silence = match contact {
                Contact::Heard => Some(member.last_contact_ms.map_or(Duration::ZERO, Duration::from_millis)),
                Contact::Silent(silence) => Some(silence),
                Contact::Unknown => None,
            };
            let down = silence.map(|silence| Finding {
                fires: matches!(contact, Contact::Silent(_)),
                value: silence.as_secs_f64(),
                threshold: grace.as_secs_f64(),
            });
            findings.insert((ClusterCondition::NodeDown, Some(member.id.clone())), down);
            let lag = matches!(contact, Contact::Heard).then_some(member.matched_index).flatten();
            let lag = lag.map(|matched| status.committed_index.saturating_sub(matched));
            let lag = self.lag(&member.id, lag, config, now);
            findings.insert((ClusterCondition::ReplicationLag, Some(member.id.clone())), lag);
        }
        let quorum = voters / 2 + 1;
        let risk =
            Finding { fires: heard < voters && heard <= quorum, value: heard as f64, threshold: (quorum + 1) as f64 };
        findings.insert((ClusterCondition::QuorumAtRisk, None), (unknown == 0).then_some(risk));
        findings
    }

    fn contact(&self, member: &NodeStatus, grace: Duration, now: Instant) -> Contact {
        let led = now.saturating_duration_since(self.since);
        let silence = member.last_contact_ms.map_or(led, Duration::from_millis);
        match member.last_contact_ms {
            Some(_) if silence <= grace => Contact::Heard,
            // Whoever leads for a shorter time has not listened for long enough.
            _ if led <= grace || silence <= grace => Contact::Unknown,
            _ => Contact::Silent(silence),
        }
    }

    fn lag(&mut self, member: &str, lag: Option<u64>, config: &ClusterAlertConfig, now: Instant) -> Option<Finding> {
        let lag = lag?;
        let finding = |fires| Finding { fires, value: lag as f64, threshold: config.lag_entries_max as f64 };
        if lag <= config.lag_entries_max {
            self.behind.remove(member);
            return Some(finding(false));
        }
        let since = *self.behind.entry(member.to_owned()).or_insert(now);
        // A member that catches up is behind for a while, and no alert.
        (now.saturating_duration_since(since) > config.node_down_after).then(|| finding(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: ClusterAlertConfig =
        ClusterAlertConfig { node_down_after: Duration::from_secs(10), lag_entries_max: 100 };

    fn member(id: &str, role: Role, last_contact_ms: Option<u64>, matched_index: u64) -> NodeStatus {
        NodeStatus {
            id: id.to_owned(),
            role,
            live: true,
            url: String::new(),
            admin_url: String::new(),
            cluster_addr: String::new(),
            server_id: String::new(),
            version: String::new(),
            format: None,
            sessions: 0,
            matched_index: Some(matched_index),
            last_contact_ms,
        }
    }

    fn status(nodes: Vec<NodeStatus>) -> ClusterStatus {
        ClusterStatus {
            cluster_id: String::new(),
            node_id: "a".to_owned(),
            generation: 1,
            leader: Some("a".to_owned()),
            format: 2,
            term: 1,
            committed_index: 1_000,
            applied_index: 1_000,
            snapshot_index: 0,
            failure_tolerance: 1,
            ready: true,
            reason: None,
            sessions_connected: 0,
            sessions_disconnected: 0,
            cluster_time_ms: 0,
            nodes,
        }
    }

    fn three(b: Option<u64>, c: Option<u64>) -> ClusterStatus {
        status(vec![
            member("a", Role::Leader, None, 1_000),
            member("b", Role::Voter, b, 1_000),
            member("c", Role::Voter, c, 1_000),
        ])
    }

    fn fires(
        found: &BTreeMap<Subject, Option<Finding>>,
        condition: ClusterCondition,
        node: Option<&str>,
    ) -> Option<bool> {
        found[&(condition, node.map(str::to_owned))].map(|finding| finding.fires)
    }

    use ClusterCondition::{NodeDown, QuorumAtRisk, ReplicationLag};

    #[test]
    fn a_member_is_down_after_the_grace_and_up_once_it_is_heard() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let found = watch.look(&three(Some(20), None), &CONFIG, at(5));
        assert_eq!(fires(&found, NodeDown, Some("b")), Some(false));
        assert_eq!(fires(&found, NodeDown, Some("c")), None, "a new leader has not listened for long enough");
        assert_eq!(fires(&found, QuorumAtRisk, None), None);
        let found = watch.look(&three(Some(20), None), &CONFIG, at(11));
        assert_eq!(fires(&found, NodeDown, Some("c")), Some(true));
        assert_eq!(found[&(NodeDown, Some("c".to_owned()))].map(|finding| finding.value), Some(11.0));
        assert_eq!(fires(&found, QuorumAtRisk, None), Some(true), "of three voters two are left");
        let found = watch.look(&three(Some(20), Some(10_001)), &CONFIG, at(30));
        assert_eq!(fires(&found, NodeDown, Some("c")), Some(true));
        let found = watch.look(&three(Some(20), Some(3)), &CONFIG, at(31));
        assert_eq!(fires(&found, NodeDown, Some("c")), Some(false));
        assert_eq!(fires(&found, QuorumAtRisk, None), Some(false));
        assert!(!found.contains_key(&(NodeDown, Some("a".to_owned()))), "the leader speaks, so it lives");
    }

    #[test]
    fn a_clusters_quorum_is_at_risk_by_a_loss_not_by_its_size() {
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        let look = |nodes| fires(&Watch::new(start).look(&status(nodes), &CONFIG, later), QuorumAtRisk, None);
        let leader = || member("a", Role::Leader, None, 0);
        assert_eq!(look(vec![leader()]), Some(false), "alone");
        assert_eq!(look(vec![leader(), member("b", Role::Voter, Some(1), 0)]), Some(false), "two that both live");
        let five = |silent: usize| {
            let voter = |place: usize| member(&format!("v{place}"), Role::Voter, (place > silent).then_some(1), 0);
            std::iter::once(leader()).chain((1..5).map(voter)).collect::<Vec<_>>()
        };
        assert_eq!(look(five(0)), Some(false));
        assert_eq!(look(five(1)), Some(false), "two may be lost, one is");
        assert_eq!(look(five(2)), Some(true));
        let with_learner = vec![
            leader(),
            member("b", Role::Voter, Some(1), 0),
            member("c", Role::Voter, Some(1), 0),
            member("d", Role::Learner, None, 0),
        ];
        assert_eq!(look(with_learner), Some(false), "learners do not vote");
    }

    #[test]
    fn a_member_lags_that_is_behind_for_the_grace_while_it_is_heard() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let view = |contact, matched| {
            status(vec![member("a", Role::Leader, None, 1_000), member("b", Role::Learner, contact, matched)])
        };
        let mut lag =
            |view: &ClusterStatus, seconds| fires(&watch.look(view, &CONFIG, at(seconds)), ReplicationLag, Some("b"));
        assert_eq!(lag(&view(Some(1), 900), 1), Some(false), "the bound itself is none");
        assert_eq!(lag(&view(Some(1), 899), 2), None, "it may be catching up");
        assert_eq!(lag(&view(Some(1), 890), 13), Some(true));
        assert_eq!(lag(&view(Some(20_000), 890), 14), None, "a member that is down is told as that");
        assert_eq!(lag(&view(Some(1), 1_000), 15), Some(false));
        assert_eq!(lag(&view(Some(1), 800), 16), None, "another time begins anew");
    }
}
