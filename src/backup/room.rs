//! How much is free where backups are kept: asked again and again by one thread at most, so that whoever wants to know never
//! waits for a mount that hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Backups;

const ASK_EVERY: Duration = Duration::from_secs(5);
/// An answer that is older is none: the place has not answered since.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(30);

/// The last answer.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Option<(Instant, u64)>>);

impl Room {
    pub(super) fn free_bytes(&self, now: Instant) -> Option<u64> {
        let (answered, bytes) = (*self.0.lock())?;
        (now.saturating_duration_since(answered) <= ANSWER_AGE_MAX).then_some(bytes)
    }

    fn answer(&self, now: Instant, bytes: Option<u64>) {
        *self.0.lock() = bytes.map(|bytes| (now, bytes));
    }
}

/// Asks until `stop`.
pub(crate) async fn run(backups: Arc<Backups>, stop: CancellationToken) {
    let Some(location) = backups.location() else { return };
    let mut times = tokio::time::interval(ASK_EVERY);
    times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = times.tick() => {}
            () = stop.cancelled() => return,
        }
        let location = Arc::clone(&location);
        let asked = tokio::task::spawn_blocking(move || location.free_bytes());
        tokio::select! {
            answer = asked => backups.room.answer(Instant::now(), answer.ok().flatten()),
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_while_and_no_answer_takes_it_back() {
        let (room, start) = (Room::default(), Instant::now());
        assert_eq!(room.free_bytes(start), None);
        room.answer(start, Some(7));
        assert_eq!(room.free_bytes(start + ANSWER_AGE_MAX), Some(7));
        assert_eq!(room.free_bytes(start + ANSWER_AGE_MAX + Duration::from_secs(1)), None, "the place hangs");
        room.answer(start, None);
        assert_eq!(room.free_bytes(start), None);
    }
}
