//! Webhooks: what happens to sessions and rooms, told to a receiver over HTTP: at least once, in the order of each session,
//! whichever node dies.
//!
//! ```text
//!   leader: cursor ─► cluster events after it ─► one at a time for each session or room ─► POST, signed, again with back-off
//!              ▲                                                                   │ given up: a dead letter, committed
//!              └──────────── settled from the front on: compare-and-set ◄──────────┘
//! ```
//!
//! Cursor and dead letters are entries of the replicated key-value store, under keys that applications do not reach. A new
//! leader goes on from the committed cursor: what the old one had delivered behind it is delivered again, under the same id.
//! docs/backend.md says what a receiver gets.

mod attempt;
mod cursor;
pub(crate) mod dead_letters;
mod delivery;
mod kind;
mod message;
mod run;
mod stats;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::ClientConfig;

use crate::http_client::{AddressRule, ClientSettings, HttpClient, Signer};
use crate::security::endpoint::Endpoint;
use crate::security::secret::Secret;

pub(crate) use cursor::Cursor;
pub use dead_letters::{DeadLetter, DeadLetterPage, LetterError, Replayed};
pub use kind::WebhookKind;
pub(crate) use run::run;
pub use stats::WebhookStats;

/// Who is told what, and how often it is tried.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The receiver.
    pub endpoint: Endpoint,
    /// For `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// What the receiver knows us by.
    pub secret: Option<Secret>,
    /// Whether it may be at a private, link-local or loopback address.
    pub allow_private: bool,
    /// What it is told.
    pub kinds: Vec<WebhookKind>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// An event is given up after so many attempts ...
    pub attempts_max: u32,
    /// ... or when it happened so long ago, in committed cluster time, and was tried.
    pub give_up_after: Duration,
    /// Attempts that are under way at once.
    pub requests_max: usize,
}

/// What the leader's deliveries and operators' replays share.
pub struct Webhooks {
    config: WebhookConfig,
    client: HttpClient,
    signer: Signer,
    stats: WebhookStats,
    /// When a failure was logged last.
    complained: Mutex<Option<Instant>>,
}

impl Webhooks {
    /// Of this configuration. It needs a runtime.
    #[must_use]
    pub fn new(config: WebhookConfig) -> Self {
        let rule = AddressRule {
            allow_private: config.allow_private,
            allow_public_plain: false,
            setting: "WEBSOCKET_WEBHOOK_ALLOW_PRIVATE",
        };
        let (endpoint, tls) = (config.endpoint.clone(), config.tls.clone());
        let idle_connections_max = config.requests_max;
        let client = HttpClient::new(ClientSettings { endpoint, tls, rule, idle_connections_max });
        Self {
            client,
            signer: Signer::new(config.secret.clone()),
            stats: WebhookStats::default(),
            complained: Mutex::default(),
            config,
        }
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &WebhookConfig {
        &self.config
    }

    /// What this node has delivered.
    #[must_use]
    pub const fn stats(&self) -> &WebhookStats {
        &self.stats
    }

    /// From now on messages are signed with this.
    pub fn replace_secret(&self, secret: Option<Secret>) {
        self.signer.replace(secret);
    }
}

#[cfg(test)]
#[path = "webhooks_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
