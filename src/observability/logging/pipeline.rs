//! Puts the pipeline together: what goes where, the threads of the sinks, the layer.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::time::SystemTime;

use tracing::Subscriber;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::registry::LookupSpan;

use super::emitter::{Emitter, Outlet, Route};
use super::filter::{DirectivesError, Levels, LogFilter};
use super::format::{Format, Identity};
use super::handle::Handle;
use super::layer::LogLayer;
use super::level::Category;
use super::line::Wanted;
use super::masking::Pii;
use super::notices::{Complaints, Notices};
use super::queue::{Queue, QueueBounds};
use super::sinks::console::Console;
use super::sinks::file::{FileError, FileSink, Rotation};
use super::sinks::http::{HttpConfig, HttpSink};
use super::sinks::syslog::{Syslog, SyslogConfig, Transport};
use super::stats::{SinkKind, SinkStats, Stats};
use super::worker::{self, Sink};

/// Lines for standard error about troubles of other sinks.
const COMPLAINT_BOUNDS: QueueBounds = QueueBounds { lines_max: 256, bytes_max: 1 << 20 };

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// Everything that the pipeline is told.
#[derive(Clone, Debug)]
pub struct LoggingConfig {
    /// The process's name, in every record.
    pub server_id: String,
    /// What is logged.
    pub levels: Levels,
    /// How lines of the log and its files look.
    pub format: Format,
    /// How much of clients is shown.
    pub pii: Pii,
    /// Where the log goes: everything that has no place of its own.
    pub log: Target,
    /// Where security events go instead.
    pub security_file: Option<PathBuf>,
    /// Where performance records go instead.
    pub performance_file: Option<PathBuf>,
    /// Where errors of every category go, too; [`Levels::error_file`] says from which level on.
    pub error_file: Option<PathBuf>,
    /// When files are rotated; `None`: by others, or never.
    pub rotation: Option<Rotation>,
    /// A syslog receiver of everything.
    pub syslog: Option<SyslogConfig>,
    /// A receiver of everything over HTTP.
    pub http: Option<HttpConfig>,
    /// How much waits for each sink at most.
    pub queue: QueueBounds,
    /// What time it is.
    pub clock: fn() -> SystemTime,
    /// Random bits, for waits between attempts.
    pub random: fn() -> u64,
}

impl LoggingConfig {
    /// Lines for people on standard error, coloured on a terminal.
    #[must_use]
    pub fn to_stderr(server_id: &str, levels: Levels, random: fn() -> u64) -> Self {
        Self {
            server_id: server_id.to_owned(),
            levels,
            format: Format::Human { colour: io::stderr().is_terminal() },
            pii: Pii::Full,
            log: Target::Stderr,
            security_file: None,
            performance_file: None,
            error_file: None,
            rotation: None,
            syslog: None,
            http: None,
            queue: QueueBounds::default(),
            clock: SystemTime::now,
            random,
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directives cannot be read.
    #[error(transparent)]
    Directives(#[from] DirectivesError),
    /// A file cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The receiver over HTTP cannot be used.
    #[error("the log aggregation service cannot be used ({0})")]
    Http(io::Error),
    /// A receiver wants TLS and none was handed in.
    #[error("{0} needs TLS, and no authorities were read for it")]
    NoTls(String),
    /// No thread.
    #[error("no thread for a sink of the log ({0})")]
    Thread(io::Error),
}

/// What a sink needs of the pipeline.
struct Builder {
    notices: Notices,
    bounds: QueueBounds,
    stats: Stats,
    outlets: Vec<Outlet>,
    queues: Vec<Arc<Queue>>,
    complaints_to: Option<Arc<Queue>>,
}

impl Builder {
    fn queue(&mut self, name: &str, kind: SinkKind, bounds: QueueBounds) -> Arc<Queue> {
        let stats = SinkStats::new(name, kind);
        self.stats.sinks.push(Arc::clone(&stats));
        let queue = Queue::new(bounds, stats);
        self.queues.push(Arc::clone(&queue));
        queue
    }

    fn complaints(&self, name: &str) -> Complaints {
        Complaints::new(self.notices.clone(), name, self.complaints_to.clone())
    }

    fn outlet(&mut self, queue: &Arc<Queue>, route: Route, is_foreign: bool) {
        self.outlets.push(Outlet { route, is_foreign, queue: Arc::clone(queue) });
    }

    /// Starts a sink's thread; `texts` is how the sink's own lines look.
    fn spawn(&self, queue: Arc<Queue>, sink: Box<dyn Sink>) -> Result<(), StartError> {
        worker::spawn(queue, sink, self.notices.clone()).map_err(StartError::Thread)
    }

    fn console(
        &mut self,
        name: &str,
        out: Box<dyn Write + Send>,
        bounds: QueueBounds,
    ) -> Result<Arc<Queue>, StartError> {
        let queue = self.queue(name, SinkKind::Console, bounds);
        let sink = Console::new(out, Arc::clone(queue.stats()));
        self.spawn(Arc::clone(&queue), Box::new(sink))?;
        Ok(queue)
    }

    fn file(&mut self, name: &str, path: &Path, rotation: Option<Rotation>) -> Result<Arc<Queue>, StartError> {
        let complaints = self.complaints(name);
        let queue = self.queue(name, SinkKind::File, self.bounds);
        let sink = FileSink::open(path, rotation, Arc::clone(queue.stats()), self.notices.clone(), complaints)?;
        self.spawn(Arc::clone(&queue), Box::new(sink))?;
        Ok(queue)
    }
}

/// What is written to which file: several things to one, if their paths are the same.
fn files(config: &LoggingConfig) -> Vec<(&'static str, PathBuf, Route)> {
    let mut log = Route::EVERYTHING;
    let mut own = |category: Category, file: &Option<PathBuf>| {
        file.clone().map(|path| {
            log.categories[category.index()] = false;
            let mut route = Route::default();
            route.categories[category.index()] = true;
            (category.name(), path, route)
        })
    };
    let security = own(Category::Security, &config.security_file);
    let performance = own(Category::Performance, &config.performance_file);
    let errors = config.error_file.clone().map(|path| ("errors", path, Route { errors: true, ..Route::default() }));
    let log_file = match &config.log {
        Target::File(path) => Some(("log", path.clone(), log)),
        _ => None,
    };
    let mut merged: Vec<(&'static str, PathBuf, Route)> = Vec::new();
    let mut places = HashMap::new();
    for (name, path, route) in [log_file, security, performance, errors].into_iter().flatten() {
        let place = *places.entry(same_file_key(&path)).or_insert(merged.len());
        match merged.get_mut(place) {
            Some((_, _, known)) => *known = known.or(route),
            None => merged.push((name, path, route)),
        }
    }
    merged
}

/// Equal for paths to the same file, as far as the file system knows already.
fn same_file_key(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    match (parent.and_then(|parent| parent.canonicalize().ok()), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// The layer of [`start`], behind its filter.
pub type LoggingLayer<S> = Filtered<LogLayer, LogFilter, S>;

/// Opens files, starts the sinks' threads and makes the layer. Records flow as soon as the layer is part of the subscriber.
///
/// # Errors
/// [`StartError`], which names what is wrong; threads that were started by then end.
pub fn start<S>(config: &LoggingConfig) -> Result<(LoggingLayer<S>, Handle), StartError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut levels = config.levels.clone();
    if config.error_file.is_none() {
        levels.error_file = None;
    }
    let filter = LogFilter::new(levels)?;
    let identity = Arc::new(Identity::new(&config.server_id));
    let wanted = Wanted {
        local: config.format,
        json: config.syslog.is_some() || config.http.is_some(),
        brief: config.syslog.as_ref().is_some_and(|syslog| is_datagram(syslog.server.transport)),
    };
    let mut builder = Builder {
        notices: Notices { identity: Arc::clone(&identity), wanted, clock: config.clock },
        bounds: config.queue,
        stats: Stats::default(),
        outlets: Vec::new(),
        queues: Vec::new(),
        complaints_to: None,
    };
    if let Err(error) = outlets(&mut builder, config) {
        let now = std::time::Instant::now();
        builder.queues.iter().for_each(|queue| queue.stop(now));
        return Err(error);
    }
    let emitter = Arc::new(Emitter {
        filter: filter.clone(),
        identity,
        wanted,
        stats: Arc::new(builder.stats),
        clock: config.clock,
        pii: AtomicU8::new(config.pii as u8),
        seq: AtomicU64::new(0),
        outlets: builder.outlets,
    });
    let layer = LogLayer { emitter: Arc::clone(&emitter) }.with_filter(filter);
    Ok((layer, Handle::new(emitter, builder.queues.into())))
}

const fn is_datagram(transport: Transport) -> bool {
    matches!(transport, Transport::Udp | Transport::Unix)
}

fn outlets(builder: &mut Builder, config: &LoggingConfig) -> Result<(), StartError> {
    let files = files(config);
    // What everything else complains to comes first.
    let (stderr_name, stderr_bounds) = match config.log {
        Target::Stderr => ("log", config.queue),
        _ => ("stderr", COMPLAINT_BOUNDS),
    };
    let stderr = builder.console(stderr_name, Box::new(io::stderr()), stderr_bounds)?;
    builder.complaints_to = Some(Arc::clone(&stderr));
    let is_foreign = config.format == Format::Foreign;
    let mut log = Route::EVERYTHING;
    for (category, file) in
        [(Category::Security, &config.security_file), (Category::Performance, &config.performance_file)]
    {
        log.categories[category.index()] = file.is_none();
    }
    match config.log {
        Target::Stderr => builder.outlet(&stderr, log, is_foreign),
        Target::Stdout => {
            let stdout = builder.console("log", Box::new(io::stdout()), config.queue)?;
            builder.outlet(&stdout, log, is_foreign);
        }
        Target::File(_) => {}
    }
    for (name, path, route) in files {
        let queue = builder.file(name, &path, config.rotation)?;
        builder.outlet(&queue, route, is_foreign && name == "log");
    }
    if let Some(syslog) = &config.syslog {
        if syslog.server.transport == Transport::Tls && syslog.tls.is_none() {
            return Err(StartError::NoTls(syslog.server.to_string()));
        }
        let complaints = builder.complaints("syslog");
        let queue = builder.queue("syslog", SinkKind::Syslog, config.queue);
        let sink = Syslog::new(syslog, config.random, Arc::clone(queue.stats()), complaints);
        builder.spawn(Arc::clone(&queue), Box::new(sink))?;
        builder.outlet(&queue, Route::EVERYTHING, false);
    }
    if let Some(http) = &config.http {
        if http.endpoint.is_secure() && http.tls.is_none() {
            return Err(StartError::NoTls(http.endpoint.to_string()));
        }
        let complaints = builder.complaints("http");
        let queue = builder.queue("http", SinkKind::Http, config.queue);
        let sink = HttpSink::new(http, config.random, config.clock, Arc::clone(queue.stats()), complaints);
        builder.spawn(Arc::clone(&queue), Box::new(sink.map_err(StartError::Http)?))?;
        builder.outlet(&queue, Route::EVERYTHING, false);
    }
    Ok(())
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
