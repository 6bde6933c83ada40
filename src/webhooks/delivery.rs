//! One message until it is settled: taken by the receiver, or given up and kept as a dead letter.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use vedfolnir_cluster::Cluster;

use super::attempt::NotTaken;
use super::message::Message;
use super::stats::WebhookStats;
use super::{Webhooks, dead_letters};
use crate::observability::log::random;
use crate::observability::logging::{Backoff, unix_ms};

/// Between the first two attempts; twice as long each time ...
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// ... up to this, whatever the receiver asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A dead letter that no quorum has committed is written again after this long.
const KEEP_AGAIN: Duration = Duration::from_millis(500);

/// Delivers; how many dead letters were dropped for one more.
pub(super) async fn deliver(webhooks: Arc<Webhooks>, cluster: Cluster, room: Arc<Semaphore>, message: Message) -> u64 {
    let (config, stats) = (&webhooks.config, &webhooks.stats);
    let (id, mut backoff) = (message.id.to_string(), Backoff::new(WAIT_FIRST, WAIT_MAX));
    let mut attempts = 0;
    let error = loop {
        // It is never closed. One that waits for its next attempt is in nobody's way.
        let Ok(permit) = room.acquire().await else { return 0 };
        let attempt = webhooks.attempt(&id, message.body.clone()).await;
        drop(permit);
        let Err(error) = attempt else { return 0 };
        attempts += 1;
        let age_ms = cluster.read(|state| state.cluster_time_ms()).saturating_sub(message.at_ms);
        if attempts >= config.attempts_max || u128::from(age_ms) >= config.give_up_after.as_millis() {
            break error;
        }
        WebhookStats::one(&stats.retried_total);
        let asked = match error {
            NotTaken::Answered { retry_after, .. } => retry_after,
            NotTaken::Failed(_) => None,
        };
        tokio::time::sleep(asked.unwrap_or_else(|| backoff.failed(random())).min(WAIT_MAX)).await;
    };
    WebhookStats::one(&stats.dead_total);
    let kind = message.kind.as_str();
    tracing::error!(event_type = "webhook_given_up", id, kind, attempts, %error, "a message for the webhooks' receiver is given up: it is a dead letter now");
    loop {
        let now_ms = unix_ms(SystemTime::now());
        if let Some(dropped) = dead_letters::keep(&cluster, &message, attempts, &error.to_string(), now_ms).await {
            return dropped;
        }
        tokio::time::sleep(KEEP_AGAIN).await;
    }
}
