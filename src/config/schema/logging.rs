//! Category 4: logs.

use super::kind::{Boolean, Choice, FilePath, Number, Parsed, Size, Text, WebAddress};
use super::{Setting, settings};
use crate::config::LogFormat;
use crate::observability::logging::{Level, Pii, SyslogFormat, check_directives};

/// The document's levels, with the names that other systems give them.
const LEVELS: Choice<Level> = Choice::of(&[
    ("DEBUG", Level::Debug),
    ("INFO", Level::Info),
    ("WARNING", Level::Warning),
    ("ERROR", Level::Error),
    ("CRITICAL", Level::Critical),
    ("TRACE", Level::Trace),
    ("WARN", Level::Warning),
    ("FATAL", Level::Critical),
]);

settings! {
    LOG_LEVEL: Choice<Level> = Setting::new(
        "WEBSOCKET_LOG_LEVEL",
        "log-level",
        LEVELS,
        "The least level that is logged",
    )
    .unset("INFO; DEBUG in debug mode")
    .reloads()
    .production("INFO");

    SECURITY_LOG_LEVEL: Choice<Level> = Setting::new(
        "WEBSOCKET_SECURITY_LOG_LEVEL",
        "security-log-level",
        LEVELS,
        "The same for security events",
    )
    .unset("the log level")
    .reloads()
    .production("WARNING");

    PERFORMANCE_LOG_LEVEL: Choice<Level> = Setting::new(
        "WEBSOCKET_PERFORMANCE_LOG_LEVEL",
        "performance-log-level",
        LEVELS,
        "The same for performance records",
    )
    .unset("the log level")
    .reloads()
    .production("INFO");

    ERROR_LOG_LEVEL: Choice<Level> = Setting::new(
        "WEBSOCKET_ERROR_LOG_LEVEL",
        "error-log-level",
        LEVELS,
        "The least level that reaches the error log's file",
    )
    .unset("ERROR")
    .reloads()
    .production("ERROR");

    LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_LOG_FILE",
        "log-file",
        FilePath::of("a file, or - for standard output"),
        "Where logs go",
    )
    .unset("standard error")
    .production("/var/log/vedfolnir/websocket.log");

    SECURITY_LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_SECURITY_LOG_FILE",
        "security-log-file",
        FilePath::of("a file"),
        "Where security events go",
    )
    .unset("the log")
    .production("/var/log/vedfolnir/websocket_security.log");

    PERFORMANCE_LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_PERFORMANCE_LOG_FILE",
        "performance-log-file",
        FilePath::of("a file"),
        "Where performance records go",
    )
    .unset("the log")
    .production("/var/log/vedfolnir/websocket_performance.log");

    ERROR_LOG_FILE: FilePath = Setting::new(
        "WEBSOCKET_ERROR_LOG_FILE",
        "error-log-file",
        FilePath::of("a file"),
        "Where errors of every category go, too",
    )
    .unset("none")
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
    .production("true");

    LOG_FORMAT: Choice<LogFormat> = Setting::new(
        "WEBSOCKET_LOG_FORMAT",
        "log-format",
        Choice::of(&[
            ("human", LogFormat::Human),
            ("json", LogFormat::Json),
            ("logfmt", LogFormat::Logfmt),
            ("bunyan", LogFormat::Bunyan),
        ]),
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
    .production("true");

    MAX_LOG_SIZE: Size = Setting::new(
        "WEBSOCKET_MAX_LOG_SIZE",
        "max-log-size",
        Size::new(1_000, 1 << 40),
        "Size of a log file before it is rotated",
    )
    .default("100MB")
    .production("100MB");

    LOG_BACKUP_COUNT: Number = Setting::new(
        "WEBSOCKET_LOG_BACKUP_COUNT",
        "log-backup-count",
        Number::new(0, 10_000),
        "Rotated files that are kept",
    )
    .default("10")
    .production("10");

    REMOTE_LOGGING: Boolean = Setting::new(
        "WEBSOCKET_REMOTE_LOGGING",
        "remote-logging",
        Boolean,
        "Whether logs go to the receivers below",
    )
    .default("false")
    .production("true");

    SYSLOG_SERVER: Text = Setting::new(
        "WEBSOCKET_SYSLOG_SERVER",
        "syslog-server",
        Text::of("[udp|tcp|tls]://HOST:PORT, or HOST:PORT for UDP", 512),
        "A syslog receiver",
    )
    .production("syslog.example.com:514");

    SYSLOG_FORMAT: Choice<SyslogFormat> = Setting::new(
        "WEBSOCKET_SYSLOG_FORMAT",
        "syslog-format",
        Choice::of(&[("rfc5424", SyslogFormat::Rfc5424), ("rfc3164", SyslogFormat::Rfc3164)]),
        "Its format",
    )
    .default("rfc5424");

    SYSLOG_FACILITY: Text = Setting::new(
        "WEBSOCKET_SYSLOG_FACILITY",
        "syslog-facility",
        Text::of("a facility such as local0", 16),
        "Its facility",
    )
    .default("local0");

    SYSLOG_TLS_CA: FilePath = Setting::new(
        "WEBSOCKET_SYSLOG_TLS_CA",
        "syslog-tls-ca",
        FilePath::of("a PEM file"),
        "The authority of a receiver over TLS",
    );

    LOG_AGGREGATION_SERVICE: WebAddress = Setting::new(
        "WEBSOCKET_LOG_AGGREGATION_SERVICE",
        "log-aggregation-service",
        WebAddress,
        "A receiver of log lines over HTTP",
    )
    .in_file()
    .production("https://logs.example.com/api/ingest");

    LOG_AGGREGATION_TOKEN: Text = Setting::new(
        "WEBSOCKET_LOG_AGGREGATION_TOKEN",
        "log-aggregation-token",
        Text::of("a bearer token", 4_096),
        "What it authenticates us by",
    )
    .secret();

    LOG_PII: Choice<Pii> = Setting::new(
        "WEBSOCKET_LOG_PII",
        "log-pii",
        Choice::of(&[("full", Pii::Full), ("mask", Pii::Mask), ("none", Pii::None)]),
        "Clients' addresses and programs in logs: as they are, the network only, or not at all",
    )
    .default("full")
    .reloads();
}

fn directives(text: &str) -> Result<String, String> {
    check_directives(text).map(|()| text.to_owned()).map_err(|error| error.reason)
}
