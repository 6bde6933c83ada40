//! When this leader was handed the batches that it has not applied yet: what a trace needs to show how long a commit took.
//!
//! Off unless traces are on: then a batch's first bytes are looked at as it is handed to Raft, and once more when it is
//! applied.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use vedfolnir_state::{Origin, origin_of};

/// Batches that are remembered; beyond it the oldest is forgotten, and its trace says nothing of the leader.
const BATCHES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    is_on: AtomicBool,
    batches: Mutex<VecDeque<(Origin, Instant)>>,
}

impl Arrivals {
    /// From now on batches are remembered.
    pub(crate) fn turn_on(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// A batch is about to be handed to Raft.
    pub(crate) fn note(&self, batch: &[u8], now: Instant) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let Some(origin @ Origin::Node { .. }) = origin_of(batch) else { return };
        let mut batches = self.batches.lock();
        if batches.len() >= BATCHES_MAX {
            batches.pop_front();
        }
        batches.push_back((origin, now));
    }

    /// A batch was applied: when it came, if it came here. One that was sent twice came when it came first.
    pub(crate) fn take(&self, origin: Origin) -> Option<Instant> {
        if !self.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let mut batches = self.batches.lock();
        let came = batches.iter().find(|(known, _)| *known == origin).map(|(_, at)| *at)?;
        batches.retain(|(known, _)| *known != origin);
        Some(came)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vedfolnir_state::{Command, Format, Incarnation, Proposal, encode_proposal};

    use super::*;

    fn batch(first_sequence: u64) -> (Origin, Vec<u8>) {
        let origin = Origin::Node { incarnation: Incarnation { node: u64::MAX, generation: 3 }, first_sequence };
        let commands = vec![Command::Tick { elapsed_ms: 1 }];
        (origin, encode_proposal(Format::NEWEST, &Proposal { origin, commands }).to_vec())
    }

    #[test]
    fn a_batch_came_when_it_came_first() {
        let (arrivals, now) = (Arrivals::default(), Instant::now());
        let (origin, bytes) = batch(7);
        arrivals.note(&bytes, now);
        assert_eq!(arrivals.take(origin), None, "nothing is remembered while it is off");
        arrivals.turn_on();
        arrivals.note(&bytes, now);
        arrivals.note(&bytes, now + Duration::from_secs(1));
        arrivals.note(&batch(8).1, now);
        arrivals.note(b"no batch", now);
        assert_eq!(arrivals.take(origin), Some(now));
        assert_eq!(arrivals.take(origin), None, "it is forgotten once it was applied");
        assert_eq!(arrivals.take(batch(9).0), None);
        assert_eq!(arrivals.take(batch(8).0), Some(now));
    }

    #[test]
    fn a_leader_that_never_applies_what_it_was_handed_forgets() {
        let (arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.turn_on();
        for sequence in 0..=BATCHES_MAX as u64 {
            arrivals.note(&batch(sequence).1, now);
        }
        assert_eq!(arrivals.take(batch(0).0), None);
        assert_eq!(arrivals.take(batch(1).0), Some(now));
        assert_eq!(arrivals.batches.lock().len(), BATCHES_MAX - 1);
    }
}
