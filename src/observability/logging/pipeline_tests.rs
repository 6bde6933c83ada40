//! The whole pipeline: from `tracing` to files, pipes and sockets, with planted secrets and sinks that stall.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

use super::super::level::Level;
use super::super::schema::schema;
use super::super::sinks::syslog::{Facility, SyslogFormat};
use super::*;

const LONG: Duration = Duration::from_secs(30);

fn config(log: &Path) -> LoggingConfig {
    let mut config = LoggingConfig::to_stderr("web-1", Levels::new(Level::Info), || 0);
    (config.log, config.format) = (Target::File(log.to_owned()), Format::Json);
    config
}

/// Logs into a pipeline, which is stopped afterwards; the handle is for what can be asked then.
fn logged(config: &LoggingConfig, events: impl FnOnce(&Handle)) -> Handle {
    let (layer, handle) = start::<Registry>(config).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || events(&handle));
    assert_eq!(handle.stop(LONG), Vec::<String>::new());
    handle
}

fn values(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn strings<'a>(values: &'a [serde_json::Value], name: &str) -> Vec<&'a str> {
    values.iter().map(|value| value[name].as_str().unwrap_or("-")).collect()
}

#[test]
fn an_event_in_its_spans_becomes_a_record_of_the_schema() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    logged(&config(&path), |handle| {
        handle.set_node("00000000000000a1");
        let connection = tracing::info_span!("connection", session_id = "session_123", client_ip = %"192.168.1.100", user_id = tracing::field::Empty);
        connection.record("user_id", 1);
        connection.in_scope(|| {
            let _operation = tracing::info_span!(
                "operation",
                namespace = "/user",
                room = "a",
                trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
            )
            .entered();
            tracing::info!(
                event_type = "connection_established",
                connection_id = "conn_456",
                duration_ms = 150.5,
                room = "b",
                "WebSocket connection established"
            );
        });
        tracing::error!(error = &std::io::Error::other("deep") as &dyn std::error::Error, "failed");
    });
    let values = values(&path);
    let first = &values[0];
    for (name, expected) in [
        ("session_id", serde_json::json!("session_123")),
        ("user_id", serde_json::json!(1)),
        ("connection_id", serde_json::json!("conn_456")),
        ("client_ip", serde_json::json!("192.168.1.100")),
        ("namespace", serde_json::json!("/user")),
        ("trace_id", serde_json::json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("message", serde_json::json!("WebSocket connection established")),
        ("duration_ms", serde_json::json!(150.5)),
        ("node", serde_json::json!("00000000000000a1")),
        ("seq", serde_json::json!(1)),
        ("metadata", serde_json::json!({"room": "b"})),
    ] {
        assert_eq!(first[name], expected, "{name}");
    }
    assert_eq!(values[1]["metadata"]["error"], "deep");
    assert!(values[1]["metadata"]["target"].as_str().unwrap().ends_with("tests"));
    assert_eq!(values[1]["session_id"], serde_json::Value::Null);
}

#[test]
fn ten_thousand_lines_validate_and_none_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    logged(&config(&path), |_| {
        for number in 0..5_000_u64 {
            tracing::info!(
                event_type = "connection_established",
                session_id = number,
                user_id = number,
                "hello {number}"
            );
            tracing::warn!(
                event_type = "authentication_failed",
                error_code = "AUTH_FAILED",
                user_agent = "\u{1b}x\r\n",
                "no"
            );
        }
    });
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let values = values(&path);
    assert!(values.iter().all(|value| validator.is_valid(value)));
    let seqs: Vec<_> = values.iter().map(|value| value["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=10_000).collect::<Vec<_>>());
}

#[test]
fn categories_and_errors_have_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut config = config(&path("log"));
    config.security_file = Some(path("security"));
    config.performance_file = Some(path("performance"));
    config.error_file = Some(path("errors"));
    config.levels.error_file = Some(Level::Error);
    config.levels.set_category(Category::Security, Some(Level::Warning));
    let handle = logged(&config, |_| {
        tracing::info!(event_type = "connection_established", "log");
        tracing::warn!(event_type = "authentication_failed", "security");
        tracing::info!(event_type = "authentication_succeeded", "nowhere");
        tracing::warn!(event_type = "brute_force_suspected", level = "CRITICAL", "security and errors");
        tracing::info!(event_type = "message_processing", duration_ms = 1, "performance");
        tracing::error!("log and errors");
        tracing::info!(event_type = "made_up", "log");
    });
    let messages = |name: &str| strings(&values(&path(name)), "message").join("; ");
    assert_eq!(messages("log"), "log; log and errors; log");
    assert_eq!(messages("security"), "security; security and errors");
    assert_eq!(messages("performance"), "performance");
    assert_eq!(messages("errors"), "security and errors; log and errors");
    let log = values(&path("log"));
    assert_eq!((&log[2]["event_type"], &log[2]["metadata"]["unknown_event_type"]), (&"log".into(), &"made_up".into()));
    assert_eq!(handle.stats().unknown_event_types(), 1);
    assert_eq!(handle.stats().records(Category::Security, Level::Critical), 1);
}

#[test]
fn one_file_for_several_things_has_each_record_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all");
    let mut config = config(&path);
    config.security_file = Some(directory.path().join("./all"));
    config.error_file = Some(path.clone());
    config.levels.error_file = Some(Level::Error);
    let handle = logged(&config, |_| {
        tracing::warn!(event_type = "authentication_failed", "one");
        tracing::error!("two");
    });
    assert_eq!(strings(&values(&path), "message"), ["one", "two"]);
    let kinds: Vec<_> = handle.stats().sinks().iter().map(|sink| sink.kind()).collect();
    assert_eq!(kinds, [SinkKind::Console, SinkKind::File]);
}

#[test]
fn no_planted_secret_reaches_any_sink() {
    const CANARY: &str = "c4n4ry-7f3a";
    let directory = tempfile::tempdir().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(&directory.path().join("log"));
    config.syslog = Some(SyslogConfig {
        server: udp.local_addr().unwrap().to_string().parse().unwrap(),
        format: SyslogFormat::Rfc5424,
        facility: Facility::default(),
        host_name: "host".to_owned(),
        tls: None,
    });
    config.http = Some(HttpConfig {
        endpoint: format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap(),
        token: Some("bearer".to_owned()),
        gzip: false,
        tls: None,
        timeout: LONG,
    });
    let receiver = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = String::new();
        // Until the last line is there.
        while !got.contains("last") {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap();
            got.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        got
    });
    #[derive(Debug)]
    #[allow(dead_code, reason = "shown by Debug")]
    struct Handshake {
        token: &'static str,
        pid: Option<&'static str>,
    }
    logged(&config, |handle| {
        let span = tracing::info_span!("connection", authorization = CANARY, cookie = CANARY);
        span.in_scope(|| {
            tracing::info!(token = CANARY, pid = CANARY, client_secret = CANARY, payload = CANARY, "by name");
            tracing::warn!(auth = ?Handshake { token: CANARY, pid: Some(CANARY) }, "by Debug");
            tracing::error!(error = %format_args!("GET /?token={CANARY} failed"), "in a text: password={CANARY}");
            tracing::info!(bytes = CANARY.as_bytes(), "bytes are no text");
        });
        handle.log(Level::Info, Category::Connection, "log", "last", [("api_key".into(), CANARY.into())]);
    });
    let http = receiver.join().unwrap();
    let file = fs::read_to_string(directory.path().join("log")).unwrap();
    let mut syslog = String::new();
    for _ in 0..5 {
        let mut bytes = [0; 9_000];
        let length = udp.recv(&mut bytes).unwrap();
        syslog.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        syslog.push('\n');
    }
    for text in [&file, &http, &syslog] {
        assert!(!text.contains(CANARY) && text.contains("***") && text.contains("last"), "{text}");
    }
    // The same JSON everywhere.
    for line in file.lines() {
        assert!(http.contains(line) && syslog.contains(line), "{line}");
    }
}

#[test]
fn a_sink_that_stalls_delays_nobody_and_says_what_it_lost() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(&directory.path().join("log"));
    config.queue = QueueBounds { lines_max: 1_000, bytes_max: 10 << 20 };
    config.syslog = Some(SyslogConfig {
        server: format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap(),
        format: SyslogFormat::Rfc5424,
        facility: Facility::default(),
        host_name: "host".to_owned(),
        tls: None,
    });
    let (layer, handle) = start::<Registry>(&config).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let filler = "x".repeat(4_000);
        // Nobody reads: the kernel's buffers fill, then the queue.
        for number in 0..20_000 {
            tracing::info!(number, filler, "line");
            if number % 500 == 0 {
                // So that the file keeps up.
                handle.queues_for_tests()[1].flush(std::time::Instant::now() + LONG);
            }
        }
    });
    assert!(handle.queues_for_tests()[1].flush(std::time::Instant::now() + LONG));
    let stats = handle.stats();
    let reading = |name: &str| stats.sinks().iter().find(|sink| sink.name() == name).unwrap().read();
    assert!(reading("syslog").dropped > 0 && reading("syslog").queued_lines <= 1_000, "{:?}", reading("syslog"));
    assert_eq!((reading("log").written, reading("log").dropped), (20_000, 0));
    // Now somebody does.
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).map(|_| String::from_utf8_lossy(&got).contains("lines dropped"))
    });
    assert_eq!(handle.stop(LONG), Vec::<String>::new());
    assert!(reader.join().unwrap().unwrap());
}

#[test]
fn files_are_opened_again_when_asked_and_nothing_is_lost_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("log"), directory.path().join("log.old"));
    logged(&config(&path), |handle| {
        for number in 0..200 {
            tracing::info!(number, "line");
            if number == 100 {
                assert!(handle.flush(LONG));
                fs::rename(&path, &moved).unwrap();
                handle.reopen_files();
            }
        }
    });
    let (old, new) = (values(&moved), values(&path));
    assert!(old.len() >= 101 && !new.is_empty());
    let seqs: BTreeSet<_> = old.iter().chain(&new).filter_map(|value| value["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=200).collect());
    assert!(strings(&new, "event_type").contains(&"log_reopened"));
}

#[test]
fn levels_and_masking_change_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    logged(&config(&path), |handle| {
        let say = |what: &str| {
            tracing::debug!(
                event_type = "message_sent",
                client_ip = "203.0.113.77",
                user_agent = "curl/8 (x)",
                "{what}"
            )
        };
        say("no");
        handle.set_level(Some(Category::Message), Level::Debug);
        say("full");
        handle.set_pii(Pii::Mask);
        say("mask");
        handle.set_pii(Pii::None);
        say("none");
        handle.replace_levels(Levels::new(Level::Info)).unwrap();
        say("no");
    });
    let values = values(&path);
    assert_eq!(strings(&values, "message"), ["full", "mask", "none"]);
    assert_eq!(strings(&values, "client_ip"), ["203.0.113.77", "203.0.113.0/24", "-"]);
    assert_eq!(strings(&values, "user_agent"), ["curl/8 (x)", "curl/8", "-"]);
}

#[test]
fn another_formatter_writes_the_log_and_this_one_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let (log, security) = (directory.path().join("log"), directory.path().join("security"));
    let mut config = config(&log);
    config.format = Format::Foreign;
    config.security_file = Some(security.clone());
    let (layer, handle) = start::<Registry>(&config).unwrap();
    let foreign = handle.filter().judge(tracing_subscriber::fmt::layer().json().with_writer(handle.foreign_writer()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer).with(foreign), || {
        tracing::info!(token = "c4n4ry", "one");
        tracing::warn!(event_type = "authentication_failed", "two");
        tracing::debug!("no");
    });
    assert_eq!(handle.stop(LONG), Vec::<String>::new());
    let messages: Vec<_> = values(&log).iter().map(|value| value["fields"]["message"].clone()).collect();
    assert_eq!(messages, ["one", "two"]);
    assert!(!fs::read_to_string(&log).unwrap().contains("c4n4ry"));
    assert_eq!(strings(&values(&security), "message"), ["two"]);
}

#[test]
fn a_panic_is_in_the_log_before_the_process_can_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let (_layer, handle) = start::<Registry>(&config(&path)).unwrap();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    handle.log_panics();
    let outcome = std::thread::Builder::new()
        .name("doomed".to_owned())
        .spawn(|| panic!("a bug with token=c4n4ry"))
        .unwrap()
        .join();
    std::panic::set_hook(before);
    assert!(outcome.is_err());
    // Tests beside this one may panic as well; theirs are not ours.
    let values = values(&path);
    let ours = values.iter().find(|value| value["metadata"]["thread"] == "doomed").unwrap();
    assert_eq!((&ours["event_type"], &ours["level"]), (&"panic".into(), &"CRITICAL".into()));
    assert_eq!(ours["message"], "a bug with token=***");
    assert!(ours["metadata"]["location"].as_str().unwrap().contains("pipeline_tests.rs"));
    handle.stop(LONG);
}

#[test]
fn what_cannot_be_started_is_named_and_leaves_no_thread_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let missing = config(&directory.path().join("missing/log"));
    let error = start::<Registry>(&missing).map(drop).unwrap_err();
    assert!(matches!(error, StartError::File(FileError::NoDirectory { .. })), "{error}");
    let mut bad = config(&directory.path().join("log"));
    bad.levels.directives = Some("a=b=c".to_owned());
    assert!(matches!(start::<Registry>(&bad).map(drop), Err(StartError::Directives(_))));
    let mut without_tls = config(&directory.path().join("log"));
    without_tls.syslog = Some(SyslogConfig {
        server: "tls://localhost".parse().unwrap(),
        format: SyslogFormat::Rfc5424,
        facility: Facility::default(),
        host_name: "host".to_owned(),
        tls: None,
    });
    assert!(matches!(start::<Registry>(&without_tls).map(drop), Err(StartError::NoTls(_))));
}

#[test]
fn the_end_has_its_bound() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory.path().join("log"));
    config.syslog = Some(SyslogConfig {
        server: format!("tcp://{address}").parse().unwrap(),
        format: SyslogFormat::Rfc5424,
        facility: Facility::default(),
        host_name: "host".to_owned(),
        tls: None,
    });
    let (layer, handle) = start::<Registry>(&config).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || tracing::info!("one"));
    handle.stop(Duration::ZERO);
    handle.stop(LONG);
    assert_eq!(handle.stats().sinks().iter().find(|sink| sink.name() == "syslog").unwrap().read().dropped, 1);
    handle.log(Level::Info, Category::System, "log", "late", []);
}
