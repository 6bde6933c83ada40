//! The public routes of a node that is not a member yet: alive, not ready, every metric there.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{Node, exposition_tests, router, server_id, usual_paths};
use crate::config::{MetricFamilies, MetricsConfig, MetricsForm};

async fn ask(method: &str, path: &str) -> (StatusCode, String, String) {
    ask_of(MetricsConfig::default(), Request::builder().method(method).uri(path)).await
}

async fn ask_of(shown: MetricsConfig, request: axum::http::request::Builder) -> (StatusCode, String, String) {
    let node = Arc::new(Node::new(server_id(), "unused".into()));
    let request = request.body(Body::empty()).expect("a request");
    let paths = crate::config::MonitoringConfig { shown, ..usual_paths() };
    let response = router(node, &paths).oneshot(request).await.expect("an answer");
    let status = response.status();
    let kind = response.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap_or("?")).to_owned();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, kind, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn health_has_the_five_fields() {
    let (status, kind, body) = ask("GET", "/websocket/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(kind, "application/json");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["status"], "unhealthy");
    assert_eq!(body["connections"], 0);
    assert!(body["uptime"].is_u64());
    assert!(body["timestamp"].as_str().is_some_and(|time| time.ends_with('Z') && time.contains('T')));
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(5));
}

#[tokio::test]
async fn not_ready_says_why_and_alive_is_alive() {
    let (status, _, body) = ask("GET", "/websocket/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["reason"], "the node is not a member of its cluster yet");
    assert_eq!(ask("GET", "/websocket/health/live").await.0, StatusCode::OK);
    assert_eq!(ask("HEAD", "/websocket/health/live").await.0, StatusCode::OK);
    assert_eq!(ask("POST", "/websocket/health/live").await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn every_family_is_there_at_the_first_scrape() {
    let (status, kind, body) = ask("GET", "/websocket/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for sample in [
        "websocket_connections_total 0",
        "vedfolnir_store_entries 0",
        "vedfolnir_store_bytes 0",
        "vedfolnir_store_expired_total 0",
        "vedfolnir_store_refused_total{reason=\"conflict\"} 0",
        "vedfolnir_store_refused_total{reason=\"limit\"} 0",
        "vedfolnir_events_kept 0",
        "vedfolnir_events_total 0",
        "vedfolnir_linearizable_reads_total{result=\"no_quorum\"} 0",
        "vedfolnir_read_rounds_total 0",
        "websocket_connections_active 0",
        "websocket_messages_total{direction=\"in\",type=\"event\"} 0",
        "websocket_message_processing_seconds_bucket{le=\"0.1\"} 0",
        "websocket_message_processing_seconds_bucket{le=\"+Inf\"} 0",
        "websocket_message_processing_seconds_count 0",
        "websocket_errors_total{type=\"publish\"} 0",
        "vedfolnir_raft_term 0",
        "vedfolnir_resumes_total{outcome=\"recovered\"} 0",
        "vedfolnir_sessions{state=\"disconnected\"} 0",
        "vedfolnir_outbox_overflows_total 0",
        "vedfolnir_log_fsync_seconds_count 0",
        "vedfolnir_ready 0",
    ] {
        assert!(body.lines().any(|line| line == sample), "{sample} in\n{body}");
    }
    let resident = body.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).expect("memory");
    assert!(resident.parse::<f64>().is_ok_and(|bytes| bytes > 1e6), "{resident}");
    exposition_tests::judge(&body).expect("an exposition to the letter");
}

async fn page(shown: MetricsConfig, accept: &str) -> (String, String) {
    let request = Request::builder().uri("/websocket/metrics").header("accept", accept);
    let (status, kind, body) = ask_of(shown, request).await;
    assert_eq!(status, StatusCode::OK);
    (kind, body)
}

#[tokio::test]
async fn whoever_asks_for_openmetrics_gets_it() {
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let (kind, body) = page(MetricsConfig::default(), prometheus).await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(body.ends_with("# EOF\n"), "{body}");
    for line in [
        "# TYPE websocket_connections counter",
        "websocket_connections_total 0.0",
        "websocket_messages_total{direction=\"in\",type=\"event\"} 0.0",
        "websocket_message_processing_seconds_bucket{le=\"0.1\"} 0.0",
        "websocket_message_processing_seconds_bucket{le=\"+Inf\"} 0.0",
    ] {
        assert!(body.lines().any(|found| found == line), "{line} in\n{body}");
    }
    for other in ["*/*", "text/plain", "application/openmetrics-text;q=0", ""] {
        assert!(page(MetricsConfig::default(), other).await.0.starts_with("text/plain"), "{other}");
    }
}

#[tokio::test]
async fn the_form_may_be_fixed() {
    let shown = MetricsConfig { form: MetricsForm::OpenMetrics, ..MetricsConfig::default() };
    assert!(page(shown, "text/plain").await.1.ends_with("# EOF\n"));
    let shown = MetricsConfig { form: MetricsForm::Json, ..MetricsConfig::default() };
    let (kind, body) = page(shown, "text/plain").await;
    assert_eq!(kind, "application/json");
    let families: Vec<serde_json::Value> = serde_json::from_str(&body).expect("JSON");
    let of = |name: &str| families.iter().find(|family| family["name"] == name).cloned().expect("a family");
    assert_eq!(of("websocket_connections_total")["samples"][0]["value"], 0.0);
    let response = of("websocket_response_seconds");
    assert_eq!(response["type"], "histogram");
    assert_eq!(response["samples"][1]["labels"]["kind"], "ack");
    let buckets = response["samples"][1]["buckets"].as_array().expect("buckets").clone();
    assert_eq!(buckets.last().map(|last| last[0].clone()), Some("+Inf".into()));
}

#[tokio::test]
async fn families_can_be_left_out_each_without_the_others() {
    let all = page(MetricsConfig::default(), "*/*").await.1;
    let has = |page: &str, prefix: &str| page.lines().any(|line| line.starts_with(prefix));
    for (families, gone) in [
        (
            MetricFamilies { performance: false, ..MetricFamilies::default() },
            &["process_cpu", "process_open_fds", "websocket_operation_seconds"][..],
        ),
        (MetricFamilies { connections: false, ..MetricFamilies::default() }, &["websocket_connections_"]),
        (
            MetricFamilies { messages: false, ..MetricFamilies::default() },
            &["websocket_messages_", "websocket_message_"],
        ),
        (MetricFamilies { errors: false, ..MetricFamilies::default() }, &["websocket_errors_total"]),
    ] {
        let page = page(MetricsConfig { families, ..MetricsConfig::default() }, "*/*").await.1;
        exposition_tests::judge(&page).expect("an exposition to the letter");
        for prefix in gone {
            assert!(has(&all, prefix), "{prefix}");
            assert!(!has(&page, prefix), "{prefix}");
        }
        let (here, there) = (page.lines().count(), all.lines().count());
        assert!(here + 200 > there, "much more is gone than {gone:?}: {here} of {there} lines");
    }
}

#[test]
fn a_server_id_is_host_epoch_and_six_digits() {
    let id = server_id();
    let mut parts = id.rsplitn(3, '_');
    assert!(parts.next().is_some_and(|random| random.len() == 6 && random.chars().all(|c| c.is_ascii_hexdigit())));
    assert!(parts.next().is_some_and(|epoch| epoch.parse::<u64>().is_ok_and(|epoch| epoch > 1_600_000_000)));
    assert!(parts.next().is_some_and(|host| !host.is_empty()));
    assert_ne!(id, server_id());
}

async fn status_of(paths: &crate::config::MonitoringConfig, path: &str, token: Option<&str>) -> StatusCode {
    let node = Arc::new(Node::new(server_id(), "unused".into()));
    node.set_metrics_token(paths.metrics_token.clone());
    let mut request = Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).expect("a request");
    router(node, paths).oneshot(request).await.expect("an answer").status()
}

#[tokio::test]
async fn paths_are_where_the_configuration_says() {
    let paths = crate::config::MonitoringConfig {
        health: Some("/hz".to_owned()),
        health_alias: Some("/healthz".to_owned()),
        metrics: Some("/metrics".to_owned()),
        metrics_token: Some("sesame-0123456789".to_owned().into()),
        shown: crate::config::MetricsConfig::default(),
        detailed_health: true,
        checks: crate::config::CheckConfig::default(),
        alerts: None,
        traces: None,
        thresholds: crate::alerts::Thresholds::default(),
    };
    assert_eq!(status_of(&paths, "/hz/live", None).await, StatusCode::OK);
    for not_ready in ["/hz", "/hz/ready", "/healthz"] {
        assert_eq!(status_of(&paths, not_ready, None).await, StatusCode::SERVICE_UNAVAILABLE, "{not_ready}");
    }
    for gone in ["/websocket/health", "/websocket/metrics", "/healthz/live"] {
        assert_eq!(status_of(&paths, gone, None).await, StatusCode::NOT_FOUND, "{gone}");
    }
    assert_eq!(status_of(&paths, "/metrics", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status_of(&paths, "/metrics", Some("sesame")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status_of(&paths, "/metrics", Some("sesame-0123456789")).await, StatusCode::OK);
    let none = crate::config::MonitoringConfig { health: None, metrics: None, ..paths };
    assert_eq!(status_of(&none, "/hz/live", None).await, StatusCode::NOT_FOUND);
    assert_eq!(status_of(&none, "/metrics", None).await, StatusCode::NOT_FOUND);
}
