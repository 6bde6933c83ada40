//! Whether the runtime turns: a task ticks, and a thread beside the runtime looks whether it does.
//!
//! When every thread of the runtime is blocked nothing answers, not even `/live`, which is what orchestrators restart by; the
//! log, which has threads of its own, says why.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::tenths;

/// Between two ticks.
const TICK_EVERY: Duration = Duration::from_millis(250);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks in a row without a tick are a stall. Looks, and not time: a process that was stopped as a whole is not stuck.
const LOOKS_MAX: u32 = 5;

/// What it counts.
#[derive(Debug, Default)]
pub struct Watchdog {
    ticks: AtomicU64,
    /// Times that the runtime stood still.
    pub stalls_total: AtomicU64,
}

/// Ticks and looks until `stop`.
pub(crate) fn start(watchdog: &Arc<Watchdog>, stop: CancellationToken) {
    let (ticking, ends) = (Arc::clone(watchdog), stop.clone());
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(TICK_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => ticking.ticks.fetch_add(1, Ordering::Relaxed),
                () = ends.cancelled() => return,
            };
        }
    });
    let looking = Arc::downgrade(watchdog);
    let spawned = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || look(&looking, &stop));
    if let Err(error) = spawned {
        tracing::warn!(%error, "there is no thread to watch over the runtime with");
    }
}

fn look(watchdog: &Weak<Watchdog>, stop: &CancellationToken) {
    let (mut last, mut still) = (0, Still::default());
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(watchdog) = watchdog.upgrade().filter(|_| !stop.is_cancelled()) else { return };
        let ticks = watchdog.ticks.load(Ordering::Relaxed);
        match still.looked(ticks != last) {
            Some(Word::Stalled) => {
                watchdog.stalls_total.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    event_type = "runtime_stalled",
                    duration_ms = tenths(LOOK_EVERY * LOOKS_MAX),
                    "no task of the process has run for a while: every thread of the runtime is blocked"
                );
            }
            Some(Word::Turns(looks)) => tracing::warn!(
                event_type = "runtime_turns",
                duration_ms = tenths(LOOK_EVERY * looks),
                "tasks of the process run again"
            ),
            None => {}
        }
        last = ticks;
    }
}

/// Looks in a row that saw no tick.
#[derive(Default)]
struct Still(u32);

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Stalled,
    /// After so many looks.
    Turns(u32),
}

impl Still {
    fn looked(&mut self, ticked: bool) -> Option<Word> {
        if ticked {
            let looks = std::mem::take(&mut self.0);
            return (looks >= LOOKS_MAX).then_some(Word::Turns(looks));
        }
        self.0 = self.0.saturating_add(1);
        (self.0 == LOOKS_MAX).then_some(Word::Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_told_once_and_its_end_once() {
        let mut still = Still::default();
        let mut look = |ticked| still.looked(ticked);
        assert!((0..10).all(|_| look(true).is_none()));
        assert!((1..LOOKS_MAX).all(|_| look(false).is_none()));
        assert_eq!(look(true), None, "it was only slow");
        assert!((1..LOOKS_MAX).all(|_| look(false).is_none()));
        assert_eq!(look(false), Some(Word::Stalled));
        assert!((0..10).all(|_| look(false).is_none()));
        assert_eq!(look(true), Some(Word::Turns(LOOKS_MAX + 10)));
        assert_eq!(look(true), None);
    }
}
