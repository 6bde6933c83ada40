//! What was said to a room, by offset: for whoever wants to know without having been there.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use vedfolnir_cluster::state::{
    HistoryGone, LogPosition, Offset, Record, State, is_reserved_room, limits, user_of_room, user_room,
};
use vedfolnir_protocol::encode_offset;
use vedfolnir_protocol::socket_io::args;

use super::read::ReadError;
use crate::service::{self, offset_of};

/// An event as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// Its offset, as receivers got it.
    pub offset: String,
    /// Its place in the one total order.
    pub position: LogPosition,
    record: Arc<Record>,
}

impl HistoryEvent {
    /// The event's name.
    #[must_use]
    pub fn event(&self) -> Cow<'_, str> {
        args::event_name(&self.record.payload.text).unwrap_or_default()
    }

    /// Its arguments, each as its JSON text. Attachments stand in them as placeholders.
    #[must_use]
    pub fn args(&self) -> Vec<&RawValue> {
        let mut elements = args::elements(&self.record.payload.text).unwrap_or_default();
        if !elements.is_empty() {
            elements.remove(0);
        }
        elements
    }

    /// Its attachments, as the placeholders number them.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.record.payload.attachments
    }

    /// The rooms that it was for; none, and no users: the whole namespace.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        named(&self.record.rooms)
    }

    /// The users that it was for.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.record.rooms.iter().filter_map(|room| user_of_room(room))
    }

    /// The rooms whose members were left out.
    pub fn except(&self) -> impl Iterator<Item = &str> {
        named(&self.record.except)
    }

    /// The users who were left out.
    pub fn except_users(&self) -> impl Iterator<Item = &str> {
        self.record.except.iter().filter_map(|room| user_of_room(room))
    }
}

fn named(rooms: &[Arc<str>]) -> impl Iterator<Item = &str> {
    rooms.iter().map(AsRef::as_ref).filter(|room| !is_reserved_room(room))
}

/// Some events of a room, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomHistory {
    /// The events.
    pub events: Vec<HistoryEvent>,
    /// The offset up to which they are all that was said: to go on from, now or later.
    pub reached: String,
    /// There is more after them.
    pub has_more: bool,
}

/// Why there is no history to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// Something that was said to the room after the offset is no longer retained.
    #[error("what was said after this offset is no longer retained; what is begins after {oldest}")]
    Gone {
        /// After this offset everything is there.
        oldest: String,
    },
    /// The offset is none of this history.
    #[error("the offset is none of this cluster's history")]
    BadOffset,
    /// See [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A page of a room's history, read when it is awaited.
///
/// It is the history from which clients catch up, bounded by age and bytes. A room has one while sessions are in it, connected or
/// inside their recovery window: what is said to nobody is not kept for anybody.
#[must_use = "a read does nothing until it is awaited"]
pub struct ReadHistory {
    service: Arc<service::Inner>,
    namespace: Arc<str>,
    room: Option<Arc<str>>,
    after: Option<String>,
    events_max: usize,
    linearizable: bool,
}

impl ReadHistory {
    pub(crate) fn new(service: &Arc<service::Inner>, namespace: Arc<str>) -> Self {
        let service = Arc::clone(service);
        Self { service, namespace, room: None, after: None, events_max: 100, linearizable: false }
    }

    /// Of this room; without one it is what was said to the whole namespace.
    pub fn room(mut self, room: impl Into<Arc<str>>) -> Self {
        self.room = Some(room.into());
        self
    }

    /// What was for this user.
    pub fn user(mut self, user: impl AsRef<str>) -> Self {
        self.room = Some(user_room(user.as_ref()));
        self
    }

    /// Only what came after this offset; without one all that is retained.
    pub fn after(mut self, offset: impl Into<String>) -> Self {
        self.after = Some(offset.into());
        self
    }

    /// At most so many, 100 unless said; never more than 1000, or about 1 MiB.
    pub fn limit(mut self, events_max: usize) -> Self {
        self.events_max = events_max;
        self
    }

    /// See [`Read::linearizable`](super::Read::linearizable).
    pub fn linearizable(mut self) -> Self {
        self.linearizable = true;
        self
    }

    async fn read(self) -> Result<RoomHistory, HistoryError> {
        let Self { service, namespace, room, after, events_max, linearizable } = self;
        if room.as_deref().is_some_and(|room| is_reserved_room(room) && user_of_room(room).is_none()) {
            return Err(ReadError::ReservedRoom.into());
        }
        let ask = async || service.cluster.read_index(service.config.publish_timeout).await.map_err(ReadError::from);
        if linearizable {
            ask().await?;
        }
        let offset = after.map(|text| offset_of(&service, &text)).transpose().map_err(|_| HistoryError::BadOffset)?;
        // Another node may have shown what is still under way to this one.
        let is_ahead = |offset: Offset| service.cluster.read(|state| offset.position > state.applied());
        if !linearizable && offset.is_some_and(is_ahead) {
            ask().await?;
        }
        service.cluster.read(|state| {
            let history = state.history_id().unwrap_or_default();
            let text = |at: LogPosition| encode_offset(history, at.index, at.ordinal).to_string();
            if offset.is_some_and(|offset| !is_of(state, offset)) {
                return Err(HistoryError::BadOffset);
            }
            let after = offset.map(|offset| offset.position);
            let page = state
                .room_history(&namespace, room.as_ref(), after, events_max.min(limits::HISTORY_PAGE_EVENTS_MAX))
                .map_err(|HistoryGone { floor }| HistoryError::Gone { oldest: text(floor) })?;
            let events = page.records.into_iter();
            let events =
                events.map(|(position, record)| HistoryEvent { offset: text(position), position, record }).collect();
            Ok(RoomHistory { events, reached: text(page.reached), has_more: !page.complete })
        })
    }
}

/// Whether what an offset names is in this history.
fn is_of(state: &State, Offset { history_id, position }: Offset) -> bool {
    let is_own = state.history_id() == Some(history_id) && position <= state.applied();
    is_own || state.shares_history(history_id, position)
}

impl IntoFuture for ReadHistory {
    type Output = Result<RoomHistory, HistoryError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.read())
    }
}

impl fmt::Debug for ReadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHistory")
            .field("namespace", &self.namespace)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}
