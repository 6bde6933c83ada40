//! A state as JSON, written entry by entry.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use vedfolnir_cluster::state::{KvEntry, SessionView, State, limits};

use super::layout::{ClientInfo, Connection, Facts, SessionEntry};
use super::{REDIS_PREFIX, SESSION_PREFIX, SUBSCRIPTION_DATA};
use crate::observability::rfc3339_ms;
use crate::service::session_data::{self, Notes};

/// Which parts are written; what is not is empty in the document.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// `connections` (WEBSOCKET_PERSIST_CONNECTIONS).
    pub connections: bool,
    /// Their `rooms` and `subscription_data` (WEBSOCKET_PERSIST_SUBSCRIPTIONS).
    pub subscriptions: bool,
    /// `sessions` and `redis_sessions` (WEBSOCKET_PERSIST_SESSION_DATA).
    pub session_data: bool,
}

/// How much was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Entries of `connections`.
    pub connections: u64,
    /// Entries of `sessions`.
    pub sessions: u64,
    /// Entries of `redis_sessions`.
    pub redis_sessions: u64,
    /// Values of the store under [`REDIS_PREFIX`] that are no JSON, and so are not in the document.
    pub skipped: u64,
}

/// The document was not written.
#[derive(Debug, thiserror::Error)]
#[error("the document cannot be written: {0}")]
pub struct ExportError(#[from] io::Error);

/// Writes a state that was taken at `taken_at_ms` (milliseconds since 1970).
///
/// # Errors
/// [`ExportError`].
pub fn export(
    state: &State,
    facts: &Facts,
    taken_at_ms: u64,
    keep: Keep,
    out: &mut impl Write,
) -> Result<Exported, ExportError> {
    let counted = Cell::new(Exported::default());
    let document = Writing { state, facts, taken_at_ms, keep, counted: &counted };
    serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(counted.get())
}

/// What the parts are written from.
struct Writing<'a> {
    state: &'a State,
    facts: &'a Facts,
    taken_at_ms: u64,
    keep: Keep,
    counted: &'a Cell<Exported>,
}

impl Writing<'_> {
    fn count(&self, one: impl FnOnce(&mut Exported)) {
        let mut counted = self.counted.get();
        one(&mut counted);
        self.counted.set(counted);
    }

    /// Entries of the store under a prefix whose values are JSON. Stops when `each` says false.
    fn stored(&self, prefix: &str, mut each: impl FnMut(&str, &RawValue) -> bool) {
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = self.state.kv_list(prefix, after.as_deref(), limits::KV_PAGE_ENTRIES_MAX);
            for KvEntry { key, value, .. } in &page.entries {
                match serde_json::from_slice::<&RawValue>(value) {
                    Ok(value) if !each(key, value) => return,
                    Ok(_) => {}
                    Err(_) => self.count(|counted| counted.skipped += 1),
                }
            }
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    fn connection(&self, session: &SessionView, notes: Option<Notes>) -> Connection {
        let SessionView { sid, namespace, user, rooms, data, last_active_ms, .. } = session;
        let notes = notes.unwrap_or_default();
        let idle_ms = self.state.cluster_time_ms().saturating_sub(*last_active_ms);
        let active_at_ms = if *last_active_ms == 0 { 0 } else { self.taken_at_ms.saturating_sub(idle_ms) };
        let (session_id, user_id, last_activity_ms) = match notes.origin {
            Some(origin) => (origin.session_id, origin.user_id, origin.last_activity_ms),
            None => (sid.to_string(), raw(&user.as_deref()), active_at_ms),
        };
        let app = session_data::app(data);
        let (rooms, subscription_data) = match self.keep.subscriptions {
            // The own sid is a room of every session; it says nothing.
            true => (
                rooms.iter().filter(|room| *room != sid).map(ToString::to_string).collect(),
                subscriptions(&app).unwrap_or_default(),
            ),
            false => (Vec::new(), Map::new()),
        };
        Connection {
            session_id,
            user_id,
            connection_id: if notes.connection_id.is_empty() { sid.to_string() } else { notes.connection_id },
            namespace: namespace.to_string(),
            rooms,
            connected_at: rfc3339_ms(notes.connected_at_ms),
            last_activity: rfc3339_ms(last_activity_ms.max(notes.connected_at_ms)),
            client_info: ClientInfo { ip: notes.ip, user_agent: notes.user_agent },
            subscription_data,
        }
    }
}

impl Serialize for Writing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Document", 4)?;
        document.serialize_field("metadata", self.facts)?;
        document.serialize_field("connections", &Connections(self))?;
        document.serialize_field("sessions", &Sessions(self))?;
        document.serialize_field("redis_sessions", &RedisSessions(self))?;
        document.end()
    }
}

struct Connections<'a>(&'a Writing<'a>);

impl Serialize for Connections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.0.keep.connections {
            for session in self.0.state.sessions().filter(|session| session.connected) {
                let connection = self.0.connection(&session, session_data::notes(&session.data));
                map.serialize_entry(&connection.connection_id, &connection)?;
                self.0.count(|counted| counted.connections += 1);
            }
        }
        map.end()
    }
}

struct Sessions<'a>(&'a Writing<'a>);

impl Serialize for Sessions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(writing) = self;
        let mut map = serializer.serialize_map(None)?;
        if !writing.keep.session_data {
            return map.end();
        }
        for session in writing.state.sessions() {
            let notes = session_data::notes(&session.data).unwrap_or_default();
            // An imported connection's session is in the store, if it had one.
            if notes.origin.is_some() {
                continue;
            }
            let data = app_data(&session_data::app(&session.data), session.user.as_deref());
            map.serialize_entry(&session.sid, &SessionEntry { data, timestamp: rfc3339_ms(notes.connected_at_ms) })?;
            writing.count(|counted| counted.sessions += 1);
        }
        let mut failed = None;
        writing.stored(SESSION_PREFIX, |key, value| {
            writing.count(|counted| counted.sessions += 1);
            let id = key.strip_prefix(SESSION_PREFIX).unwrap_or(key);
            map.serialize_entry(id, value).map_err(|error| failed = Some(error)).is_ok()
        });
        failed.map_or_else(|| map.end(), Err)
    }
}

struct RedisSessions<'a>(&'a Writing<'a>);

impl Serialize for RedisSessions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(writing) = self;
        let mut map = serializer.serialize_map(None)?;
        let mut failed = None;
        if writing.keep.session_data {
            writing.stored(REDIS_PREFIX, |key, value| {
                writing.count(|counted| counted.redis_sessions += 1);
                map.serialize_entry(key, value).map_err(|error| failed = Some(error)).is_ok()
            });
        }
        failed.map_or_else(|| map.end(), Err)
    }
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}

/// That field of the application's data, if the data is an object and has it.
fn subscriptions(app: &Bytes) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Value>(app).ok()? {
        Value::Object(mut fields) => match fields.remove(SUBSCRIPTION_DATA)? {
            Value::Object(subscriptions) => Some(subscriptions),
            _ => None,
        },
        _ => None,
    }
}

/// The rest of it, with the user. What is no JSON object is the value of `data`, as text if it can be and as base64 if not.
fn app_data(app: &Bytes, user: Option<&str>) -> Value {
    let mut fields = match serde_json::from_slice::<Value>(app) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => Map::from_iter([("data".to_owned(), other)]),
        Err(_) if app.is_empty() => Map::new(),
        Err(_) => match std::str::from_utf8(app) {
            Ok(text) => Map::from_iter([("data".to_owned(), text.into())]),
            Err(_) => Map::from_iter([("data_base64".to_owned(), STANDARD.encode(app).into())]),
        },
    };
    fields.remove(SUBSCRIPTION_DATA);
    if let Some(user) = user {
        fields.entry("user_id").or_insert_with(|| user.into());
    }
    Value::Object(fields)
}
