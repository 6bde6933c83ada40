//! Planted bugs of the replicated state.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use vedfolnir_planted::{Bug, is};

use crate::identifier::{Epoch, LogPosition};
use crate::state::State;

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

pub(crate) fn expected(met: bool) -> bool {
    met || is(Bug::CompareAndSetIgnored)
}

pub(crate) fn foreign(foreign: bool) -> bool {
    foreign && !is(Bug::OwnerUnchecked)
}

/// Whether the session had all the resumes that it gets.
pub(crate) fn is_spent(epoch: Epoch) -> bool {
    is(Bug::ResumeOnlyOnce) && epoch > 1
}

pub(crate) fn is_hole_not_said() -> bool {
    is(Bug::HoleNotSaid)
}

pub(crate) fn next_epoch(old: Epoch, next: Epoch) -> Epoch {
    if is(Bug::ResumeKeepsEpoch) { old } else { next }
}

/// Cluster time goes on by what the wall clock shows since this process looked at it first.
pub(crate) fn elapsed_ms(now_ms: u64, elapsed_ms: u32) -> u32 {
    static BEGAN_MS: OnceLock<u64> = OnceLock::new();
    if !is(Bug::ExpiryByWallClock) {
        return elapsed_ms;
    }
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let began_ms = *BEGAN_MS.get_or_init(|| wall_ms.saturating_sub(now_ms));
    wall_ms.saturating_sub(began_ms).saturating_sub(now_ms).min(u64::from(u32::MAX)) as u32
}

pub(crate) fn loaded(state: &mut State) {
    if is(Bug::SnapshotLosesRooms) {
        state.sessions.lose_rooms();
    }
}
