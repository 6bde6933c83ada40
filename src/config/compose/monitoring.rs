//! Category 5: where health and metrics are served.

use crate::alerts::{AlertConfig, ClusterAlertConfig, Condition, Thresholds};
use crate::config::problem::Severity;
use crate::config::schema::{Setting, balancer, kind::UrlPath, monitoring as schema, performance};
use crate::config::values::Values;
use crate::config::{CheckConfig, Inputs, MetricFamilies, MetricsConfig, MonitoringConfig};
use crate::http_client::is_private;
use crate::observability::logging::client_tls;
use crate::security::endpoint::Endpoint;
use crate::service::Distribution;

/// Engine.IO's own path.
const ENGINE_IO: &str = "/socket.io";
/// What a node without clients takes of memory at least, in MB.
const MEMORY_MB_ALWAYS: f64 = 32.0;

pub(super) fn compose(values: &Values<'_>, inputs: &Inputs) -> MonitoringConfig {
    let health = values.get(&schema::HEALTH_ENDPOINT);
    let metrics = values.get(&schema::METRICS_ENDPOINT);
    let alias = values.given(&balancer::HEALTH_CHECK_PATH).filter(|alias| *alias != health);
    let is_below =
        |path: &str, base: &str| path == base || path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    let check = |setting: &Setting<UrlPath>, path: &str, others: &[&str]| {
        if let Some(other) = others.iter().find(|other| is_below(path, other) || is_below(other, path)) {
            values.refuse(setting, format!("{other} is there already"), "a path of its own");
        }
    };
    check(&schema::HEALTH_ENDPOINT, &health, &[ENGINE_IO]);
    check(&schema::METRICS_ENDPOINT, &metrics, &[ENGINE_IO, &health]);
    if let Some(alias) = &alias {
        check(&balancer::HEALTH_CHECK_PATH, alias, &[ENGINE_IO, &metrics]);
        if is_below(alias, &health) {
            values.refuse(&balancer::HEALTH_CHECK_PATH, format!("{health} serves it already"), "another path, or none");
        }
    }
    if !values.get(&schema::HEALTH_CHECKS) {
        let reason = "health checks of balancers and orchestrators will fail";
        values.say(Severity::Warning, &schema::HEALTH_CHECKS, reason, "true, if anything checks");
    }
    MonitoringConfig {
        health: values.get(&schema::HEALTH_CHECKS).then_some(health),
        health_alias: alias,
        metrics: values.get(&schema::METRICS_ENABLED).then_some(metrics),
        metrics_token: values.given(&schema::METRICS_TOKEN).map(Into::into),
        detailed_health: values.get(&schema::DETAILED_HEALTH),
        checks: checks(values, inputs),
        alerts: alerts(values, inputs),
        traces: super::traces::compose(values),
        thresholds: Thresholds::of(&values.get(&schema::ALERT_THRESHOLDS)),
        shown: MetricsConfig {
            form: values.get(&schema::METRICS_FORMAT),
            families: MetricFamilies {
                performance: values.get(&schema::PERFORMANCE_MONITORING),
                connections: values.get(&schema::CONNECTION_METRICS),
                messages: values.get(&schema::MESSAGE_METRICS),
                errors: values.get(&schema::ERROR_METRICS),
            },
        },
    }
}

/// Says of thresholds that parse and mean nothing: those that are never passed, and those that always are.
fn doubt_thresholds(values: &Values<'_>, memory_bytes_max: Option<u64>) {
    let thresholds = Thresholds::of(&values.get(&schema::ALERT_THRESHOLDS));
    let doubt = |condition: Condition, reason: String, accepted: &str| {
        let reason = format!("{} {reason}", condition.as_str());
        values.say(Severity::Warning, &schema::ALERT_THRESHOLDS, reason, accepted);
    };
    if let Some(megabytes) = thresholds.get(Condition::MemoryUsageMb) {
        let limit = memory_bytes_max.map(|bytes| (bytes / 1_000_000) as f64);
        if let Some(limit) = limit.filter(|limit| megabytes >= *limit) {
            let accepted = "less than nine tenths of the limit, at which new clients are refused";
            doubt(Condition::MemoryUsageMb, format!("is never more: {limit} MB are the limit of memory"), accepted);
        } else if megabytes < MEMORY_MB_ALWAYS {
            doubt(
                Condition::MemoryUsageMb,
                "is always more: a node without clients takes that".to_owned(),
                "such as 500",
            );
        }
    }
    if let Some(milliseconds) = thresholds.get(Condition::ResponseTimeMs) {
        // Answers are counted by buckets of their time, those beyond the last as twice its bound.
        let times = Distribution::of_times();
        let mut bounds = times.buckets().filter_map(|(bound, _)| bound);
        let shortest = bounds.next().unwrap_or_default() as f64 / 1e3;
        let longest = 2.0 * bounds.last().unwrap_or_default() as f64 / 1e3;
        if milliseconds >= longest {
            let reason = format!("is never more: what takes longer counts as {longest} ms");
            doubt(Condition::ResponseTimeMs, reason, "such as 1000");
        } else if milliseconds < shortest {
            let reason = format!("is always more: what takes less counts as {shortest} ms");
            doubt(Condition::ResponseTimeMs, reason, "such as 1000");
        }
    }
}

fn alerts(values: &Values<'_>, inputs: &Inputs) -> Option<AlertConfig> {
    if !values.get(&schema::ALERTING_ENABLED) {
        return None;
    }
    let Some(text) = values.given(&schema::ALERT_WEBHOOK_URL) else {
        if !values.is_given(&schema::ALERT_WEBHOOK_URL) {
            let reason = "there is nowhere to send alerts";
            values.refuse(&schema::ALERTING_ENABLED, reason, "WEBSOCKET_ALERT_WEBHOOK_URL, or false");
        }
        return None;
    };
    let cluster = values.get(&schema::ALERT_CLUSTER).then(|| ClusterAlertConfig {
        node_down_after: values.get(&schema::ALERT_NODE_DOWN_AFTER),
        lag_entries_max: values.get(&schema::ALERT_REPLICATION_LAG_ENTRIES),
    });
    if values.get(&schema::ALERT_THRESHOLDS).is_empty() {
        let reason = if cluster.is_some() {
            "without thresholds nodes send no alerts about themselves"
        } else {
            "without thresholds no alert is ever sent"
        };
        values.say(Severity::Warning, &schema::ALERT_THRESHOLDS, reason, r#"such as {"memory_usage_mb":500}"#);
    }
    doubt_thresholds(values, values.given(&performance::MEMORY_LIMIT).or(inputs.memory_bytes_max));
    let endpoint: Endpoint = match text.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            values.refuse_for(&schema::ALERT_WEBHOOK_URL, &error);
            return None;
        }
    };
    let allow_private = values.get(&schema::ALERT_WEBHOOK_ALLOW_PRIVATE);
    if !allow_private && endpoint.host().parse().is_ok_and(is_private) {
        let reason = "it is a private address";
        let accepted = "a public one, or WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE=true for a receiver of your own network";
        values.refuse(&schema::ALERT_WEBHOOK_URL, reason, accepted);
    }
    let tls = if endpoint.is_secure() {
        let made =
            client_tls(None).map_err(|error| values.refuse(&schema::ALERT_WEBHOOK_URL, error.to_string(), "http://"));
        Some(made.ok()?)
    } else {
        let reason = "alerts and their signatures go over the network as they are";
        values.say(Severity::Warning, &schema::ALERT_WEBHOOK_URL, reason, "an https:// address");
        None
    };
    Some(AlertConfig {
        endpoint,
        tls,
        secret: values.given(&schema::ALERT_WEBHOOK_SECRET).map(Into::into),
        allow_private,
        window: values.get(&schema::ALERT_WINDOW),
        repeat: values.get(&schema::ALERT_REPEAT),
        cluster,
    })
}

fn checks(values: &Values<'_>, inputs: &Inputs) -> CheckConfig {
    let interval = values.get(&balancer::HEALTH_CHECK_INTERVAL);
    let timeout = values.get(&balancer::HEALTH_CHECK_TIMEOUT);
    if timeout >= interval {
        let reason = format!("a check may take as long as the {} s from one to the next", interval.as_secs());
        values.refuse(&balancer::HEALTH_CHECK_TIMEOUT, reason, "less than WEBSOCKET_HEALTH_CHECK_INTERVAL");
    }
    CheckConfig {
        interval,
        timeout,
        retries: u32::try_from(values.get(&balancer::HEALTH_CHECK_RETRIES)).unwrap_or(u32::MAX),
        memory_bytes_max: values.given(&performance::MEMORY_LIMIT).or(inputs.memory_bytes_max),
    }
}
