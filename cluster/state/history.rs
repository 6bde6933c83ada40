//! The retained history: what was published, in order, bounded by age and by bytes.

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::command::Record;
use crate::identifier::LogPosition;
use crate::limits::{ANCESTORS_MAX, NAME_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES};
use crate::room::RoomId;
use crate::table;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    record: Arc<Record>,
    heard_in: HeardIn,
    published_ms: u64,
    bytes: u64,
}

/// For each room that a record was said to, in the order of [`crate::state::room_keys`]: its number then, if anybody
/// was in it.
pub(crate) type HeardIn = Box<[Option<RoomId>]>;

/// A record that is retained no longer.
pub(crate) struct Dropped {
    pub(crate) position: LogPosition,
    pub(crate) record: Arc<Record>,
    pub(crate) heard_in: HeardIn,
}

/// A history that this one goes on from, since a backup was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ancestor {
    pub(crate) history_id: u64,
    /// Up to here the two are one.
    pub(crate) up_to: LogPosition,
}

/// Invariants: `bytes` is the sum over `kept`; everything at or below `floor` has been dropped; `ancestors` are at most
/// [`ANCESTORS_MAX`], the youngest last, and each goes at least as far as the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(deserialize_with = "table::map")]
    kept: OrdMap<LogPosition, Kept>,
    bytes: u64,
    floor: LogPosition,
    /// From [`Format::MANAGED`](crate::Format::MANAGED) on; without one, nothing of it is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ancestors: Vec<Ancestor>,
}

impl History {
    /// It goes on under another id.
    pub(crate) fn descend(&mut self, from: Ancestor) {
        self.ancestors.push(from);
        let surplus = self.ancestors.len().saturating_sub(ANCESTORS_MAX);
        self.ancestors.drain(..surplus);
    }

    /// The histories that it goes on from, the oldest first.
    pub(crate) fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// Whether what an ancestor has at a position is the same here.
    pub(crate) fn shares(&self, history_id: u64, position: LogPosition) -> bool {
        self.ancestors.iter().any(|ancestor| ancestor.history_id == history_id && position <= ancestor.up_to)
    }

    pub(crate) fn push(&mut self, position: LogPosition, record: Arc<Record>, heard_in: HeardIn, now_ms: u64) {
        let payload = &record.payload;
        let attached: usize = payload.attachments.iter().map(|attachment| attachment.len()).sum();
        let names: usize = record.rooms.iter().chain(&record.except).map(|name| name.len() + NAME_OVERHEAD_BYTES).sum();
        let attachments = payload.attachments.len() * NAME_OVERHEAD_BYTES;
        let bytes = (payload.text.len() + attached + names + attachments) as u64 + RECORD_OVERHEAD_BYTES;
        self.bytes += bytes;
        self.kept.insert(position, Kept { record, heard_in, published_ms: now_ms, bytes });
    }

    /// Drops the oldest record if the bounds say so.
    pub(crate) fn prune_one(&mut self, now_ms: u64, age_ms_max: u64, bytes_max: u64) -> Option<Dropped> {
        let (position, oldest) = self.kept.get_min()?;
        let too_old = now_ms.saturating_sub(oldest.published_ms) > age_ms_max;
        if !too_old && self.bytes <= bytes_max {
            return None;
        }
        let position = *position;
        let dropped = self.kept.remove(&position)?;
        self.bytes -= dropped.bytes;
        self.floor = position;
        Some(Dropped { position, record: dropped.record, heard_in: dropped.heard_in })
    }

    pub(crate) fn get(&self, position: LogPosition) -> Option<&Arc<Record>> {
        self.kept.get(&position).map(|kept| &kept.record)
    }

    /// The oldest retained record; `None`: nothing is retained.
    pub(crate) fn oldest_published_ms(&self) -> Option<u64> {
        self.kept.get_min().map(|(_, oldest)| oldest.published_ms)
    }

    pub(crate) fn oldest(&self) -> Option<LogPosition> {
        self.kept.get_min().map(|(position, _)| *position)
    }

    /// Everything at or below this has been dropped.
    pub(crate) fn floor(&self) -> LogPosition {
        self.floor
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}
