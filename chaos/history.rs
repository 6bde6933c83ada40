//! What happened, as the clients saw it: who published what, and what reached whom.
//!
//! All times are nanoseconds of one monotonic clock. Every publish ends as ok, failed or unknown; a time-out is unknown,
//! never failed, for the message may have been committed all the same.

/// A message: its publisher, and its number among that publisher's messages in the order they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The publisher.
    pub publisher: u32,
    /// Dense or not, but rising.
    pub sequence: u64,
}

/// How a publish ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged as committed.
    Ok {
        /// When the acknowledgement arrived.
        at: u64,
    },
    /// Refused: nobody may ever see it.
    Failed,
    /// Never answered: it may or may not have been committed.
    Unknown,
}

/// One publish to one room.
#[derive(Clone, Copy, Debug)]
pub struct Publish {
    /// Unique in the history.
    pub id: MessageId,
    /// The room it went to.
    pub room: u32,
    /// When it was sent.
    pub invoked_at: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// The time in which a client certainly was a member of a room.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    /// The room.
    pub room: u32,
    /// When the join was acknowledged.
    pub joined_at: u64,
    /// When it asked to leave, or ended its session; `None`: it stayed until nothing more came.
    pub left_at: Option<u64>,
}

/// What one session received. A session that could not be resumed ends, and the next one is another reception.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    /// The rooms it was in.
    pub memberships: Vec<Membership>,
    /// In the order in which the application saw them.
    pub deliveries: Vec<MessageId>,
}

/// Everything the oracle judges.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every publish that was ever sent.
    pub publishes: Vec<Publish>,
    /// Every session that listened.
    pub receptions: Vec<Reception>,
}
