//! Logs: one subscriber for the process, on standard error.
//!
//! Nothing logged ever holds a session's `pid` (the secret a client resumes by); the `pid` of a Bunyan record is the
//! operating system's process id, which that schema demands.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::{Level, Metadata};
use tracing_bunyan_formatter::{BunyanFormattingLayer, JsonStorageLayer};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// Changes the filter of the subscriber that [`init`] installed.
static RELOAD: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Puts another filter in force; how a line looks stays.
pub fn change_filter(config: &LogConfig) {
    if let Some(handle) = RELOAD.get()
        && let Ok(filter) = EnvFilter::try_new(&config.filter)
    {
        // It fails only after the subscriber is gone, at the end of the process.
        let _ = handle.reload(filter);
    }
}

/// Installs the subscriber; a second call changes nothing.
pub fn init(config: &LogConfig) {
    // The directives were validated with the configuration.
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let _ = RELOAD.set(handle);
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match config.format {
        LogFormat::Human => registry
            .with(fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(std::io::stderr))
            .try_init(),
        LogFormat::Bunyan => registry
            .with(JsonStorageLayer)
            .with(
                BunyanFormattingLayer::new("vedfolnir".to_owned(), std::io::stderr)
                    .with_filter(filter_fn(worth_a_bunyan_record)),
            )
            .try_init(),
    };
}

/// The formatter writes a record for the start and the end of every span: those of the hot path (below INFO) stay out.
fn worth_a_bunyan_record(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() || *metadata.level() <= Level::INFO
}
