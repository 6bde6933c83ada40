//! A state from a backup becomes that of a new cluster.

use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::history::Ancestor;
use crate::identifier::{LogPosition, PidHash, SidKey};
use crate::membership::Membership;
use crate::node::Nodes;
use crate::state::{Effects, State};

/// What the new cluster draws for itself.
#[derive(Clone, Copy, Debug)]
pub struct Restoration {
    /// Its history's id; another one than any before.
    pub history_id: u64,
    /// Its key for Engine.IO session ids: those of the old cluster's connections are none here.
    pub sid_key: SidKey,
}

/// What is in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts {
    /// Sessions, connected or resumable.
    pub sessions: u64,
    /// Those that are connected.
    pub connected: u64,
    /// Rooms.
    pub rooms: u64,
    /// Records of the retained history.
    pub messages: u64,
    /// Entries of the key-value store.
    pub kv_entries: u64,
    /// Kept events.
    pub events: u64,
}

impl State {
    /// What is in it.
    #[must_use]
    pub fn counts(&self) -> StateCounts {
        StateCounts {
            sessions: self.sessions.len() as u64,
            connected: self.connected_count(),
            rooms: self.rooms.len() as u64,
            messages: self.history.len() as u64,
            kv_entries: self.kv_stats().entries,
            events: self.event_stats().kept,
        }
    }

    /// The state of a new cluster that goes on where this one was.
    ///
    /// The restore takes the position after the last one for itself. Sessions, rooms, history, the key-value store, events,
    /// idempotency keys and cluster time stay as they are. The nodes are gone, and so every session has lost its transport: its recovery
    /// window begins now, also if it had begun before, because time has stood still. What belongs to the old cluster's
    /// membership (removed nodes, join tokens) is gone. Each session is in its user's room. The history has a new id and remembers the old one up to here: a
    /// client may resume from what both have, and from nothing that only the old cluster has seen.
    ///
    /// The same for the same arguments everywhere; one node does it before there is a log.
    #[must_use]
    pub fn restored(mut self, restoration: &Restoration) -> Self {
        let up_to = self.applied();
        self.applied_index = self.applied_index.saturating_add(1);
        if let Some(configuration) = &mut self.configuration {
            self.history.descend(Ancestor { history_id: configuration.history_id, up_to });
            configuration.history_id = restoration.history_id;
            configuration.sid_key = restoration.sid_key;
        }
        let mut effects = Effects::at(LogPosition::new(self.applied_index, 0));
        self.raise_format(self.format.max(Format::MANAGED), &mut effects);
        while self.adopt_some(&mut effects) {}
        effects.forget();
        self.nodes = Nodes::default();
        self.membership = Membership::default();
        let deadline_ms = self.deadline_ms();
        let pids: Vec<PidHash> = self.sessions.pids().collect();
        for pid in pids {
            if self.sessions.get(&pid).is_some_and(|session| session.deadline_ms.is_none()) {
                self.lose_transport(pid, deadline_ms, true, &mut effects);
                effects.forget();
            } else {
                self.sessions.change(&pid, |session| session.deadline_ms = Some(deadline_ms));
            }
        }
        self
    }
}
