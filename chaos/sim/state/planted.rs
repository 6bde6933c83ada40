//! Bugs that the simulator must find: put in by name at run time, in builds of the simulator alone.
//!
//! A hook asks [`is`]; without a selected bug every hook is the correct behaviour.

use std::cell::Cell;
use std::str::FromStr;

use crate::identifier::{Epoch, LogPosition};
use crate::session::Session;
use crate::state::State;
use crate::time::ClusterTime;

/// One planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The disk acknowledges before it has synced.
    SkipFsync,
    /// A publish is answered as soon as a leader has taken it.
    AckBeforeCommit,
    /// A resume hands a session over under the epoch that its old owner has.
    ResumeKeepsEpoch,
    /// The first entries after a restart are applied twice.
    ApplyTwice,
    /// Repeated proposals are executed again.
    NoSequenceCheck,
    /// A replay looks at the rooms of today instead of those at each record's position.
    ReplayByTodaysRooms,
    /// A tick sets cluster time by each node's own clock.
    ExpiryByOwnClock,
    /// A resume does not compare the epoch that its node saw.
    StaleResume,
    /// A snapshot forgets who is in which room.
    SnapshotLosesRooms,
    /// A truncation on a conflict leaves the conflicting entries on disk.
    TruncationLeavesTail,
    /// The offset that a client has seen is replayed to it again.
    SeamOffByOne,
    /// A life that was declared down goes on proposing.
    NodeDownIgnored,
    /// A replay does not look at the rooms that a record leaves out.
    ExceptIgnoredInReplay,
    /// A vote is never written.
    VoteNotPersisted,
    /// A receiver drops the first frame of a snapshot's stream of effects: a resync is not told to the service.
    ResyncNotTold,
    /// A restarted node goes on under the generation of its last life.
    GenerationKept,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::SkipFsync,
        Self::AckBeforeCommit,
        Self::ResumeKeepsEpoch,
        Self::ApplyTwice,
        Self::NoSequenceCheck,
        Self::ReplayByTodaysRooms,
        Self::ExpiryByOwnClock,
        Self::StaleResume,
        Self::SnapshotLosesRooms,
        Self::TruncationLeavesTail,
        Self::SeamOffByOne,
        Self::NodeDownIgnored,
        Self::ExceptIgnoredInReplay,
        Self::VoteNotPersisted,
        Self::ResyncNotTold,
        Self::GenerationKept,
    ];

    /// As it is named on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipFsync => "skip-fsync",
            Self::AckBeforeCommit => "ack-before-commit",
            Self::ResumeKeepsEpoch => "resume-keeps-epoch",
            Self::ApplyTwice => "apply-twice",
            Self::NoSequenceCheck => "no-sequence-check",
            Self::ReplayByTodaysRooms => "replay-by-todays-rooms",
            Self::ExpiryByOwnClock => "expiry-by-own-clock",
            Self::StaleResume => "stale-resume",
            Self::SnapshotLosesRooms => "snapshot-loses-rooms",
            Self::TruncationLeavesTail => "truncation-leaves-tail",
            Self::SeamOffByOne => "seam-off-by-one",
            Self::NodeDownIgnored => "node-down-ignored",
            Self::ExceptIgnoredInReplay => "except-ignored-in-replay",
            Self::VoteNotPersisted => "vote-not-persisted",
            Self::ResyncNotTold => "resync-not-told",
            Self::GenerationKept => "generation-kept",
        }
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|bug| bug.name() == name).ok_or_else(|| format!("no bug {name}; there are: {}", known()))
    }
}

thread_local! {
    static SELECTED: Cell<Option<Bug>> = const { Cell::new(None) };
    static OWN_CLOCK_MS: Cell<u64> = const { Cell::new(0) };
}

/// Puts a bug in, or takes it out, for this thread.
pub fn select(bug: Option<Bug>) {
    SELECTED.set(bug);
}

/// Whether this bug is in.
#[must_use]
pub fn is(bug: Bug) -> bool {
    SELECTED.get() == Some(bug)
}

/// What the clock of the node that runs now shows.
pub fn set_own_clock_ms(now: u64) {
    OWN_CLOCK_MS.set(now);
}

pub(crate) fn seam(after: LogPosition) -> LogPosition {
    if !is(Bug::SeamOffByOne) {
        return after;
    }
    match after.ordinal.checked_sub(1) {
        Some(ordinal) => LogPosition { ordinal, ..after },
        None => LogPosition::end_of(after.index.saturating_sub(1)),
    }
}

pub(crate) fn covered(covered: bool, is_member: bool) -> bool {
    if is(Bug::ReplayByTodaysRooms) { is_member } else { covered }
}

pub(crate) fn excepted(excepted: bool) -> bool {
    excepted && !is(Bug::ExceptIgnoredInReplay)
}

pub(crate) fn known(known: u64) -> u64 {
    if is(Bug::NoSequenceCheck) { 0 } else { known }
}

pub(crate) fn moved(moved: bool) -> bool {
    moved && !is(Bug::StaleResume)
}

pub(crate) fn next_epoch(old: Epoch, next: Epoch) -> Epoch {
    if is(Bug::ResumeKeepsEpoch) { old } else { next }
}

pub(crate) fn own_clock(time: &mut ClusterTime) {
    if is(Bug::ExpiryByOwnClock) {
        time.set(OWN_CLOCK_MS.get());
    }
}

pub(crate) fn loaded(mut state: State) -> State {
    if is(Bug::SnapshotLosesRooms) {
        state.sessions.each(|session: &mut Session| {
            let sid = session.sid.clone();
            let stays = std::mem::take(&mut session.stays);
            session.stays = stays.into_iter().filter(|(room, _)| room.is_empty() || *room == sid).collect();
        });
    }
    state
}
