//! What telling costs the one who tells: a line of the log until it is queued, the metrics of a message, by the calls that
//! embedding applications have.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::observability::monitor::{LogEvent, MessageEvent};
use vedfolnir::server::Server;

use super::temporary;
use crate::args::TellingArgs;
use crate::error::BenchError;
use crate::report::Report;

/// Lines that are told at once; then their sink gets a moment, as it does where it has a core of its own. Fewer than it queues.
const BURST: usize = 1_000;
const MOMENT: Duration = Duration::from_millis(10);

pub(super) async fn run(arguments: &TellingArgs) -> Result<Report, BenchError> {
    let other = |error: &dyn std::error::Error| BenchError::Other(error.to_string());
    let directory = temporary(None)?;
    let file = directory.path().join("vedfolnir.log");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let settings = [
        ("WEBSOCKET_DATA_DIR", text(&directory.path().join("data"))),
        ("WEBSOCKET_PORT", "0".to_owned()),
        ("WEBSOCKET_ADMIN_BIND", "127.0.0.1:0".to_owned()),
        ("WEBSOCKET_CLUSTER_ADDR", "127.0.0.1:0".to_owned()),
        ("WEBSOCKET_JSON_LOGGING", "true".to_owned()),
        ("WEBSOCKET_LOG_FILE", text(&file)),
    ];
    let environment = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let loaded = load(&Inputs { environment, ..Inputs::default() }).map_err(|error| other(&error))?;
    log::init(&loaded.config.log, "bench").map_err(|error| other(&error))?;
    let server = Server::builder(loaded.config).start().await.map_err(|error| other(&error))?;
    let monitor = server.monitor();
    let mut report = Report::new(&arguments.label, "telling: one thread that tells".to_owned());

    let client: IpAddr = [192, 168, 1, 100].into();
    let line = LogEvent::new("connection_established", "WebSocket connection established")
        .session_id("VQvzFDlNBSHnJ5LDAAAB")
        .user_id(1)
        .connection_id("b4e0f1c2d3a49586")
        .client_ip(client);
    let mut told = Duration::ZERO;
    let mut left = arguments.lines;
    while left > 0 {
        let burst = left.min(BURST);
        let begin = Instant::now();
        (0..burst).for_each(|_| monitor.log_connection_event(&line));
        told += begin.elapsed();
        left -= burst;
        tokio::time::sleep(MOMENT).await;
    }
    report.figure("a line of the log", nanos(told, arguments.lines), "ns");

    let message = MessageEvent::new("chat_message", 256, Duration::from_micros(50)).namespace("/").success(true);
    let begin = Instant::now();
    (0..arguments.messages).for_each(|_| monitor.record_message_event(&message));
    // Two counters, a count by name, two histograms with a sum each; and two lines that the level does not let through.
    report.figure("a message's metrics", nanos(begin.elapsed(), arguments.messages), "ns");

    server.run_until(async {}).await.map_err(|error| other(&error))?;
    log::stop();
    let lines = BufReader::new(std::fs::File::open(&file)?).lines();
    let written = lines.map_while(Result::ok).filter(|line| line.contains("connection_established")).count();
    if written < arguments.lines {
        report.broken.push(format!("{} lines were not written", arguments.lines - written));
    }
    Ok(report)
}

fn nanos(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e9 / count.max(1) as f64
}
