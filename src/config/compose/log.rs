//! Category 4: logs.

use crate::config::schema::{logging, mode};
use crate::config::values::Values;
use crate::config::{LogConfig, LogFormat, LogLevel};

/// The libraries' own lines are for their authors; a level below info is asked for on purpose.
const QUIET_LIBRARIES: &str = "openraft=error,quinn=warn,quinn_proto=warn";

/// Below this the libraries of the wire show what clients send, tokens included: at no level, whatever is asked for.
const NEVER_LOUDER: &str = "tungstenite=info,tokio_tungstenite=info,hyper=info,hyper_util=info,h2=warn,rustls=warn";

pub(super) fn compose(values: &Values<'_>) -> LogConfig {
    let debug = values.get(&mode::DEBUG_MODE);
    let level = values.given(&logging::LOG_LEVEL).unwrap_or(if debug { LogLevel::Debug } else { LogLevel::Info });
    let filter = values.given(&logging::LOG_FILTER).unwrap_or_else(|| match level {
        LogLevel::Info => format!("info,{QUIET_LIBRARIES}"),
        LogLevel::Debug if debug => format!("debug,{QUIET_LIBRARIES}"),
        level => level.directive().to_owned(),
    });
    let json = values.given(&logging::JSON_LOGGING);
    let format = match (values.given(&logging::LOG_FORMAT), json) {
        (Some(LogFormat::Human), Some(true)) => {
            values.refuse(
                &logging::LOG_FORMAT,
                "WEBSOCKET_JSON_LOGGING=true asks for JSON lines",
                "json or bunyan, or WEBSOCKET_JSON_LOGGING=false",
            );
            LogFormat::Json
        }
        (Some(format), _) => format,
        (None, Some(true)) => LogFormat::Json,
        (None, Some(false)) => LogFormat::Human,
        (None, None) if values.production() => LogFormat::Json,
        (None, None) => LogFormat::Human,
    };
    LogConfig { filter: format!("{filter},{NEVER_LOUDER}"), format }
}
