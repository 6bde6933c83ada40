//! Planted bugs of a socket's outbox, which the simulator runs as well.

use vedfolnir_planted::{Bug, is};

/// Whether a socket that catches up is sent live events all the same.
pub(crate) fn is_seam_doubled() -> bool {
    is(Bug::SeamSendsBoth)
}

/// Whether a chunk of the history is taken for its end.
pub(crate) fn complete(complete: bool) -> bool {
    complete || is(Bug::LiveTooEarly)
}

/// Whether something is left to pull before the socket may go live.
pub(crate) fn behind(behind: bool) -> bool {
    behind && !is(Bug::LiveTooEarly)
}

pub(crate) fn full(full: bool) -> bool {
    full && !is(Bug::SlowReaderUnbounded)
}

pub(crate) fn is_overflow_dropped() -> bool {
    is(Bug::SlowReaderDrops)
}
