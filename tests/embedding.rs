//! An application that embeds the server: what it says of itself is in the server's log, metrics and status.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use vedfolnir::admin::{Target, get};
use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::observability::logging::Level;
use vedfolnir::observability::monitor::{ConnectionEvent, LogEvent, MessageEvent};
use vedfolnir::server::Server;

/// Nothing here takes longer unless it is broken.
const CEILING: Duration = Duration::from_secs(60);

async fn ask(server: &Server, path: &str) -> String {
    let target: Target = server.report().admin_url.parse().unwrap();
    let (status, body) = get(&target, None, path, CEILING).await.unwrap();
    assert!(status.is_success(), "{path}: {status}");
    String::from_utf8(body.to_vec()).unwrap()
}

/// Every sample by its series.
async fn samples(server: &Server) -> BTreeMap<String, f64> {
    let page = ask(server, "/websocket/metrics").await;
    let sample = |line: &str| Some((line.rsplit_once(' ')?.0.to_owned(), line.rsplit_once(' ')?.1.parse().ok()?));
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_says_of_itself_is_in_the_servers_log_metrics_and_status() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("websocket.log");
    let mut settings: BTreeMap<&str, String> = BTreeMap::from([
        ("WEBSOCKET_DATA_DIR", directory.path().join("data").display().to_string()),
        ("WEBSOCKET_LOG_FILE", file.display().to_string()),
        ("WEBSOCKET_JSON_LOGGING", "true".to_owned()),
        ("WEBSOCKET_LOG_LEVEL", "DEBUG".to_owned()),
        ("WEBSOCKET_METRICS_EVENTS", "chat_message".to_owned()),
        ("WEBSOCKET_PORT", "0".to_owned()),
    ]);
    for name in ["WEBSOCKET_CLUSTER_ADDR", "WEBSOCKET_ADMIN_BIND"] {
        settings.insert(name, "127.0.0.1:0".to_owned());
    }
    let environment = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let config = load(&Inputs { environment, ..Inputs::default() }).unwrap().config;
    log::init(&config.log, "embedded").unwrap();
    let hash = config.hash.clone();
    let server = Server::builder(config).start().await.unwrap();
    tokio::time::timeout(CEILING, server.ready()).await.unwrap();
    let monitor = server.monitor();
    let client: IpAddr = "192.168.1.100".parse().unwrap();
    let before = samples(&server).await;

    monitor.log_connection_event(
        &LogEvent::new("connection_established", "WebSocket connection established")
            .session_id("session_123")
            .user_id(1)
            .connection_id("conn_456")
            .client_ip(client),
    );
    monitor.log_security_event(
        &LogEvent::new("authentication_failed", "WebSocket authentication failed")
            .session_id("session_123")
            .client_ip(client)
            .error_code("AUTH_FAILED")
            .level(Level::Critical),
    );
    monitor
        .log_performance_context("message_processing", "Processing WebSocket message", Some("session_123"))
        .run(|| tracing::info!("a nested line"));
    monitor
        .log_performance_context("message_processing", "Processing another", Some("session_789"))
        .run_async(async {
            tokio::task::yield_now().await;
            tracing::info!("a nested line of a task");
        })
        .await;
    let connect =
        |success| ConnectionEvent::new("connect", success).session_id("session_123").user_id("ada").namespace("/user");
    monitor.record_connection_event(&connect(true));
    monitor.record_connection_event(&connect(false));
    let message = MessageEvent::new("chat_message", 256, Duration::from_millis(50)).namespace("/user");
    monitor.record_message_event(&message);
    monitor.record_message_event(&message.success(false));
    assert_eq!(monitor.monitor_operation("process_upload", Some("session_123"), || Ok::<_, ()>(7)), Ok(7));
    assert_eq!(monitor.monitor_operation("process_upload", None, || Err::<(), _>("no room")), Err("no room"));
    let done = monitor.monitor_async_operation("process_upload", None, async { Ok::<_, ()>(8) }).await;
    assert_eq!(done, Ok(8));
    let dropped = monitor.monitor_async_operation("process_upload", None, std::future::pending::<Result<(), ()>>());
    assert!(tokio::time::timeout(Duration::ZERO, dropped).await.is_err());

    let after = samples(&server).await;
    let grown = |series: &str| after[series] - before.get(series).copied().unwrap_or(0.0);
    for (series, expected) in [
        ("websocket_connections_total", 1.0),
        ("websocket_connections_failed_total{reason=\"application\"}", 1.0),
        ("websocket_connections_active", 0.0),
        ("websocket_errors_total{type=\"application\"}", 2.0),
        ("websocket_messages_total{direction=\"in\",type=\"event\"}", 2.0),
        ("websocket_message_events_total{event=\"chat_message\"}", 2.0),
        ("websocket_message_size_bytes_sum", 512.0),
        ("websocket_message_processing_seconds_bucket{le=\"0.05\"}", 2.0),
        ("websocket_message_processing_seconds_bucket{le=\"0.01\"}", 0.0),
        ("websocket_security_auth_failures_total", 1.0),
        ("websocket_security_events_total{type=\"auth_failure\"}", 1.0),
        ("websocket_operation_seconds_count{operation=\"process_upload\"}", 4.0),
        ("websocket_operation_failures_total{operation=\"process_upload\"}", 2.0),
        ("websocket_operation_seconds_count{operation=\"message_processing\"}", 2.0),
        ("websocket_operation_failures_total{operation=\"message_processing\"}", 0.0),
    ] {
        assert_eq!(grown(series), expected, "{series}");
    }

    let health = monitor.perform_health_check();
    assert_eq!((health.status.value(), health.server_id.as_str()), ("healthy", server.report().server_id.as_str()));
    let status = serde_json::to_value(monitor.get_production_status().unwrap()).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&ask(&server, "/status").await).unwrap();
    assert_eq!((&status["status"], &status["tls"]["enabled"]), (&"healthy".into(), &false.into()));
    assert_eq!(status["cluster"]["cluster_id"], shown["cluster_id"]);
    assert_eq!((&status["config_hash"], &shown["config_hash"]), (&hash.as_str().into(), &hash.as_str().into()));
    assert_eq!(status["versions"]["program"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["versions"], shown["versions"]);
    assert_eq!(status["connections"]["total"], 1);

    log::stop();
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |message: &str| {
        lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no line {message:?}"))
    };
    let connected =
        lines.iter().find(|line| line["connection_id"] == "conn_456").expect("the line of log_connection_event");
    assert_eq!(
        (&connected["category"], &connected["event_type"], &connected["level"]),
        (&"connection".into(), &"connection_established".into(), &"INFO".into())
    );
    assert_eq!(
        (&connected["session_id"], &connected["user_id"], &connected["client_ip"]),
        (&"session_123".into(), &1.into(), &"192.168.1.100".into())
    );
    let failed = of("WebSocket authentication failed");
    assert_eq!(
        (&failed["category"], &failed["level"], &failed["error_code"]),
        (&"security".into(), &"CRITICAL".into(), &"AUTH_FAILED".into())
    );
    assert_eq!(of("a nested line")["session_id"], "session_123");
    assert_eq!(of("a nested line of a task")["session_id"], "session_789");
    let timed = of("Processing WebSocket message");
    assert_eq!(
        (&timed["category"], &timed["event_type"], &timed["session_id"]),
        (&"performance".into(), &"message_processing".into(), &"session_123".into())
    );
    assert!(timed["duration_ms"].is_number(), "{timed}");
    assert_eq!(of("WebSocket connection refused")["level"], "WARNING");
    assert_eq!(of("an application's handler failed")["category"], "error");
    let operations: Vec<_> = lines.iter().filter(|line| line["metadata"]["operation"] == "process_upload").collect();
    assert_eq!(operations.len(), 4, "{operations:?}");
    assert_eq!(operations.iter().filter(|line| line["level"] == "WARNING").count(), 2);
}
