//! A record on its way to sinks: written once, shared by all.

use std::sync::Arc;

use super::format::{Format, Identity};
use super::level::Level;
use super::record::Record;

/// What the texts of a record are made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// How lines of the log and its files look.
    pub(crate) local: Format,
    /// Whether some sink wants JSON whatever `local` is.
    pub(crate) json: bool,
    /// Whether some sink takes short lines only.
    pub(crate) brief: bool,
}

/// Above this, in bytes of JSON, a record has a brief form as well: what is left of a datagram (see
/// [`UDP_BYTES_MAX`](super::sinks::syslog::UDP_BYTES_MAX)) beside syslog's own fields.
pub(crate) const BRIEF_ABOVE_BYTES: usize = 7 << 10;

/// Shared by every queue that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Line(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    unix_ms: u64,
    level: Level,
    event_type: &'static str,
    seq: Option<u64>,
    session_id: Option<Box<str>>,
    connection_id: Option<Box<str>>,
    /// `None`: the same as `json`.
    local: Option<Box<str>>,
    json: Option<Box<str>>,
    brief: Option<Box<str>>,
}

impl Line {
    /// Writes a record in the forms that are wanted.
    pub(crate) fn new(record: &Record, identity: &Identity, wanted: Wanted) -> Self {
        const LINE_BYTES: usize = 640;
        let text = |format: Format, record: &Record| {
            let mut out = String::with_capacity(LINE_BYTES);
            format.write(&mut out, record, identity);
            out.into_boxed_str()
        };
        let local_is_json = matches!(wanted.local, Format::Json | Format::Foreign);
        let json = (wanted.json || local_is_json).then(|| text(Format::Json, record));
        let is_long = json.as_ref().is_some_and(|json| json.len() > BRIEF_ABOVE_BYTES);
        // Only what goes over the wire needs them beside the text.
        let own = |id: &Option<String>| if wanted.json { id.as_deref().map(Box::from) } else { None };
        Self(Arc::new(Parts {
            unix_ms: record.unix_ms,
            level: record.level,
            event_type: record.event.name,
            seq: record.seq,
            session_id: own(&record.session_id),
            connection_id: own(&record.connection_id),
            local: (!local_is_json).then(|| text(wanted.local, record)),
            brief: (wanted.brief && is_long).then(|| text(Format::Json, &record.brief())),
            json,
        }))
    }

    /// A text of somebody else's for the log and its files.
    pub(crate) fn foreign(text: String) -> Self {
        Self(Arc::new(Parts {
            unix_ms: 0,
            level: Level::Info,
            event_type: "log",
            seq: None,
            session_id: None,
            connection_id: None,
            local: Some(text.into_boxed_str()),
            json: None,
            brief: None,
        }))
    }

    /// For the log and its files, without a line feed.
    pub(crate) fn local(&self) -> &str {
        self.0.local.as_deref().or(self.0.json.as_deref()).unwrap_or_default()
    }

    /// As JSON, without a line feed.
    pub(crate) fn json(&self) -> &str {
        self.0.json.as_deref().unwrap_or_default()
    }

    /// As JSON that is not long.
    pub(crate) fn brief_json(&self) -> &str {
        self.0.brief.as_deref().unwrap_or_else(|| self.json())
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        self.0.unix_ms
    }

    pub(crate) fn level(&self) -> Level {
        self.0.level
    }

    pub(crate) fn event_type(&self) -> &'static str {
        self.0.event_type
    }

    pub(crate) fn seq(&self) -> Option<u64> {
        self.0.seq
    }

    pub(crate) fn session_id(&self) -> Option<&str> {
        self.0.session_id.as_deref()
    }

    pub(crate) fn connection_id(&self) -> Option<&str> {
        self.0.connection_id.as_deref()
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let parts = [&self.0.local, &self.0.json, &self.0.brief, &self.0.session_id, &self.0.connection_id];
        size_of::<Parts>() + parts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    }
}
