//! Category 4: logs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;

use crate::config::problem::Severity;
use crate::config::schema::{Setting, kind::FilePath, logging as schema, mode, monitoring};
use crate::config::values::Values;
use crate::config::{LogConfig, LogFormat};
use crate::observability::host_name;
use crate::observability::logging::{
    Category, Facility, HttpConfig, Level, Levels, REQUEST_TIMEOUT, Rotation, SyslogConfig, SyslogServer, Target,
    Transport, check_file, client_tls,
};
use crate::security::endpoint::Endpoint;

/// The libraries' own lines are for their authors; a level below info is asked for on purpose.
const QUIET_LIBRARIES: &str = "openraft=error,quinn=warn,quinn_proto=warn";

/// Below this the libraries of the wire show what clients send, tokens included: at no level, whatever is asked for.
const NEVER_LOUDER: &str = "tungstenite=info,tokio_tungstenite=info,hyper=info,hyper_util=info,h2=warn,rustls=warn";

pub(super) fn compose(values: &Values<'_>) -> LogConfig {
    let remote = values.get(&schema::REMOTE_LOGGING);
    let (syslog, http) = if remote { (syslog(values), http(values)) } else { (None, None) };
    let any =
        values.given(&schema::SYSLOG_SERVER).is_some() || values.given(&schema::LOG_AGGREGATION_SERVICE).is_some();
    if remote && !any {
        let reason = "there is no receiver";
        values.refuse(
            &schema::REMOTE_LOGGING,
            reason,
            "WEBSOCKET_SYSLOG_SERVER, WEBSOCKET_LOG_AGGREGATION_SERVICE, or false",
        );
    }
    let target = match values.given(&schema::LOG_FILE) {
        None => Target::Stderr,
        Some(path) if path == Path::new("-") => Target::Stdout,
        Some(path) => Target::File(judged(values, &schema::LOG_FILE, path)),
    };
    let file = |setting: &Setting<FilePath>| values.given(setting).map(|path| judged(values, setting, path));
    LogConfig {
        levels: levels(values),
        format: format(values),
        pii: values.get(&schema::LOG_PII),
        target,
        security_file: file(&schema::SECURITY_LOG_FILE),
        performance_file: file(&schema::PERFORMANCE_LOG_FILE),
        error_file: file(&schema::ERROR_LOG_FILE),
        rotation: values.given(&schema::LOG_ROTATION).unwrap_or(true).then(|| Rotation {
            bytes_max: values.get(&schema::MAX_LOG_SIZE),
            backups: u32::try_from(values.get(&schema::LOG_BACKUP_COUNT)).unwrap_or(u32::MAX),
        }),
        syslog,
        http,
    }
}

fn judged(values: &Values<'_>, setting: &Setting<FilePath>, path: PathBuf) -> PathBuf {
    if let Err(error) = check_file(&path) {
        values.refuse(setting, error.to_string(), "a file in a directory that this user may write to");
    }
    path
}

fn levels(values: &Values<'_>) -> Levels {
    let debug = values.get(&mode::DEBUG_MODE);
    let level = values.given(&schema::LOG_LEVEL).unwrap_or(if debug { Level::Debug } else { Level::Info });
    let mut levels = Levels::new(level);
    levels.directives = values.given(&schema::LOG_FILTER);
    let quiet = levels.directives.is_none() && level != Level::Trace;
    levels.caps = if quiet { format!("{QUIET_LIBRARIES},{NEVER_LOUDER}") } else { NEVER_LOUDER.to_owned() };
    levels.set_category(Category::Security, values.given(&schema::SECURITY_LOG_LEVEL));
    levels.set_category(Category::Performance, values.given(&schema::PERFORMANCE_LOG_LEVEL));
    if !values.get(&monitoring::PERFORMANCE_MONITORING) {
        levels.mute(Category::Performance);
    }
    levels.error_file = Some(values.given(&schema::ERROR_LOG_LEVEL).unwrap_or(Level::Error));
    levels
}

fn format(values: &Values<'_>) -> LogFormat {
    let json = values.given(&schema::JSON_LOGGING);
    let structured = values.given(&schema::STRUCTURED_LOGGING) == Some(true);
    match (values.given(&schema::LOG_FORMAT), json) {
        (Some(LogFormat::Human | LogFormat::Logfmt), Some(true)) => {
            values.refuse(
                &schema::LOG_FORMAT,
                "WEBSOCKET_JSON_LOGGING=true asks for JSON lines",
                "json or bunyan, or WEBSOCKET_JSON_LOGGING=false",
            );
            LogFormat::Json
        }
        (Some(format), _) => format,
        (None, Some(true)) => LogFormat::Json,
        (None, Some(false)) if structured => LogFormat::Logfmt,
        (None, Some(false)) => LogFormat::Human,
        (None, None) if values.production() => LogFormat::Json,
        (None, None) if structured => LogFormat::Logfmt,
        (None, None) => LogFormat::Human,
    }
}

fn syslog(values: &Values<'_>) -> Option<SyslogConfig> {
    let text = values.given(&schema::SYSLOG_SERVER)?;
    let facility: Option<Facility> = match values.get(&schema::SYSLOG_FACILITY).parse() {
        Ok(facility) => Some(facility),
        Err(error) => {
            values.refuse_for(&schema::SYSLOG_FACILITY, &error);
            None
        }
    };
    let server: SyslogServer = match text.parse() {
        Ok(server) => server,
        Err(error) => {
            values.refuse_for(&schema::SYSLOG_SERVER, &error);
            return None;
        }
    };
    let tls = if server.transport == Transport::Tls {
        authorities(values, values.given(&schema::SYSLOG_TLS_CA))
    } else {
        None
    };
    let format = values.get(&schema::SYSLOG_FORMAT);
    Some(SyslogConfig { server, format, facility: facility?, host_name: host_name(), tls })
}

fn http(values: &Values<'_>) -> Option<HttpConfig> {
    let endpoint: Endpoint = match values.given(&schema::LOG_AGGREGATION_SERVICE)?.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            values.refuse_for(&schema::LOG_AGGREGATION_SERVICE, &error);
            return None;
        }
    };
    if !endpoint.is_secure() {
        let reason = "log lines and the token go over the network as they are";
        values.say(Severity::Warning, &schema::LOG_AGGREGATION_SERVICE, reason, "an https:// address");
    }
    let tls = if endpoint.is_secure() { authorities(values, None) } else { None };
    let token = values.given(&schema::LOG_AGGREGATION_TOKEN);
    Some(HttpConfig { endpoint, token, gzip: true, tls, timeout: REQUEST_TIMEOUT })
}

/// Those in the file alone, or the system's.
fn authorities(values: &Values<'_>, file: Option<PathBuf>) -> Option<Arc<ClientConfig>> {
    let read = file.map(std::fs::read).transpose().map_err(|error| error.to_string());
    let made = read.and_then(|pem| client_tls(pem.as_deref()).map_err(|error| error.to_string()));
    made.map_err(|reason| values.refuse(&schema::SYSLOG_TLS_CA, reason, "a PEM file with certificates of authorities"))
        .ok()
}
