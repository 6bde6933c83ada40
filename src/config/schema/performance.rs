//! Category 7: the protocol's times and sizes, shutdown, threads.

use super::kind::{Boolean, Choice, List, Number, Parsed, Size, Span};
use super::{Setting, settings};
use crate::service::Transport;

settings! {
    TRANSPORTS: List<Choice<Transport>> = Setting::new(
        "WEBSOCKET_TRANSPORTS",
        "transports",
        List::of(Choice::of(&[("polling", Transport::Polling), ("websocket", Transport::WebSocket)]), 2),
        "How clients may connect",
    )
    .or(&["SOCKETIO_TRANSPORTS"])
    .default("polling,websocket")
    .production("polling,websocket");

    PING_INTERVAL: Span = Setting::new(
        "WEBSOCKET_PING_INTERVAL",
        "ping-interval",
        Span::milliseconds(100, 600_000),
        "From one Engine.IO ping to the next",
    )
    .or(&["SOCKETIO_PING_INTERVAL"])
    .default("25s")
    .production("25");

    PING_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_PING_TIMEOUT",
        "ping-timeout",
        Span::milliseconds(100, 600_000),
        "How long a pong may take",
    )
    .or(&["SOCKETIO_PING_TIMEOUT"])
    .default("20s")
    .production("20");

    CONNECT_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_CONNECT_TIMEOUT",
        "connect-timeout",
        Span::milliseconds(100, 600_000),
        "How long a client may take to join a namespace after it has connected, and its CONNECT to be committed",
    )
    .or(&["SOCKETIO_CONNECT_TIMEOUT"])
    .unset("the connection timeout if one is given, else 45s")
    .production("45");

    UPGRADE_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_UPGRADE_TIMEOUT",
        "upgrade-timeout",
        Span::milliseconds(100, 600_000),
        "How long an upgrade from polling to WebSocket may take",
    )
    .or(&["SOCKETIO_UPGRADE_TIMEOUT"])
    .default("10s");

    MAX_PAYLOAD: Size = Setting::new(
        "WEBSOCKET_MAX_PAYLOAD",
        "max-payload",
        Size::new(1_000, 16 << 20),
        "The largest message and polling payload",
    )
    .or(&["WEBSOCKET_MAX_HTTP_BUFFER_SIZE", "SOCKETIO_MAX_HTTP_BUFFER_SIZE"])
    .default("1000000")
    .production("1MB");

    COMPRESSION: Boolean = Setting::new(
        "WEBSOCKET_COMPRESSION",
        "compression",
        Boolean,
        "Compression of messages (permessage-deflate)",
    )
    .or(&["WEBSOCKET_MESSAGE_COMPRESSION", "SOCKETIO_MESSAGE_COMPRESSION"])
    .default("false")
    .later("compression of messages")
    .production("false");

    WORKER_THREADS: Number = Setting::new(
        "WEBSOCKET_WORKER_THREADS",
        "worker-threads",
        Number::new(1, 1024),
        "Threads of the runtime",
    )
    .unset("one per core");

    DRAIN_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_DRAIN_TIMEOUT",
        "drain-timeout",
        Span::milliseconds(1_000, 600_000),
        "After the shutdown delay the process is gone within this time; its clients are let go meanwhile",
    )
    .default("8s")
    .production("30s");

    DRAIN_RATE: Parsed<u32> = Setting::new(
        "WEBSOCKET_DRAIN_RATE",
        "drain-rate",
        Parsed { read: drain_rate, what: "clients a second such as 500 or 500/s, from 1 to 1000000" },
        "How fast a node that stops or is drained lets its clients go, so that the others get them one after the other; a stop is \
         faster where its time-out needs it",
    )
    .default("500/s")
    .production("500/s");

    SHUTDOWN_DELAY: Span = Setting::new(
        "WEBSOCKET_SHUTDOWN_DELAY",
        "shutdown-delay",
        Span::milliseconds(0, 600_000),
        "How long a node that is told to stop goes on serving while balancers look away",
    )
    .default("0")
    .production("5s");

    MEMORY_LIMIT: Size = Setting::new(
        "WEBSOCKET_MEMORY_LIMIT",
        "memory-limit",
        Size::new(64 << 20, 1 << 46),
        "New clients are refused above nine tenths of it",
    )
    .unset("the control group's");

    RECOVERY_WINDOW: Span = Setting::new(
        "WEBSOCKET_RECOVERY_WINDOW",
        "recovery-window",
        Span::seconds(1, 86_400),
        "How long a disconnected session can be resumed; committed when a cluster is formed",
    )
    .default("120s");

    HISTORY_AGE: Span = Setting::new(
        "WEBSOCKET_HISTORY_AGE",
        "history-age",
        Span::seconds(1, 2 * 86_400),
        "How long delivered events are kept for replay; committed when a cluster is formed",
    )
    .unset("180s, or one and a half recovery windows");

    HISTORY_SIZE: Size = Setting::new(
        "WEBSOCKET_HISTORY_SIZE",
        "history-size",
        Size::new(1 << 20, 64 << 30),
        "How much of them is kept; committed when a cluster is formed",
    )
    .default("256MiB");
}

/// Clients a second: `500` or `500/s`.
///
/// # Errors
/// Not a rate, or out of range.
pub fn drain_rate(text: &str) -> Result<u32, String> {
    let digits = text.strip_suffix("/s").unwrap_or(text).trim_end();
    let rate: u32 = digits.parse().map_err(|_| "not a rate")?;
    if (1..=1_000_000).contains(&rate) { Ok(rate) } else { Err("out of range".to_owned()) }
}
