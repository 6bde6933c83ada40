//! What applying an entry asks of the node that applied it.

use std::sync::Arc;

use crate::command::{NodeInfo, Origin, Record, TraceContext};
use crate::event::Event;
use crate::identifier::{Epoch, Incarnation, LogPosition, PidHash};
use crate::response::Response;

/// The result of applying one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Whose proposal it was; `None` when the bytes were no proposal.
    pub origin: Option<Origin>,
    /// What became of the proposal as a whole.
    pub outcome: Outcome,
    /// In order of their positions; the same on every replica.
    pub effects: Vec<EffectAt>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Executed; the first `skipped` commands had been applied before (a retry) and have no response here.
    Executed {
        /// How many were already known.
        skipped: usize,
        /// One for each command after those.
        responses: Vec<Response>,
    },
    /// A sequence is missing before this proposal: nothing was executed, resend from `expected`.
    Gap {
        /// The next sequence this incarnation may use.
        expected: u64,
    },
    /// The incarnation is not live (never up, or down): nothing was executed.
    NotLive,
    /// Written by a newer version of this software: a replica that cannot know what it means must stop.
    UnknownVersion {
        /// The version.
        version: u8,
    },
    /// The bytes were no proposal; nothing was executed (the same on every replica).
    Malformed,
}

/// An effect and where it stands in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectAt {
    /// The command that caused it.
    pub position: LogPosition,
    /// What is to be done.
    pub effect: Effect,
}

/// What a node does about a change, where it concerns its own sockets or its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Deliver to every local socket that the record addresses.
    Deliver {
        /// What, and to whom.
        record: Arc<Record>,
        /// The trace that is told of it.
        trace: Option<TraceContext>,
    },
    /// A session has a (new) owner.
    Opened(Opened),
    /// A session lost its owner to a newer epoch: the old owner closes the transport of `epoch`.
    Fenced {
        /// Which session.
        pid: PidHash,
        /// The owner that is fenced.
        owner: Incarnation,
        /// The epoch that is over.
        epoch: Epoch,
    },
    /// A session entered a room.
    Joined {
        /// Which session.
        pid: PidHash,
        /// The room.
        room: Arc<str>,
    },
    /// A session left a room.
    Left {
        /// Which session.
        pid: PidHash,
        /// The room.
        room: Arc<str>,
    },
    /// A session lost its transport; its window runs.
    Disconnected {
        /// Which session.
        pid: PidHash,
        /// The epoch that ended.
        epoch: Epoch,
    },
    /// A session is gone for good.
    Ended {
        /// Which session.
        pid: PidHash,
        /// Its last epoch.
        epoch: Epoch,
        /// Closed, or its window passed.
        reason: EndReason,
    },
    /// A node began a life.
    NodeUp {
        /// The life.
        incarnation: Incarnation,
        /// Where it is reached.
        info: NodeInfo,
    },
    /// A life of a node is over; a node that sees its own closes every socket and takes a new generation.
    NodeDown {
        /// The life.
        incarnation: Incarnation,
    },
    /// Something happened that applications may follow; the state keeps it for a while.
    Event(Arc<Event>),
}

/// A session opened or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which session.
    pub pid: PidHash,
    /// Its public id.
    pub sid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its owner from here on.
    pub owner: Incarnation,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The rooms in which something may be said to it from this position on, its own sid and its user's room among them.
    pub rooms: Vec<Arc<str>>,
    /// What the socket has yet to see begins after this (for a new session: this very position).
    pub replay_after: LogPosition,
}

/// Why a session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client or the server closed it.
    Closed,
    /// Its recovery window passed.
    Expired,
}
