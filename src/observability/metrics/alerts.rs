//! Alerts by webhook.

use super::{Families, get};
use crate::alerts::{AlertStats, Condition};

pub(super) fn of_alerts(families: &mut Families, stats: &AlertStats) {
    let firing: Vec<_> = Condition::ALL
        .into_iter()
        .map(|condition| ("alert", condition.as_str(), f64::from(u8::from(stats.is_firing(condition)))))
        .collect();
    families.gauges("websocket_alert_firing", "1 while an alert's threshold is passed", &firing);
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
