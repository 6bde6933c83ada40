//! The log of the process: the pipeline as the configuration wants it, and what may change while it runs.
//!
//! Nothing logged ever holds a session's `pid` (the secret a client resumes by); the `pid` of a Bunyan record is the
//! operating system's process id, which that schema demands.

use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tracing::{Level, Metadata};
use tracing_bunyan_formatter::{BunyanFormattingLayer, JsonStorageLayer};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::logging::{self, Category, Format, Handle, Levels, LoggingConfig, QueueBounds, StartError, Stats, Target};
use crate::config::{LogConfig, LogFormat};

/// What is still to be written when the process ends gets this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The process's pipeline, once [`init`] was called.
static HANDLE: OnceLock<Handle> = OnceLock::new();

/// Starts the pipeline under the process's name; a second call changes nothing.
///
/// # Errors
/// [`StartError`].
pub fn init(config: &LogConfig, server_id: &str) -> Result<(), StartError> {
    let pipeline = LoggingConfig {
        server_id: server_id.to_owned(),
        levels: config.levels.clone(),
        format: match config.format {
            LogFormat::Human => Format::Human { colour: is_terminal(&config.target) },
            LogFormat::Json => Format::Json,
            LogFormat::Logfmt => Format::Logfmt,
            LogFormat::Bunyan => Format::Foreign,
        },
        pii: config.pii,
        log: config.target.clone(),
        security_file: config.security_file.clone(),
        performance_file: config.performance_file.clone(),
        error_file: config.error_file.clone(),
        rotation: config.rotation,
        syslog: config.syslog.clone(),
        http: config.http.clone(),
        queue: QueueBounds::default(),
        clock: SystemTime::now,
        random,
    };
    let (layer, handle) = logging::start(&pipeline)?;
    let registry = tracing_subscriber::registry().with(layer);
    let installed = if config.format == LogFormat::Bunyan {
        let formatter = BunyanFormattingLayer::new("vedfolnir".to_owned(), handle.foreign_writer());
        registry
            .with(handle.filter().judge(JsonStorageLayer))
            .with(handle.filter().judge(formatter.with_filter(filter_fn(worth_a_bunyan_record))))
            .try_init()
    } else {
        registry.try_init()
    };
    if installed.is_ok() && HANDLE.set(handle.clone()).is_ok() {
        handle.log_panics();
    }
    Ok(())
}

/// Puts other levels in force, and shows more or less of clients; how a line looks and where it goes stays.
pub fn change(config: &LogConfig) {
    if let Some(handle) = HANDLE.get() {
        // The directives were judged with the configuration.
        if let Err(error) = handle.replace_levels(config.levels.clone()) {
            tracing::error!(%error, "the levels of the log stay as they were");
        }
        handle.set_pii(config.pii);
    }
}

/// Why a level is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelRefused {
    /// The process's log is another one: [`init`] was not called.
    #[error("the process has a log of its own, whose levels this node does not set")]
    NotOurs,
    /// None of the category is logged.
    #[error(
        "WEBSOCKET_PERFORMANCE_MONITORING=false: nothing of the category performance is logged; accepted: true, and a restart or SIGHUP"
    )]
    Muted,
}

/// The levels in force.
///
/// # Errors
/// [`LevelRefused::NotOurs`].
pub fn levels() -> Result<Levels, LevelRefused> {
    HANDLE.get().map(Handle::levels).ok_or(LevelRefused::NotOurs)
}

/// Gives one category (`None`: all that have none of their own, instead of directives) another level, until the
/// configuration is read again; says it in the log. Returns what is in force then.
///
/// # Errors
/// [`LevelRefused`].
pub fn set_level(category: Option<Category>, level: logging::Level) -> Result<Levels, LevelRefused> {
    let handle = HANDLE.get().ok_or(LevelRefused::NotOurs)?;
    let before = handle.levels();
    if category.is_some_and(|category| before.is_muted(category)) {
        return Err(LevelRefused::Muted);
    }
    let from = category.and_then(|category| before.own(category)).unwrap_or(before.global);
    let say = || {
        let target = category.map_or("all", Category::name);
        tracing::info!(
            event_type = "log_level_changed",
            target_category = target,
            from = from.name(),
            to = level.name(),
            "an operator gave the log another level"
        );
    };
    // While INFO is logged, if it is at one of the two times.
    if from <= level {
        say();
    }
    handle.set_level(category, level);
    if from > level {
        say();
    }
    Ok(handle.levels())
}

/// Somebody may have moved the files away.
pub fn reopen_files() {
    if let Some(handle) = HANDLE.get() {
        handle.reopen_files();
    }
}

/// From now on records say which node of the cluster this is.
pub fn set_node(node: &str) {
    if let Some(handle) = HANDLE.get() {
        handle.set_node(node);
    }
}

/// What the log counts; `None` before [`init`].
pub(crate) fn stats() -> Option<Arc<Stats>> {
    HANDLE.get().map(Handle::stats)
}

/// Writes what is left; the last thing that a process does.
pub fn stop() {
    if let Some(handle) = HANDLE.get() {
        handle.stop(STOP_TIMEOUT);
    }
}

fn is_terminal(target: &Target) -> bool {
    match target {
        Target::Stderr => std::io::stderr().is_terminal(),
        Target::Stdout => std::io::stdout().is_terminal(),
        Target::File(_) => false,
    }
}

/// For the waits between attempts: without randomness from the system they are all alike.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

/// The formatter writes a record for the start and the end of every span: those of the hot path (below INFO) stay out.
fn worth_a_bunyan_record(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() || *metadata.level() <= Level::INFO
}
