//! The retained history: what was published, in order, bounded by age and by bytes.

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::command::Record;
use crate::identifier::LogPosition;
use crate::limits;
use crate::limits::{ANCESTORS_MAX, NAME_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES};
use crate::room::{EVERYONE, RoomId};
use crate::state::State;
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

/// What was said to a room, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The records.
    pub records: Vec<(LogPosition, Arc<Record>)>,
    /// They are all that was said up to here.
    pub reached: LogPosition,
    /// `reached` is all that has been applied.
    pub complete: bool,
}

/// Something after the asked place has been dropped from the history. After `floor` everything is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryGone {
    /// The last place that was dropped.
    pub floor: LogPosition,
}

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

/// The history of a room as the floors above read it.
impl State {
    /// What was said to a room (`None`: to the whole namespace) after a place, or all that is retained of it: at most
    /// `records_max` records, and never more than [`limits::HISTORY_PAGE_EVENTS_MAX`] or about
    /// [`limits::HISTORY_PAGE_BYTES_MAX`] (at least one). At the cost of what it returns.
    ///
    /// A room has a history from its first member on and for as long as a session that was in it can ask for it; what is said
    /// to a room that nobody is in is said to nobody.
    ///
    /// # Errors
    /// [`HistoryGone`]: something that was said to the room after the place has been dropped.
    pub fn room_history(
        &self,
        namespace: &Arc<str>,
        room: Option<&Arc<str>>,
        after: Option<LogPosition>,
        records_max: usize,
    ) -> Result<HistoryPage, HistoryGone> {
        let key = (Arc::clone(namespace), room.map_or_else(|| Arc::from(EVERYONE), Arc::clone));
        let floor = self.history.floor();
        if after.is_some_and(|after| self.rooms.pruned_last(&key).is_some_and(|pruned| pruned > after)) {
            return Err(HistoryGone { floor });
        }
        let records_max = records_max.clamp(1, limits::HISTORY_PAGE_EVENTS_MAX);
        let mut page = HistoryPage { records: Vec::new(), reached: self.applied(), complete: true };
        let mut bytes = 0;
        for position in self.rooms.records_after(&key, after.unwrap_or_default()) {
            let Some(record) = self.history.get(position) else { continue };
            if page.records.len() == records_max || bytes >= limits::HISTORY_PAGE_BYTES_MAX {
                page.complete = false;
                page.reached = page.records.last().map(|(last, _)| *last).unwrap_or_default();
                break;
            }
            bytes += record.payload.text.len();
            bytes += record.payload.attachments.iter().map(|attachment| attachment.len()).sum::<usize>();
            page.records.push((position, Arc::clone(record)));
        }
        Ok(page)
    }

    /// Whether what another history has at a place is the same in this one: one of a cluster whose backup was restored.
    #[must_use]
    pub fn shares_history(&self, history_id: u64, position: LogPosition) -> bool {
        self.history.shares(history_id, position)
    }
}
