//! A document as a state: the commands that would have brought it about, applied to an empty one.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use ring::digest;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use vedfolnir_cluster::state::{
    Command, Configuration, Format, Incarnation, KvExpected, KvPut, NodeInfo, Origin as Proposer, Outcome, PidHash,
    Proposal, Register, Response, State, encode_proposal, limits,
};

use super::layout::{Connection, Document, Facts, VERSION};
use super::{REDIS_PREFIX, SESSION_PREFIX, SUBSCRIPTION_DATA};
use crate::observability::read_rfc3339_ms;
use crate::service::session_data::{self, Notes, Origin};

/// A document may have this many bytes: it is read into memory.
pub const DOCUMENT_BYTES_MAX: u64 = 1 << 30;
/// The life that the imported connections belonged to; it is over when a cluster is restored from it.
const OLD_SYSTEM: Incarnation = Incarnation { node: 1, generation: 1 };
/// Commands of one proposal.
const BATCH_COMMANDS: usize = 256;

/// What was read.
#[derive(Debug)]
pub struct Imported {
    /// With everything that the document holds.
    pub state: State,
    /// What the document says of itself.
    pub facts: Facts,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// How much it was.
    pub counts: Counts,
}

/// Entries of each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Sessions.
    pub sessions: u64,
    /// Entries of the session store.
    pub redis_sessions: u64,
}

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Too long.
    #[error("the document has more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    /// Not JSON, or not of this layout; with line and column.
    #[error("the document is not in the layout of a backup: {0}")]
    Layout(#[from] serde_json::Error),
    /// It cannot be read.
    #[error("the document cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Another version.
    #[error("the document is of version {0:?}; supported: \"{VERSION}\"")]
    Version(String),
    /// A value that cannot be.
    #[error("{path}: {reason}")]
    Value {
        /// Where.
        path: String,
        /// Why not.
        reason: String,
    },
}

/// Reads a document.
///
/// `configuration`: the limits of the state; they are those of the cluster from its first leader on.
///
/// # Errors
/// [`ImportError`]; nothing is half taken.
pub fn import(reader: impl Read, configuration: Configuration) -> Result<Imported, ImportError> {
    let mut text = Vec::new();
    reader.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(ImportError::TooLong);
    }
    let document: Document = serde_json::from_slice(&text)?;
    drop(text);
    let Document { metadata, connections, sessions, redis_sessions } = document;
    if metadata.version != VERSION {
        return Err(ImportError::Version(metadata.version));
    }
    let taken_at_ms = instant("metadata.timestamp", &metadata.timestamp)?;
    let counts = Counts {
        connections: connections.len() as u64,
        sessions: sessions.len() as u64,
        redis_sessions: redis_sessions.len() as u64,
    };
    let mut writer = Writer::begin(configuration);
    for (id, connection) in connections {
        writer.connection(&id, connection)?;
    }
    for (id, entry) in sessions {
        let path = format!("sessions.{id}");
        instant(&format!("{path}.timestamp"), &entry.timestamp)?;
        let value = serde_json::to_vec(&entry)?;
        writer.put(path, format!("{SESSION_PREFIX}{id}"), value)?;
    }
    for (key, value) in redis_sessions {
        let path = format!("redis_sessions.{key}");
        if !key.starts_with(REDIS_PREFIX) {
            return Err(refused(path, format!("its key does not begin with {REDIS_PREFIX:?}")));
        }
        writer.put(path, key, value.get().as_bytes().to_vec())?;
    }
    Ok(Imported { state: writer.end()?, facts: metadata, taken_at_ms, counts })
}

fn refused(path: impl Into<String>, reason: impl Into<String>) -> ImportError {
    ImportError::Value { path: path.into(), reason: reason.into() }
}

fn instant(path: &str, text: &str) -> Result<u64, ImportError> {
    read_rfc3339_ms(text).ok_or_else(|| refused(path, format!("{text:?} is no time such as 2025-01-28T10:30:00.000Z")))
}

/// Gathers commands, and applies them a batch at a time.
struct Writer {
    state: State,
    index: u64,
    sequence: u64,
    /// Each with where in the document it comes from.
    batch: Vec<(String, Command)>,
}

impl Writer {
    fn begin(configuration: Configuration) -> Self {
        let mut writer = Self { state: State::default(), index: 0, sequence: 1, batch: Vec::new() };
        let system = [
            Command::RaiseFormat { format: Format::NEWEST },
            Command::Configure(configuration),
            Command::NodeUp { incarnation: OLD_SYSTEM, info: NodeInfo::default() },
        ];
        for command in system {
            writer.apply(Proposal { origin: Proposer::System, commands: vec![command] });
        }
        writer
    }

    fn apply(&mut self, proposal: Proposal) -> Outcome {
        self.index += 1;
        self.state.apply(self.index, &encode_proposal(Format::NEWEST, &proposal)).outcome
    }

    fn push(&mut self, path: String, command: Command) -> Result<(), ImportError> {
        self.batch.push((path, command));
        if self.batch.len() < BATCH_COMMANDS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        let (paths, commands): (Vec<_>, Vec<_>) = std::mem::take(&mut self.batch).into_iter().unzip();
        if commands.is_empty() {
            return Ok(());
        }
        let first_sequence = self.sequence;
        self.sequence += commands.len() as u64;
        let origin = Proposer::Node { incarnation: OLD_SYSTEM, first_sequence };
        let outcome = self.apply(Proposal { origin, commands });
        let Outcome::Executed { responses, .. } = outcome else {
            return Err(refused(
                paths.first().cloned().unwrap_or_default(),
                format!("it is not executed: {outcome:?}"),
            ));
        };
        for (path, response) in paths.into_iter().zip(responses) {
            match response {
                Response::Refused(refusal) => {
                    return Err(refused(path, format!("the cluster would refuse it: {refusal:?}")));
                }
                Response::KvRefused(refusal) => {
                    return Err(refused(path, format!("the store would refuse it: {refusal:?}")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<State, ImportError> {
        self.flush()?;
        Ok(self.state)
    }

    fn put(&mut self, path: String, key: String, value: Vec<u8>) -> Result<(), ImportError> {
        let put = KvPut { key: key.into(), value: value.into(), ttl_ms: None, expected: KvExpected::Anything };
        self.push(path, Command::KvPut(put))
    }

    fn connection(&mut self, id: &str, connection: Connection) -> Result<(), ImportError> {
        let path = format!("connections.{id}");
        if connection.connection_id != id {
            let other = &connection.connection_id;
            return Err(refused(path, format!("its connection_id is {other:?}; accepted: its key")));
        }
        if !connection.namespace.starts_with('/') {
            return Err(refused(path, format!("{:?} is no namespace: it begins with '/'", connection.namespace)));
        }
        let user = user_of(&path, &connection.user_id)?;
        let connected_at_ms = instant(&format!("{path}.connected_at"), &connection.connected_at)?;
        let last_activity_ms = instant(&format!("{path}.last_activity"), &connection.last_activity)?;
        let origin = Origin { session_id: connection.session_id, user_id: connection.user_id, last_activity_ms };
        let notes = Notes {
            connection_id: id.to_owned(),
            connected_at_ms,
            ip: connection.client_info.ip,
            user_agent: connection.client_info.user_agent,
            origin: Some(Box::new(origin)),
        };
        let app = match connection.subscription_data.is_empty() {
            true => Bytes::new(),
            false => {
                let fields =
                    Map::from_iter([(SUBSCRIPTION_DATA.to_owned(), Value::Object(connection.subscription_data))]);
                serde_json::to_vec(&fields)?.into()
            }
        };
        let data = session_data::join(&notes, &app);
        if data.len() > limits::DATA_BYTES_MAX {
            return Err(refused(path, format!("{} bytes of data; accepted: {}", data.len(), limits::DATA_BYTES_MAX)));
        }
        // Nobody knows a secret whose hash this is, so nobody resumes it: it is there to be seen.
        let pid = pid_of(id);
        let (sid, namespace): (Arc<str>, Arc<str>) = (id.into(), connection.namespace.into());
        self.push(path.clone(), Command::Register(Register { pid, sid: Arc::clone(&sid), namespace, user, data }))?;
        for room in connection.rooms.into_iter().filter(|room| **room != *sid) {
            self.push(format!("{path}.rooms"), Command::Join { pid, epoch: 1, room: room.into() })?;
        }
        Ok(())
    }
}

/// The user as the cluster knows one: a number is a name like any other.
fn user_of(path: &str, user_id: &RawValue) -> Result<Option<Arc<str>>, ImportError> {
    match serde_json::from_str::<Value>(user_id.get())? {
        Value::Null => Ok(None),
        Value::String(name) => Ok(Some(name.into())),
        Value::Number(number) => Ok(Some(number.to_string().into())),
        other => Err(refused(format!("{path}.user_id"), format!("{other} is neither a number nor a text"))),
    }
}

fn pid_of(id: &str) -> PidHash {
    // The secrets of clients are texts; this is none.
    let digest = digest::digest(&digest::SHA256, &[b"\xff imported connection ", id.as_bytes()].concat());
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest.as_ref()[..16]);
    PidHash(hash)
}
