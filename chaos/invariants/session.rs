//! I3, acknowledged session: a session whose CONNECT was acknowledged can be taken up again in its window, with the same sid. Its
//! rooms are judged with the deliveries (I2): a session that lost one would miss messages. Who has missed more than is kept is
//! to be told so instead.

use super::hole::Holes;
use super::{Bounds, Finding};
use crate::record::Record;

pub(super) fn judge(record: &Record, bounds: &Bounds, holes: &Holes) -> Finding {
    let mut finding =
        Finding::new("I3", "an acknowledged session can be taken up again on any node with a quorum, in its window");
    let (mut resumed, mut with_holes) = (0_u64, 0_u64);
    for listener in &record.listeners {
        let mut hole_of_session = holes.of_sessions(listener).into_iter();
        for pair in listener.connects.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            // The latest end of the connection before that the client knows of.
            let broke = listener
                .disconnects
                .iter()
                .map(|disconnect| disconnect.at)
                .filter(|at| (before.at..=after.at).contains(at))
                .max()
                .unwrap_or(before.at);
            if after.recovered && after.sid == before.sid {
                resumed += 1;
                continue;
            }
            let hole = if after.recovered { None } else { hole_of_session.next().flatten() };
            if hole.is_some() {
                with_holes += 1;
            } else if after.began.saturating_sub(broke) < bounds.recovery_window {
                finding.broken(|| {
                    let after_s = after.at.saturating_sub(record.began) / crate::clock::SECOND;
                    let what = if after.recovered { "came back under another sid" } else { "was not recovered" };
                    format!("{}: session {} {what} {after_s} s into the run", listener.name, before.sid)
                });
            }
        }
    }
    finding.checked = format!("{resumed} of {} sessions were taken up again", resumed + finding.violations);
    if with_holes > 0 {
        finding.checked += &format!("; {with_holes} had missed more than is kept, and were told so");
    }
    finding
}
