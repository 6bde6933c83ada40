//! What changes while a node runs: rules, tokens and certificates, at SIGHUP or when files change.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::unix_now;
use crate::admin;
use crate::api;
use crate::backend::Backend;
use crate::config::Config;
use crate::observability::Node;
use crate::security::guard::Guard;
use crate::tls::{self, ListenerTls, Reloaded};

/// How often the certificates' files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(2);

/// Exchanges what may change while the node runs.
#[derive(Clone)]
pub struct Reloader {
    guard: Arc<Guard>,
    tls: Option<Arc<ListenerTls>>,
    /// Where the listener with TLS is.
    tls_port: Option<u16>,
    door: Arc<admin::Doorkeeper>,
    api: Option<Arc<api::Keeper>>,
    backend: Option<Arc<Backend>>,
    node: Arc<Node>,
}

impl Reloader {
    pub(super) fn new(
        guard: Arc<Guard>,
        tls: Option<Arc<ListenerTls>>,
        tls_port: Option<u16>,
        (door, api): (Arc<admin::Doorkeeper>, Option<Arc<api::Keeper>>),
        backend: Option<Arc<Backend>>,
        node: Arc<Node>,
    ) -> Self {
        Self { guard, tls, tls_port, door, api, backend, node }
    }

    /// Puts the rules, keys and tokens of a new configuration in force.
    pub fn apply(&self, config: &Config) {
        let rules = Arc::new(config.security.rules.with_tls_port(self.tls_port));
        self.guard.replace(rules, &config.security.authenticator);
        self.door.replace(config.admin.tokens.clone());
        if let (Some(keeper), Some(api)) = (&self.api, &config.api) {
            keeper.replace(api.tokens.clone());
        }
        if let (Some(backend), Some(config)) = (&self.backend, &config.backend) {
            backend.replace_secret(config.secret.clone());
        }
        if let (Some(webhooks), Some(config)) = (self.node.webhooks(), &config.webhooks) {
            webhooks.replace_secret(config.secret.clone());
        }
        self.node.set_thresholds(config.monitoring.thresholds.clone());
        self.node.set_config_hash(config.hash.clone());
        self.node.set_metrics_token(config.monitoring.metrics_token.clone());
    }

    /// Reads the certificates' files again, whatever became of the configuration. What is no good leaves those in use.
    pub fn reload_certificates(&self) {
        if let Some(tls) = &self.tls {
            tell_reload(tls.reload(unix_now()));
        }
    }
}

/// Reads certificates again once their files have changed, and been left alone for a while.
pub(super) async fn watch_certificates(tls: Arc<ListenerTls>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(CERTIFICATE_LOOK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let looking = Arc::clone(&tls);
        // It reads files.
        let looked = tokio::task::spawn_blocking(move || looking.poll(unix_now())).await;
        if let Ok(Some(reloaded)) = looked {
            tell_reload(reloaded);
        }
    }
}

fn tell_reload(reloaded: Result<Reloaded, tls::LoadError>) {
    match reloaded {
        Ok(Reloaded::Unchanged) => tracing::debug!("the certificates are the same"),
        Ok(Reloaded::Changed { warnings }) => {
            tracing::info!(event_type = "certificate_reloaded", "new certificates are in use; connections keep theirs");
            for warning in warnings {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => {
            tracing::error!(event_type = "certificate_reload_failed", %error, "the new certificates are no good; those in use stay")
        }
    }
}
