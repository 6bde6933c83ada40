//! The layout of the document. Unknown fields are refused, so that nothing of a file is lost without a word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use vedfolnir_cluster::state::StateCounts;

/// The version that is written, and the only one that is read.
pub const VERSION: &str = "1.0";

/// What the document says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// `full`.
    pub backup_type: String,
    /// When it was taken, RFC 3339.
    pub timestamp: String,
    /// [`VERSION`].
    pub version: String,
    /// Of the native backup that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<String>,
    /// Its SHA-256, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// The cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The log index up to which it holds everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft_index: Option<u64>,
    /// That entry's term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The program that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// How much the native backup holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<StateCounts>,
}

/// An imported document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) metadata: Facts,
    #[serde(default)]
    pub(super) connections: BTreeMap<String, Connection>,
    #[serde(default)]
    pub(super) sessions: BTreeMap<String, SessionEntry>,
    #[serde(default)]
    pub(super) redis_sessions: BTreeMap<String, Box<RawValue>>,
}

/// A client in a namespace.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    pub(super) session_id: String,
    pub(super) user_id: Box<RawValue>,
    pub(super) connection_id: String,
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) rooms: Vec<String>,
    pub(super) connected_at: String,
    pub(super) last_activity: String,
    #[serde(default)]
    pub(super) client_info: ClientInfo,
    #[serde(default)]
    pub(super) subscription_data: serde_json::Map<String, Value>,
}

/// Where it came from.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<String>,
}

/// The application's data of a session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionEntry {
    pub(super) data: Value,
    pub(super) timestamp: String,
}
