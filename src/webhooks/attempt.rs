//! One attempt to have the receiver take a message.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;

use super::Webhooks;
use super::stats::WebhookStats;
use crate::http_client::HttpError;
use crate::security::guard::unix_now;

/// Bytes of an answer's body; they are thrown away.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Failures are logged at most this often.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Why the receiver has not taken it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// It says so.
    #[error("it answers {status}; accepted: 200 to 299")]
    Answered { status: StatusCode, retry_after: Option<Duration> },
    /// There is no answer.
    #[error("{0}")]
    Failed(#[from] HttpError),
}

impl Webhooks {
    /// Posts a message, signed with the time that it is.
    pub(super) async fn attempt(&self, id: &str, body: Bytes) -> Result<(), NotTaken> {
        let began = Instant::now();
        let headers = self.signer.headers(id, unix_now(), &body);
        let answered = self.client.post(headers, body, ANSWER_BYTES_MAX, self.config.timeout).await;
        self.stats.attempts.observe_time(began.elapsed());
        let taken = match answered {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(NotTaken::Answered { status: answer.status, retry_after: answer.retry_after }),
            Err(error) => Err(error.into()),
        };
        match &taken {
            Ok(()) => {
                WebhookStats::one(&self.stats.delivered_total);
                self.stats.failed_in_a_row.store(0, Ordering::Relaxed);
                *self.stats.last_error.lock() = None;
            }
            Err(error) => {
                self.stats.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
                *self.stats.last_error.lock() = Some(error.to_string());
                self.complain(error);
            }
        }
        taken
    }

    /// One line now and then.
    fn complain(&self, error: &NotTaken) {
        let now = Instant::now();
        let mut complained = self.complained.lock();
        if complained.is_some_and(|said| now.duration_since(said) < SAID_EVERY) {
            return;
        }
        *complained = Some(now);
        drop(complained);
        let endpoint = self.client.endpoint();
        tracing::warn!(event_type = "webhook_failed", %endpoint, %error, "the webhooks' receiver does not take a message");
    }
}
