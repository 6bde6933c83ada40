//! Category 5: metrics, health, alerts. Traces are beside it.

use std::collections::BTreeMap;

use super::kind::{Boolean, Choice, List, Number, Parsed, Span, Text, UrlPath, WebAddress};
use super::{Setting, settings};
use crate::config::MetricsForm;

/// Events that are counted by name at most.
const EVENTS_MAX: usize = 64;
/// What an alert may be told by.
const THRESHOLDS: [&str; 4] = ["connection_errors", "message_errors", "response_time_ms", "memory_usage_mb"];

settings! {
    METRICS_ENABLED: Boolean = Setting::new(
        "WEBSOCKET_METRICS_ENABLED",
        "metrics",
        Boolean,
        "Whether the public listener serves metrics; the operators' listener always does",
    )
    .default("true")
    .production("true");

    METRICS_ENDPOINT: UrlPath = Setting::new(
        "WEBSOCKET_METRICS_ENDPOINT",
        "metrics-endpoint",
        UrlPath,
        "Where",
    )
    .default("/websocket/metrics")
    .production("/websocket/metrics");

    METRICS_FORMAT: Choice<MetricsForm> = Setting::new(
        "WEBSOCKET_METRICS_FORMAT",
        "metrics-format",
        Choice::of(&[
            ("prometheus", MetricsForm::Prometheus),
            ("openmetrics", MetricsForm::OpenMetrics),
            ("json", MetricsForm::Json),
        ]),
        "The form in which metrics are served; prometheus: OpenMetrics for those who ask for it",
    )
    .default("prometheus")
    .production("prometheus");

    METRICS_TOKEN: Text = Setting::new(
        "WEBSOCKET_METRICS_TOKEN",
        "metrics-token",
        Text::of("a bearer token", 4_096),
        "What a scraper of the public listener must show (Authorization: Bearer)",
    )
    .secret()
    .reloads();

    METRICS_EVENTS: List<Text> = Setting::new(
        "WEBSOCKET_METRICS_EVENTS",
        "metrics-events",
        List::of(Text::of("an event's name", 256), EVENTS_MAX),
        "Clients' events that are counted by name; all others are counted together",
    )
    .unset("none");

    PERFORMANCE_MONITORING: Boolean = Setting::new(
        "WEBSOCKET_PERFORMANCE_MONITORING",
        "performance-monitoring",
        Boolean,
        "Metrics of the process and of operations, and log lines of the category performance",
    )
    .default("true")
    .production("true");

    CONNECTION_METRICS: Boolean = Setting::new(
        "WEBSOCKET_CONNECTION_METRICS",
        "connection-metrics",
        Boolean,
        "Metrics of connections",
    )
    .default("true")
    .production("true");

    MESSAGE_METRICS: Boolean = Setting::new(
        "WEBSOCKET_MESSAGE_METRICS",
        "message-metrics",
        Boolean,
        "Metrics of messages",
    )
    .default("true")
    .production("true");

    ERROR_METRICS: Boolean = Setting::new(
        "WEBSOCKET_ERROR_METRICS",
        "error-metrics",
        Boolean,
        "Metrics of errors; the shipped alert rules need them",
    )
    .default("true")
    .production("true");

    HEALTH_CHECKS: Boolean = Setting::new(
        "WEBSOCKET_HEALTH_CHECKS",
        "health-checks",
        Boolean,
        "Whether the public listener answers health checks",
    )
    .default("true")
    .production("true");

    HEALTH_ENDPOINT: UrlPath = Setting::new(
        "WEBSOCKET_HEALTH_ENDPOINT",
        "health-endpoint",
        UrlPath,
        "Where; /ready, /live and /startup are below it",
    )
    .default("/websocket/health")
    .production("/websocket/health");

    DETAILED_HEALTH: Boolean = Setting::new(
        "WEBSOCKET_DETAILED_HEALTH",
        "detailed-health",
        Boolean,
        "Each part's state in the operators' health; the public listener never shows it",
    )
    .default("false")
    .production("true");

    ALERTING_ENABLED: Boolean = Setting::new(
        "WEBSOCKET_ALERTING_ENABLED",
        "alerting",
        Boolean,
        "Whether alerts are sent",
    )
    .default("false")
    .production("true");

    ALERT_WEBHOOK_URL: WebAddress = Setting::new(
        "WEBSOCKET_ALERT_WEBHOOK_URL",
        "alert-webhook-url",
        WebAddress,
        "Where to",
    )
    .secret()
    .production("https://alerts.example.com/webhook");

    ALERT_WEBHOOK_SECRET: Text = Setting::new(
        "WEBSOCKET_ALERT_WEBHOOK_SECRET",
        "alert-webhook-secret",
        Text::of("a shared secret", 4_096),
        "Key of the signature by which the receiver knows us",
    )
    .secret();

    ALERT_WEBHOOK_ALLOW_PRIVATE: Boolean = Setting::new(
        "WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE",
        "alert-webhook-allow-private",
        Boolean,
        "Whether it may be at a private, link-local or loopback address",
    )
    .default("false");

    ALERT_THRESHOLDS: Parsed<BTreeMap<String, f64>> = Setting::new(
        "WEBSOCKET_ALERT_THRESHOLDS",
        "alert-thresholds",
        Parsed {
            read: thresholds,
            what: "a JSON object of numbers above 0 with the keys connection_errors, message_errors, response_time_ms, memory_usage_mb",
        },
        "What an alert is sent for, in each window",
    )
    .default("{}")
    .reloads()
    .production(r#"{"connection_errors":10,"message_errors":50,"response_time_ms":1000,"memory_usage_mb":500}"#);

    ALERT_WINDOW: Span = Setting::new(
        "WEBSOCKET_ALERT_WINDOW",
        "alert-window",
        Span::seconds(1, 86_400),
        "The window over which thresholds count",
    )
    .default("60");

    ALERT_REPEAT: Span = Setting::new(
        "WEBSOCKET_ALERT_REPEAT",
        "alert-repeat",
        Span::seconds(1, 30 * 86_400),
        "An alert that goes on is sent again after this long",
    )
    .default("4h");

    ALERT_CLUSTER: Boolean = Setting::new(
        "WEBSOCKET_ALERT_CLUSTER",
        "alert-cluster",
        Boolean,
        "Whether the leader sends alerts about the whole cluster: node_down, quorum_at_risk, replication_lag, \
         backup_failing, backup_late, webhook_failing; the same on every node",
    )
    .default("true");

    ALERT_NODE_DOWN_AFTER: Span = Setting::new(
        "WEBSOCKET_ALERT_NODE_DOWN_AFTER",
        "alert-node-down-after",
        Span::seconds(1, 86_400),
        "A member that the leader has not heard of for this long is an alert, and so is one that lags for this long",
    )
    .default("30");

    ALERT_REPLICATION_LAG_ENTRIES: Number = Setting::new(
        "WEBSOCKET_ALERT_REPLICATION_LAG_ENTRIES",
        "alert-replication-lag-entries",
        Number::new(1, 1_000_000_000),
        "Committed log entries that a member may be without before it lags",
    )
    .default("10000");
}

/// Reads the thresholds; a reason quotes the position in the text.
fn thresholds(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let read: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let one = |(key, value): (String, serde_json::Value)| {
        if !THRESHOLDS.contains(&key.as_str()) {
            return Err(format!("{key:?} is no threshold"));
        }
        match value.as_f64() {
            Some(number) if number > 0.0 && number.is_finite() => Ok((key, number)),
            _ => Err(format!("{key:?} has {value}, not a number above 0")),
        }
    };
    read.into_iter().map(one).collect()
}
