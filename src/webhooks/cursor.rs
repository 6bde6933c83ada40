//! How far the receiver has been told: one entry of the replicated store, changed by compare-and-set alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vedfolnir_cluster::Cluster;
use vedfolnir_cluster::state::{Command, EventId, KvExpected, KvPut, KvRefusal, LogPosition, Response, State};

/// Where it is.
const KEY: &str = "\0vedfolnir/webhooks/cursor";
/// A quorum commits within this time, or it is not known whether it has.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cursor {
    /// Everything up to this event has been taken or given up; `None`: nothing yet, from the oldest kept event on.
    #[serde(with = "text")]
    pub(crate) after: Option<EventId>,
    /// Dead letters that were dropped because there were too many.
    pub(crate) dead_dropped: u64,
    /// Times that events were no longer kept when it was their turn.
    pub(crate) lost: u64,
}

/// Why a cursor, or a dead letter, was not written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotWritten {
    /// Another node has gone on from there, or it is not known: read it anew.
    #[error("it has changed, or no quorum has answered")]
    Unknown,
    /// The store has no room.
    #[error("the replicated store has no room for it ({0:?}): delete entries")]
    NoRoom(KvRefusal),
}

impl Cursor {
    /// What the replica holds, and its revision. One that cannot be read is none.
    pub(crate) fn read(state: &State) -> (Self, Option<LogPosition>) {
        let Some(entry) = state.kv_get(KEY) else { return (Self::default(), None) };
        (serde_json::from_slice(&entry.value).unwrap_or_default(), Some(entry.revision))
    }

    /// Commits it if nobody has written it since.
    pub(super) async fn write(
        self,
        cluster: Cluster,
        revision: Option<LogPosition>,
    ) -> Result<LogPosition, NotWritten> {
        let expected = revision.map_or(KvExpected::Absent, KvExpected::Revision);
        // Numbers and texts: nothing that JSON does not take.
        let value = serde_json::to_vec(&self).unwrap_or_default().into();
        let put = KvPut { key: KEY.into(), value, ttl_ms: None, expected };
        let ticket = cluster.propose(Command::KvPut(put)).map_err(|_| NotWritten::Unknown)?;
        match tokio::time::timeout(COMMIT_TIMEOUT, ticket).await {
            Ok(Ok(Response::KvStored { revision })) => Ok(revision),
            Ok(Ok(Response::KvRefused(refusal))) if !matches!(refusal, KvRefusal::Conflict { .. }) => {
                Err(NotWritten::NoRoom(refusal))
            }
            _ => Err(NotWritten::Unknown),
        }
    }
}

/// An event's id as its text.
mod text {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use vedfolnir_cluster::state::EventId;

    #[allow(clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(id: &Option<EventId>, serializer: S) -> Result<S::Ok, S::Error> {
        id.map(|id| id.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EventId>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let after = Some("00000000000000ff-7.1.2".parse().unwrap());
        for cursor in [Cursor::default(), Cursor { after, dead_dropped: 3, lost: 1 }] {
            let text = serde_json::to_string(&cursor).unwrap();
            assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), cursor, "{text}");
        }
    }
}
