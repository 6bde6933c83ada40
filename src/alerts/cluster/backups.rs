//! What is wrong with the cluster's backups, in the eyes of its leader, who makes them.

use super::ClusterCondition;
use super::watch::{Finding, Subject};
use crate::backup::{Backups, Duty};

/// Findings of backups that are scheduled, at `now` in seconds since 1970: `None` for what a new leader does not know yet.
pub(super) fn findings(backups: &Backups, now: u64) -> Vec<(Subject, Option<Finding>)> {
    if backups.is_scheduled() { of(backups.duty().as_ref(), now) } else { Vec::new() }
}

fn of(duty: Option<&Duty>, now: u64) -> Vec<(Subject, Option<Finding>)> {
    let failing = |failed: u64| Finding { fires: failed > 0, value: failed as f64, threshold: 0.0 };
    let late = |duty: &Duty| {
        let (fires, value, threshold) = (duty.is_late(now)?, duty.age(now) as f64, duty.late_after() as f64);
        Some(Finding { fires, value, threshold })
    };
    vec![
        ((ClusterCondition::BackupFailing, None), duty.and_then(Duty::failed).map(failing)),
        ((ClusterCondition::BackupLate, None), duty.and_then(late)),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_new_leader_leaves_what_is_told_as_it_is_until_it_knows_better() {
        let unknown = |found: Vec<(Subject, Option<Finding>)>| found.iter().all(|(_, finding)| finding.is_none());
        assert!(unknown(of(None, 5_000)));
        let duty = Duty::new(Duration::from_secs(300), 1_000);
        assert!(unknown(of(Some(&duty), 1_630)), "it has not looked, or tried");
        let late = of(Some(&duty), 1_631)[1].1;
        assert_eq!(late, Some(Finding { fires: true, value: 631.0, threshold: 630.0 }));
    }
}
