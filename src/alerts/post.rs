//! One attempt to hand a message to the webhook.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::AlertConfig;
use super::message::{Message, signature};
use crate::http_client::{AddressRule, ClientSettings, HttpClient, HttpError};
use crate::security::endpoint::Endpoint;
use crate::security::secret::Secret;

/// An attempt that takes longer has failed.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer's body; they are thrown away.
const ANSWER_BYTES_MAX: usize = 64 << 10;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-vedfolnir-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-vedfolnir-signature");

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// The receiver will say the same again.
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// It may take it later.
    #[error("it answers {status}")]
    NotNow { status: StatusCode, retry_after: Option<Duration> },
    /// It is at an address that is not allowed.
    #[error("{0}")]
    Private(HttpError),
    /// It cannot be reached, does not answer in time, or speaks something else.
    #[error("{0}")]
    Unreachable(HttpError),
}

/// Who takes messages. Cheap to clone.
#[derive(Clone)]
pub(super) struct Receiver {
    client: HttpClient,
    secret: Option<Arc<Secret>>,
}

impl Receiver {
    pub(super) fn new(config: &AlertConfig) -> Self {
        let rule = AddressRule {
            allow_private: config.allow_private,
            // The start says what it thinks of that.
            allow_public_plain: true,
            setting: "WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE",
        };
        let (endpoint, tls) = (config.endpoint.clone(), config.tls.clone());
        let client = HttpClient::new(ClientSettings { endpoint, tls, rule, idle_connections_max: 1 });
        Self { client, secret: config.secret.clone().map(Arc::new) }
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        self.client.endpoint()
    }

    /// Makes one attempt, signed with the time that it is.
    pub(super) async fn post(&self, message: &Message, now: u64) -> Result<(), PostError> {
        let body = Bytes::copy_from_slice(&message.body);
        let answer = match self.client.post(self.headers(message, now), body, ANSWER_BYTES_MAX, ATTEMPT_TIMEOUT).await {
            Ok(answer) => answer,
            Err(error @ HttpError::Private { .. }) => return Err(PostError::Private(error)),
            Err(error) => return Err(PostError::Unreachable(error)),
        };
        match answer.status {
            status if status.is_success() => Ok(()),
            status
                if status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) =>
            {
                Err(PostError::NotNow { status, retry_after: answer.retry_after })
            }
            // Redirects among them: where they lead was never judged.
            status => Err(PostError::Refused(status)),
        }
    }

    fn headers(&self, message: &Message, now: u64) -> HeaderMap {
        let signed = self.secret.as_ref().map(|secret| signature(secret, now, &message.body));
        let values = [
            (IDEMPOTENCY_KEY, Some(message.idempotency_key.clone())),
            (TIMESTAMP, Some(now.to_string())),
            (SIGNATURE, signed),
        ];
        // All of them are letters, digits and "=": headers take them.
        let header = |(name, text): (HeaderName, Option<String>)| Some((name, HeaderValue::try_from(text?).ok()?));
        values.into_iter().filter_map(header).collect()
    }
}
