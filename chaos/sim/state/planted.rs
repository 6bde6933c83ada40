//! Bugs that the simulator must find: put in by name at run time, in builds of the simulator alone.
//!
//! A hook asks [`is`]; without a selected bug every hook is the correct behaviour. Bugs of the disk are in the simulated
//! disk, those of the cluster floor in its probe.

use std::cell::Cell;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::identifier::{Epoch, LogPosition};
use crate::state::State;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

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
    /// A tick sets cluster time by each node's wall clock.
    ExpiryByWallClock,
    /// A resume does not compare the epoch that its node saw.
    StaleResume,
    /// A snapshot forgets who is in which room.
    SnapshotLosesRooms,
    /// At a start the last entry of the log is taken for one that was not written whole.
    TailDropped,
    /// The offset that a client has seen is replayed to it again.
    SeamOffByOne,
    /// A life that was declared down goes on proposing.
    NodeDownIgnored,
    /// A replay does not look at the rooms that a record leaves out.
    ExceptIgnoredInReplay,
    /// A vote is never written.
    VoteNotPersisted,
    /// That a snapshot replaced the state is not told to the service.
    ResyncNotTold,
    /// A restarted node goes on under the generation of its last life.
    GenerationKept,
    /// A leader answers for its read index without asking a quorum whether it leads still.
    ReadUnconfirmed,
    /// A read does not wait until its replica has applied the read index.
    ReadTooEarly,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::SkipFsync,
        Self::AckBeforeCommit,
        Self::ResumeKeepsEpoch,
        Self::ApplyTwice,
        Self::NoSequenceCheck,
        Self::ReplayByTodaysRooms,
        Self::ExpiryByWallClock,
        Self::StaleResume,
        Self::SnapshotLosesRooms,
        Self::TailDropped,
        Self::SeamOffByOne,
        Self::NodeDownIgnored,
        Self::ExceptIgnoredInReplay,
        Self::VoteNotPersisted,
        Self::ResyncNotTold,
        Self::GenerationKept,
        Self::ReadUnconfirmed,
        Self::ReadTooEarly,
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
            Self::ExpiryByWallClock => "expiry-by-wall-clock",
            Self::StaleResume => "stale-resume",
            Self::SnapshotLosesRooms => "snapshot-loses-rooms",
            Self::TailDropped => "tail-dropped",
            Self::SeamOffByOne => "seam-off-by-one",
            Self::NodeDownIgnored => "node-down-ignored",
            Self::ExceptIgnoredInReplay => "except-ignored-in-replay",
            Self::VoteNotPersisted => "vote-not-persisted",
            Self::ResyncNotTold => "resync-not-told",
            Self::GenerationKept => "generation-kept",
            Self::ReadUnconfirmed => "read-unconfirmed",
            Self::ReadTooEarly => "read-too-early",
        }
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|bug| bug.name() == name)
            .ok_or_else(|| format!("no bug {name}; there are: {}", known()))
    }
}

thread_local! {
    static SELECTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Puts a bug in.
pub fn select(bug: Option<Bug>) {
    SELECTED.set(bug);
}

/// Whether this bug is in.
#[must_use]
pub fn is(bug: Bug) -> bool {
    SELECTED.get() == Some(bug)
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

pub(crate) fn lives(lives: bool) -> bool {
    lives || is(Bug::NodeDownIgnored)
}

pub(crate) fn moved(moved: bool) -> bool {
    moved && !is(Bug::StaleResume)
}

pub(crate) fn next_epoch(old: Epoch, next: Epoch) -> Epoch {
    if is(Bug::ResumeKeepsEpoch) { old } else { next }
}

/// Cluster time becomes what this node's wall clock shows, since the day on which the world began.
pub(crate) fn elapsed_ms(now_ms: u64, elapsed_ms: u32) -> u32 {
    if !is(Bug::ExpiryByWallClock) {
        return elapsed_ms;
    }
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    (wall_ms % DAY_MS).saturating_sub(now_ms).min(u64::from(u32::MAX)) as u32
}

pub(crate) fn loaded(state: &mut State) {
    if is(Bug::SnapshotLosesRooms) {
        state.sessions.lose_rooms();
    }
}
