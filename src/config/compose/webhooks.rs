//! Webhooks: who is told what.

use super::backend::{endpoint, secret, tls};
use crate::config::schema::webhooks as schema;
use crate::config::values::Values;
use crate::webhooks::WebhookConfig;

/// `None`: nobody is told.
pub(super) fn compose(values: &Values<'_>) -> Option<WebhookConfig> {
    let allow_private = values.get(&schema::WEBHOOK_ALLOW_PRIVATE);
    let allowed_by = schema::WEBHOOK_ALLOW_PRIVATE.about.name;
    let endpoint = endpoint(values, &schema::WEBHOOK_URL, allow_private, allowed_by)?;
    let tls = if endpoint.is_secure() { Some(tls(values, &schema::WEBHOOK_CA_FILE)?) } else { None };
    let mut kinds = values.get(&schema::WEBHOOK_TYPES);
    kinds.dedup();
    if kinds.is_empty() {
        values.refuse(&schema::WEBHOOK_TYPES, "the receiver would be told nothing", "at least one type");
    }
    Some(WebhookConfig {
        endpoint,
        tls,
        secret: secret(values, &schema::WEBHOOK_URL, &schema::WEBHOOK_SECRET),
        allow_private,
        kinds,
        timeout: values.get(&schema::WEBHOOK_TIMEOUT),
        attempts_max: u32::try_from(values.get(&schema::WEBHOOK_ATTEMPTS)).unwrap_or(u32::MAX),
        give_up_after: values.get(&schema::WEBHOOK_GIVE_UP_AFTER),
        requests_max: usize::try_from(values.get(&schema::WEBHOOK_REQUESTS_MAX)).unwrap_or(usize::MAX),
    })
}
