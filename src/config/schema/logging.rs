//! Category 4: logs.

use super::kind::{Boolean, Choice, FilePath, Number, Parsed, Size, Text, WebAddress};
use super::{Setting, settings};
use crate::config::{LogFormat, LogLevel};

const FILES: &str = "log files";
const CATEGORIES: &str = "log categories of their own";
const REMOTE: &str = "remote logs";

/// The document's levels, with the names that other systems give them.
const LEVELS: Choice<LogLevel> = Choice::of(&[
    ("DEBUG", LogLevel::Debug),
    ("INFO", LogLevel::Info),
    ("WARNING", LogLevel::Warning),
    ("ERROR", LogLevel::Error),
    ("CRITICAL", LogLevel::Critical),
    ("TRACE", LogLevel::Trace),
    ("WARN", LogLevel::Warning),
    ("FATAL", LogLevel::Critical),
]);

settings! {
    LOG_LEVEL: Choice<LogLevel> = Setting::new(
        "WEBSOCKET_LOG_LEVEL",
        "log-level",
        LEVELS,
        "The least level that is logged",
    )
    .unset("INFO; DEBUG in debug mode")
    .reloads()
    .production("INFO");

    SECURITY_LOG_LEVEL: Choice<LogLevel> = Setting::new(
        "WEBSOCKET_SECURITY_LOG_LEVEL",
        "security-log-level",
        LEVELS,
        "The same for security events",
    )
    .unset("the log level")
    .later(CATEGORIES)
    .production("WARNING");

    PERFORMANCE_LOG_LEVEL: Choice<LogLevel> = Setting::new(
        "WEBSOCKET_PERFORMANCE_LOG_LEVEL",
        "performance-log-level",
        LEVELS,
        "The same for performance records",
    )
    .unset("the log level")
    .later(CATEGORIES)
    .production("INFO");

    ERROR_LOG_LEVEL: Choice<LogLevel> = Setting::new(
        "WEBSOCKET_ERROR_LOG_LEVEL",
        "error-log-level",
        LEVELS,
        "The least level that reaches the error log's file",
    )
    .unset("ERROR")
    .later(FILES)
    .production("ERROR");

    LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_LOG_FILE",
        "log-file",
        FilePath::of("a file, or - for standard output"),
        "Where logs go",
    )
    .unset("standard error")
    .later(FILES)
    .production("/var/log/vedfolnir/websocket.log");

    SECURITY_LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_SECURITY_LOG_FILE",
        "security-log-file",
        FilePath::of("a file"),
        "Where security events go",
    )
    .unset("the log")
    .later(FILES)
    .production("/var/log/vedfolnir/websocket_security.log");

    PERFORMANCE_LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_PERFORMANCE_LOG_FILE",
        "performance-log-file",
        FilePath::of("a file"),
        "Where performance records go",
    )
    .unset("the log")
    .later(FILES)
    .production("/var/log/vedfolnir/websocket_performance.log");

    ERROR_LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_ERROR_LOG_FILE",
        "error-log-file",
        FilePath::of("a file"),
        "Where errors of every category go, too",
    )
    .unset("none")
    .later(FILES)
    .production("/var/log/vedfolnir/websocket_errors.log");

    JSON_LOGGING: Boolean = Setting::new(
        "WEBSOCKET_JSON_LOGGING",
        "json-logging",
        Boolean,
        "One JSON object a line; the same as the log format json",
    )
    .unset("true in production mode")
    .production("true");

    STRUCTURED_LOGGING: Boolean = Setting::new(
        "WEBSOCKET_STRUCTURED_LOGGING",
        "structured-logging",
        Boolean,
        "key=value lines where JSON is off",
    )
    .unset("with JSON lines: true")
    .later("logfmt lines")
    .production("true");

    LOG_FORMAT: Choice<LogFormat> = Setting::new(
        "WEBSOCKET_LOG_FORMAT",
        "log-format",
        Choice::of(&[("human", LogFormat::Human), ("json", LogFormat::Json), ("bunyan", LogFormat::Bunyan)]),
        "How a line looks",
    )
    .unset("human; json in production mode");

    LOG_FILTER: Parsed<String> = Setting::new(
        "WEBSOCKET_LOG_FILTER",
        "log-filter",
        Parsed { read: directives, what: "tracing directives, such as info,vedfolnir_cluster=debug" },
        "Directives instead of a level",
    )
    .reloads();

    LOG_ROTATION: Boolean = Setting::new(
        "WEBSOCKET_LOG_ROTATION",
        "log-rotation",
        Boolean,
        "Log files are rotated by size",
    )
    .unset("with log files: true")
    .later(FILES)
    .production("true");

    MAX_LOG_SIZE: Size = Setting::new(
        "WEBSOCKET_MAX_LOG_SIZE",
        "max-log-size",
        Size::new(1_000, 1 << 40),
        "Size of a log file before it is rotated",
    )
    .default("100MB")
    .later(FILES)
    .production("100MB");

    LOG_BACKUP_COUNT: Number = Setting::new(
        "WEBSOCKET_LOG_BACKUP_COUNT",
        "log-backup-count",
        Number::new(0, 10_000),
        "Rotated files that are kept",
    )
    .default("10")
    .later(FILES)
    .production("10");

    REMOTE_LOGGING: Boolean = Setting::new(
        "WEBSOCKET_REMOTE_LOGGING",
        "remote-logging",
        Boolean,
        "Whether logs go to the receivers below",
    )
    .default("false")
    .later(REMOTE)
    .production("true");

    SYSLOG_SERVER: Text = Setting::new(
        "WEBSOCKET_SYSLOG_SERVER",
        "syslog-server",
        Text::of("[udp|tcp|tls]://HOST:PORT, or HOST:PORT for UDP", 512),
        "A syslog receiver",
    )
    .later(REMOTE)
    .production("syslog.example.com:514");

    SYSLOG_FORMAT: Choice<&'static str> = Setting::new(
        "WEBSOCKET_SYSLOG_FORMAT",
        "syslog-format",
        Choice::of(&[("rfc5424", "rfc5424"), ("rfc3164", "rfc3164")]),
        "Its format",
    )
    .default("rfc5424")
    .later(REMOTE);

    SYSLOG_FACILITY: Text = Setting::new(
        "WEBSOCKET_SYSLOG_FACILITY",
        "syslog-facility",
        Text::of("a facility such as local0", 16),
        "Its facility",
    )
    .default("local0")
    .later(REMOTE);

    SYSLOG_TLS_CA: FilePath = Setting::new(
        "WEBSOCKET_SYSLOG_TLS_CA",
        "syslog-tls-ca",
        FilePath::of("a PEM file"),
        "The authority of a receiver over TLS",
    )
    .later(REMOTE);

    LOG_AGGREGATION_SERVICE: WebAddress = Setting::new(
        "WEBSOCKET_LOG_AGGREGATION_SERVICE",
        "log-aggregation-service",
        WebAddress,
        "A receiver of log lines over HTTP",
    )
    .in_file()
    .later(REMOTE)
    .production("https://logs.example.com/api/ingest");

    LOG_AGGREGATION_TOKEN: Text = Setting::new(
        "WEBSOCKET_LOG_AGGREGATION_TOKEN",
        "log-aggregation-token",
        Text::of("a bearer token", 4_096),
        "What it authenticates us by",
    )
    .secret()
    .later(REMOTE);

    LOG_PII: Choice<&'static str> = Setting::new(
        "WEBSOCKET_LOG_PII",
        "log-pii",
        Choice::of(&[("full", "full"), ("mask", "mask"), ("none", "none")]),
        "Clients' addresses and programs in logs",
    )
    .default("full")
    .later("masking of addresses in logs");
}

fn directives(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
