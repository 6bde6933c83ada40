//! What the simulator sees of each replica: every entry as it is applied.

use std::cell::RefCell;

use vedfolnir_sim_world::{clock, hosts};
use vedfolnir_state::{Applied, Effect, EffectAt, Incarnation, Origin, Outcome, Proposal, State, decode_proposal};

use crate::replica::Replica;

/// One entry on one replica.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, in world time.
    pub at_us: u64,
    /// Where.
    pub host: usize,
    /// Its index.
    pub index: u64,
    /// What it is, as a hash; 0 for an entry without commands. `None`: a snapshot up to here was installed.
    pub digest: Option<u64>,
    /// The state's hash after it.
    pub state_hash: u64,
    /// What it asked for; `None` without commands.
    pub proposal: Option<Proposal>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// What it brought about.
    pub effects: Vec<EffectAt>,
}

impl Entry {
    /// The life that proposed it.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        match self.proposal.as_ref()?.origin {
            Origin::Node { incarnation, .. } => Some(incarnation),
            Origin::System => None,
        }
    }

    /// Its effects.
    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter().map(|at| &at.effect)
    }
}

thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// What was applied since the last call.
#[must_use]
pub fn take() -> Vec<Entry> {
    ENTRIES.take()
}

/// An entry's bytes, and what came of them.
type Applying<'a> = (&'a [u8], &'a Applied);

fn push(replica: &Replica, index: u64, digest: Option<u64>, applying: Option<Applying<'_>>) {
    let entry = Entry {
        at_us: clock::now_us(),
        host: hosts::current().unwrap_or_default(),
        index,
        digest,
        state_hash: replica.read(State::state_hash),
        proposal: applying.and_then(|(bytes, _)| decode_proposal(bytes).ok()),
        outcome: applying.map(|(_, applied)| applied.outcome.clone()),
        effects: applying.map(|(_, applied)| applied.effects.clone()).unwrap_or_default(),
    };
    ENTRIES.with_borrow_mut(|entries| entries.push(entry));
}

pub(crate) fn applied(replica: &Replica, index: u64, applying: Option<Applying<'_>>) {
    let digest = applying.map_or(0, |(bytes, _)| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    });
    push(replica, index, Some(digest), applying);
}

pub(crate) fn installed(replica: &Replica, index: u64) {
    push(replica, index, None, None);
}
