//! The log: records of one schema, from `tracing` events to files, the console, syslog and HTTP receivers.
//!
//! ```text
//!   event ─► LogFilter (level, category, caps) ─► LogLayer: Record (its place for each field, secrets hidden)
//!         ─► Emitter: seq, written once as JSON and as the local format ─► a bounded queue for each sink
//!         ─► a thread for each sink: console | file | syslog | HTTP
//! ```
//!
//! Whoever logs formats a line and puts it into queues; it never waits for a disk, a pipe or a receiver. What finds no room
//! is dropped and counted, and the sink says so in its place. Nothing here uses the program's runtime.

mod catalogue;
mod catalogue_render;
mod classify;
mod emitter;
mod escape;
mod filter;
mod format;
mod handle;
mod layer;
mod level;
mod line;
mod masking;
mod notices;
mod pipeline;
mod queue;
mod record;
mod redaction;
mod schema;
mod sinks;
mod stats;
mod timestamp;
mod value;
mod worker;

pub(crate) use super::outbound::Backoff;
pub use catalogue::{EVENT_TYPES, EventType};
pub use catalogue_render::{json as events_json, markdown as events_markdown, text as events_text};
pub use filter::{DirectivesError, Judged, Levels, LogFilter, check_directives};
pub use format::{Format, Identity};
pub use handle::{ForeignWriter, Handle};
pub use layer::LogLayer;
pub use level::{Category, Level};
pub use masking::Pii;
pub use pipeline::{LoggingConfig, LoggingLayer, StartError, Target, start};
pub use queue::{QUEUE_BYTES_MAX, QUEUE_LINES_MAX, QueueBounds};
pub use record::{Record, UserId};
pub use redaction::{HIDDEN, Verdict, judge, scrub};
pub use schema::schema;
pub use sinks::file::{FileError, Rotation, check_file};
pub use sinks::http::{HttpConfig, REQUEST_TIMEOUT};
pub use sinks::syslog::{
    Facility, FacilityError, SyslogConfig, SyslogFormat, SyslogServer, SyslogServerError, Transport,
};
pub use sinks::tls::{TlsError, client_tls};
pub use stats::{SinkKind, SinkReading, SinkStats, Stats};
pub(crate) use timestamp::{push_rfc3339, read_rfc3339, unix_ms};
pub use value::Value;
