//! One message until it is settled: taken by the receiver, or given up and kept as a dead letter.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use vedfolnir_cluster::Cluster;

use super::Webhooks;
use super::attempt::NotTaken;
use super::cursor::NotWritten;
use super::dead_letters::{self, DeadLetter};
use super::message::Message;
use super::stats::WebhookStats;
use crate::observability::log::random;
use crate::observability::logging::{Backoff, unix_ms};

/// Between the first two attempts; twice as long each time ...
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// ... up to this, whatever the receiver asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

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
    let letter = DeadLetter::of(&message, attempts, &error.to_string(), unix_ms(SystemTime::now()));
    let mut backoff = Backoff::new(WAIT_FIRST, WAIT_MAX);
    // Until it is committed: what is not would be skipped.
    loop {
        match dead_letters::keep(&cluster, message.id, &letter, dead_letters::LETTERS_MAX).await {
            Ok(dropped) => return dropped,
            Err(NotWritten::Unknown) => {}
            Err(error) => {
                tracing::error!(event_type = "webhook_failed", %error, "a dead letter of the webhooks is not kept yet");
            }
        }
        tokio::time::sleep(backoff.failed(random())).await;
    }
}
