//! Events from clients by name: only those that the operator listed have a counter of their own, so that clients cannot
//! make series.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of all events that have no counter of their own.
const REST: &str = "other";

/// Counters by event name. Invariant: `counts` has one more place than there are names, for all other events.
#[derive(Debug)]
pub struct EventCounts {
    places: HashMap<Arc<str>, usize>,
    counts: Box<[AtomicU64]>,
}

impl Default for EventCounts {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl EventCounts {
    /// Counters for these names, and one for the rest.
    #[must_use]
    pub fn of(names: &[Arc<str>]) -> Self {
        let mut places = HashMap::new();
        // The rest has that name already.
        for name in names.iter().filter(|name| &***name != REST) {
            let next = places.len();
            places.entry(Arc::clone(name)).or_insert(next);
        }
        let counts = std::iter::repeat_with(AtomicU64::default).take(places.len() + 1).collect();
        Self { places, counts }
    }

    /// One more.
    pub(crate) fn count(&self, event: &str) {
        let rest = self.places.len();
        let place = if rest == 0 { 0 } else { self.places.get(event).copied().unwrap_or(rest) };
        self.counts[place].fetch_add(1, Ordering::Relaxed);
    }

    /// Each name with its count, sorted; the rest last, as `other`.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, u64)> {
        let of = |place: usize| self.counts[place].load(Ordering::Relaxed);
        let mut all: Vec<_> = self.places.iter().map(|(name, place)| (Arc::clone(name), of(*place))).collect();
        all.sort_unstable();
        all.push((Arc::from(REST), of(self.places.len())));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_events_are_counted_apart_and_others_together() {
        let counts = EventCounts::of(&["move".into(), "chat".into(), "move".into(), "other".into()]);
        for event in ["chat", "move", "chat", "x1", "x2"] {
            counts.count(event);
        }
        let all: Vec<(String, u64)> = counts.all().into_iter().map(|(name, count)| (name.to_string(), count)).collect();
        assert_eq!(all, [("chat".to_owned(), 2), ("move".to_owned(), 1), ("other".to_owned(), 2)]);
    }

    #[test]
    fn without_a_list_everything_is_other() {
        let counts = EventCounts::default();
        (0..1000).for_each(|number| counts.count(&format!("random-{number}")));
        assert_eq!(counts.all(), [(Arc::from("other"), 1000)]);
    }
}
