//! Alerts by webhook.

use super::{Families, get};
use crate::alerts::{AlertStats, ClusterAlert, ClusterCondition, Condition};

/// `cluster`: what fires in the whole cluster.
pub(super) fn of_alerts(families: &mut Families, stats: &AlertStats, cluster: &[ClusterAlert]) {
    let firing: Vec<_> = Condition::ALL
        .into_iter()
        .map(|condition| ("alert", condition.as_str(), f64::from(u8::from(stats.is_firing(condition)))))
        .collect();
    families.gauges("websocket_alert_firing", "1 while an alert's threshold is passed", &firing);
    let of = |condition: ClusterCondition| cluster.iter().filter(|alert| alert.alert == condition.as_str()).count();
    let firing = ClusterCondition::ALL.map(|condition| ("alert", condition.as_str(), of(condition) as f64));
    families.gauges(
        "vedfolnir_cluster_alerts_firing",
        "Alerts about the whole cluster that fire; every node shows the same ones",
        &firing,
    );
    families.counters(
        "websocket_alert_messages_total",
        "Messages to the alerts' webhook; retried counts attempts",
        &[
            ("result", "delivered", get(&stats.delivered_total)),
            ("result", "retried", get(&stats.retried_total)),
            ("result", "dropped", get(&stats.dropped_total)),
        ],
    );
}
