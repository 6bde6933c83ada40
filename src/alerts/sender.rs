//! Hands messages to the webhook, one after the other, each until it is taken or given up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::AlertStats;
use super::message::Message;
use super::post::{PostError, Receiver};
use crate::observability::log::random;
use crate::observability::logging::Backoff;
use crate::security::guard::unix_now;

/// Messages that wait.
pub(super) const MESSAGES_MAX: usize = 64;
/// A message is given up after so many attempts.
const ATTEMPTS_MAX: u32 = 8;
/// Between the first two attempts; twice as long each time ...
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// ... up to this, whatever the receiver asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Sends until `stop`.
pub(super) async fn run(
    receiver: Receiver,
    stats: Arc<AlertStats>,
    mut messages: mpsc::Receiver<Message>,
    stop: CancellationToken,
) {
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = stop.cancelled() => return,
        };
        let Some(message) = message else { return };
        tokio::select! {
            () = deliver(&receiver, &stats, &message) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Until it is taken or given up; both are counted.
pub(super) async fn deliver(receiver: &Receiver, stats: &AlertStats, message: &Message) {
    let mut backoff = Backoff::new(WAIT_FIRST, WAIT_MAX);
    for attempt in 1..=ATTEMPTS_MAX {
        let error = match receiver.post(message, unix_now()).await {
            Ok(()) => {
                AlertStats::one(&stats.delivered_total);
                return;
            }
            Err(error) => error,
        };
        let is_final = matches!(error, PostError::Refused(_) | PostError::Private(_)) || attempt == ATTEMPTS_MAX;
        if is_final {
            AlertStats::one(&stats.dropped_total);
            tracing::error!(
                event_type = "alert_not_delivered",
                alert = message.alert,
                status = message.status,
                endpoint = %receiver.endpoint(),
                attempt,
                %error,
                "the alerts' receiver does not take a message: it is given up"
            );
            return;
        }
        AlertStats::one(&stats.retried_total);
        tracing::debug!(alert = message.alert, %error, attempt, "the alerts' receiver did not take a message yet");
        let asked = match error {
            PostError::NotNow { retry_after, .. } => retry_after,
            _ => None,
        };
        tokio::time::sleep(asked.unwrap_or_else(|| backoff.failed(random())).min(WAIT_MAX)).await;
    }
}
