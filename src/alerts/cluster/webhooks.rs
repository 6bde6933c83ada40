//! What is wrong with the cluster's webhooks, in the eyes of its leader, who tells the receiver.

use std::sync::atomic::Ordering::Relaxed;

use super::ClusterCondition;
use super::watch::{Finding, Subject};
use crate::webhooks::Webhooks;

/// Attempts in a row that may fail: a receiver that restarts is no alert.
const FAILED_MAX: u64 = 4;

/// Whether the receiver takes nothing; a new leader knows once it has tried.
pub(super) fn finding(webhooks: &Webhooks) -> (Subject, Option<Finding>) {
    let stats = webhooks.stats();
    let failed = stats.failed_in_a_row.load(Relaxed);
    let has_tried = failed > 0 || stats.pending.load(Relaxed) == 0;
    let finding = Finding { fires: failed > FAILED_MAX, value: failed as f64, threshold: FAILED_MAX as f64 };
    ((ClusterCondition::WebhookFailing, None), has_tried.then_some(finding))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::webhooks::{WebhookConfig, WebhookKind};

    #[test]
    fn a_receiver_that_takes_nothing_fires_and_one_that_restarts_does_not() {
        let webhooks = Webhooks::new(WebhookConfig {
            endpoint: "https://a.example/".parse().unwrap(),
            tls: None,
            secret: None,
            allow_private: false,
            kinds: WebhookKind::ALL.to_vec(),
            timeout: Duration::from_secs(1),
            attempts_max: 1,
            give_up_after: Duration::from_secs(1),
            requests_max: 1,
        });
        let stats = webhooks.stats();
        let fires = || finding(&webhooks).1.map(|finding| finding.fires);
        assert_eq!(fires(), Some(false), "nobody has anything to be told");
        stats.pending.store(1, Relaxed);
        assert_eq!(fires(), None, "a new leader has not tried yet: what is told of it stays");
        stats.failed_in_a_row.store(FAILED_MAX, Relaxed);
        assert_eq!(fires(), Some(false));
        stats.failed_in_a_row.store(FAILED_MAX + 1, Relaxed);
        assert_eq!(fires(), Some(true));
    }
}
