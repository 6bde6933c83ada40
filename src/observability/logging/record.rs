//! One record: the fields of the document's log schema, and where each thing that is said goes in it.
//!
//! | field | form |
//! |---|---|
//! | `timestamp` | RFC 3339 in UTC, milliseconds, `Z` |
//! | `level`, `category`, `event_type`, `message` | always there; one of five, one of six, one of the catalogue, not empty |
//! | `session_id`, `connection_id`, `namespace` | text of [`ID_BYTES_MAX`] bytes at most |
//! | `user_id` | number or text as authenticated; absent for anonymous clients, never 0 |
//! | `client_ip` | canonical; a network where addresses are masked |
//! | `user_agent` | text of [`USER_AGENT_BYTES_MAX`] bytes at most |
//! | `duration_ms` | number with one decimal |
//! | `error_code`, `trace_id`, `span_id` | text; the identifiers in W3C's hexadecimal form |
//! | `server_id`, `node`, `seq` | the process's; `seq` counts its records, so that a gap is a loss |
//! | `metadata` | object; everything else, and nothing else is at the top |
//!
//! A record is filled by [`Record::set`], which also sees to it that no secret gets into it.

use std::borrow::Cow;

use super::catalogue::EventType;
use super::level::{Category, Level};
use super::masking::{self, Pii};
use super::redaction::{self, HIDDEN, Verdict};
use super::value::{TEXT_BYTES_MAX, Value, cut, shorten};

/// Bytes of a message.
pub const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Bytes of an identifier or a namespace.
pub const ID_BYTES_MAX: usize = 256;
/// Bytes of a client's program.
pub const USER_AGENT_BYTES_MAX: usize = 512;
/// Bytes of an error's code.
pub const ERROR_CODE_BYTES_MAX: usize = 64;
/// Fields in a record's metadata.
pub const METADATA_FIELDS_MAX: usize = 48;
/// Bytes of a record's metadata, names and values together, before they are escaped.
pub const METADATA_BYTES_MAX: usize = 16 << 10;
/// Bytes of a name in it.
pub const NAME_BYTES_MAX: usize = 64;

/// Who a client is, as authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserId {
    /// A number, never 0.
    Number(i128),
    /// A text, never empty.
    Text(String),
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// How grave it is.
    pub level: Level,
    /// What it is about.
    pub category: Category,
    /// What happened.
    pub event: &'static EventType,
    /// For people.
    pub message: String,
    /// The session of a client.
    pub session_id: Option<String>,
    /// Who the client is.
    pub user_id: Option<UserId>,
    /// The transport connection.
    pub connection_id: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// Where the client is.
    pub client_ip: Option<String>,
    /// The client's program.
    pub user_agent: Option<String>,
    /// How long it took, in tenths of a millisecond.
    pub duration_tenths: Option<u64>,
    /// What failed, for programs.
    pub error_code: Option<String>,
    /// The trace (W3C Trace Context, section 3.2.2.3).
    pub trace_id: Option<String>,
    /// The span in it.
    pub span_id: Option<String>,
    /// Its number among the process's records; `None` for what a sink says of itself.
    pub seq: Option<u64>,
    /// Everything else.
    pub metadata: Vec<(Cow<'static, str>, Value)>,
    metadata_bytes: usize,
    /// Fields that found no room.
    dropped: u64,
    /// Secrets that were hidden.
    hidden: u32,
    pii: Pii,
}

impl Record {
    /// A record of now that says nothing yet. Without a message it says its event's name.
    #[must_use]
    pub const fn new(unix_ms: u64, level: Level, category: Category, event: &'static EventType, pii: Pii) -> Self {
        Self {
            unix_ms,
            level,
            category,
            event,
            message: String::new(),
            session_id: None,
            user_id: None,
            connection_id: None,
            namespace: None,
            client_ip: None,
            user_agent: None,
            duration_tenths: None,
            error_code: None,
            trace_id: None,
            span_id: None,
            seq: None,
            metadata: Vec::new(),
            metadata_bytes: 0,
            dropped: 0,
            hidden: 0,
            pii,
        }
    }

    /// Puts a field where it belongs; a later one of the same name replaces an earlier one. What does not have the form
    /// of the schema's field goes to the metadata.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        let name = name.into();
        match name.as_ref() {
            "message" => self.set_message(&value.into_text()),
            // Who reads the event judges these; `metadata` as a name of a field would look like the schema's.
            "category" | "event_type" | "level" => {}
            "session_id" => self.session_id = identifier(value).or(self.session_id.take()),
            "connection_id" => self.connection_id = identifier(value).or(self.connection_id.take()),
            "namespace" => self.namespace = identifier(value).or(self.namespace.take()),
            "user_id" => self.user_id = user(value),
            "client_ip" => match value {
                Value::Text(text) => self.set_client_ip(text),
                value => self.add(name, value),
            },
            "user_agent" => {
                let text = value.into_text();
                self.user_agent = self.pii.user_agent(cut(&text, USER_AGENT_BYTES_MAX)).map(str::to_owned);
            }
            "duration_ms" => match value.as_number().filter(|number| number.is_finite()) {
                Some(number) => self.duration_tenths = Some((number.max(0.0) * 10.0).round() as u64),
                None => self.add(name, value),
            },
            "error_code" => {
                let mut code = value.into_text();
                shorten(&mut code, ERROR_CODE_BYTES_MAX);
                self.error_code = Some(code).filter(|code| !code.is_empty());
            }
            "trace_id" => match value {
                Value::Text(text) if is_lower_hex(&text, 32) => self.trace_id = Some(text),
                value => self.add(name, value),
            },
            "span_id" => match value {
                Value::Text(text) if is_lower_hex(&text, 16) => self.span_id = Some(text),
                value => self.add(name, value),
            },
            _ => self.add(name, value),
        }
    }

    /// Secrets in it are hidden; what is too long is cut.
    pub fn set_message(&mut self, text: &str) {
        let (text, found) = redaction::scrub(cut(text, MESSAGE_BYTES_MAX));
        self.hidden += u32::from(found);
        self.message = self.pii.text(&text, self.category).into_owned();
    }

    fn set_client_ip(&mut self, text: String) {
        match masking::parse(&text) {
            Some(address) => self.client_ip = self.pii.address(address),
            None => self.add(Cow::Borrowed("client_ip"), Value::Text(text)),
        }
    }

    /// Adds to the metadata.
    fn add(&mut self, name: Cow<'static, str>, value: Value) {
        let Some((name, value)) = self.admitted(name, value) else { return };
        let bytes = name.len() + value.bytes();
        if let Some((_, old)) = self.metadata.iter_mut().find(|(known, _)| *known == name) {
            let grown = self.metadata_bytes + value.bytes() - old.bytes();
            if grown <= METADATA_BYTES_MAX {
                (*old, self.metadata_bytes) = (value, grown);
                return;
            }
        } else if self.metadata.len() < METADATA_FIELDS_MAX && self.metadata_bytes + bytes <= METADATA_BYTES_MAX {
            self.metadata.push((name, value));
            self.metadata_bytes += bytes;
            return;
        }
        self.dropped += 1;
    }

    /// What may be shown of a field. `None`: nothing.
    fn admitted(&mut self, name: Cow<'static, str>, value: Value) -> Option<(Cow<'static, str>, Value)> {
        let name = if name.len() > NAME_BYTES_MAX { Cow::Owned(cut(&name, NAME_BYTES_MAX).to_owned()) } else { name };
        match (redaction::judge(&name), &value) {
            (Verdict::Hidden, _) | (Verdict::NumbersOnly, Value::Text(_)) => {
                self.hidden += 1;
                return Some((name, Value::Text(HIDDEN.to_owned())));
            }
            _ => {}
        }
        let Value::Text(mut text) = value else { return Some((name, value)) };
        shorten(&mut text, TEXT_BYTES_MAX);
        if let (Cow::Owned(scrubbed), _) = redaction::scrub(&text) {
            self.hidden += 1;
            text = scrubbed;
        }
        if self.pii != Pii::Full {
            text = if masking::is_address_field(&name) {
                self.pii.address_field(&text)?.into_owned()
            } else {
                self.pii.text(&text, self.category).into_owned()
            };
        }
        Some((name, Value::Text(text)))
    }

    /// The message, or what stands for it: it is never empty.
    #[must_use]
    pub fn message_or_event(&self) -> &str {
        if self.message.is_empty() { self.event.name } else { &self.message }
    }

    /// Fields that found no room in the metadata.
    #[must_use]
    pub const fn fields_dropped(&self) -> u64 {
        self.dropped
    }

    /// Secrets that were hidden.
    #[must_use]
    pub const fn secrets_hidden(&self) -> u32 {
        self.hidden
    }

    /// The same in a few hundred bytes, for receivers that take no more: without metadata, the texts cut.
    #[must_use]
    pub fn brief(&self) -> Self {
        const BRIEF_BYTES_MAX: usize = 256;
        let mut brief = self.clone();
        brief.metadata = vec![(Cow::Borrowed("shortened"), Value::Bool(true))];
        brief.dropped = 0;
        shorten(&mut brief.message, BRIEF_BYTES_MAX);
        let texts = [&mut brief.user_agent, &mut brief.namespace, &mut brief.session_id, &mut brief.connection_id];
        for text in texts.into_iter().flatten() {
            shorten(text, BRIEF_BYTES_MAX / 4);
        }
        if let Some(UserId::Text(text)) = &mut brief.user_id {
            shorten(text, BRIEF_BYTES_MAX / 4);
        }
        brief
    }
}

/// A text that is one; a number becomes one.
fn identifier(value: Value) -> Option<String> {
    let mut text = value.into_text();
    shorten(&mut text, ID_BYTES_MAX);
    Some(text).filter(|text| !text.is_empty())
}

fn user(value: Value) -> Option<UserId> {
    match value {
        Value::Uint(number) => (number != 0).then_some(UserId::Number(number.into())),
        Value::Int(number) => Some(UserId::Number(number.into())),
        value => identifier(value).map(UserId::Text),
    }
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
