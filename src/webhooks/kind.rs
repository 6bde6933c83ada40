//! What a receiver may be told.

use vedfolnir_cluster::state::EventKind;

/// A type of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// A session lost its connection; its client may come back.
    Disconnected,
    /// A session's client did not come back in time: it is gone for good.
    Expired,
    /// A session was ended by its client or the server: it is gone for good.
    Closed,
    /// A room that was empty has a member.
    Occupied,
    /// A room's last member is gone.
    Vacated,
}

impl WebhookKind {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Disconnected, Self::Expired, Self::Closed, Self::Vacated, Self::Occupied];

    /// Its name, as messages have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "session.disconnected",
            Self::Expired => "session.expired",
            Self::Closed => "session.closed",
            Self::Occupied => "room.occupied",
            Self::Vacated => "room.vacated",
        }
    }

    /// Of an event.
    pub(super) const fn of(kind: &EventKind) -> Self {
        match kind {
            EventKind::Disconnected { .. } => Self::Disconnected,
            EventKind::Expired { .. } => Self::Expired,
            EventKind::Closed { .. } => Self::Closed,
            EventKind::RoomOccupied { .. } => Self::Occupied,
            EventKind::RoomVacated { .. } => Self::Vacated,
        }
    }
}
