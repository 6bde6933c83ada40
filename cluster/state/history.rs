//! The retained history: what was published, in order, bounded by age and by bytes.

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::command::Record;
use crate::identifier::LogPosition;
use crate::limits::{NAME_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES};
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

/// Invariant: `bytes` is the sum over `kept`; everything at or below `floor` has been dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(deserialize_with = "table::map")]
    kept: OrdMap<LogPosition, Kept>,
    bytes: u64,
    floor: LogPosition,
}

impl History {
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
