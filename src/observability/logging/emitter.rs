//! From a record to the queues of all sinks that it goes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::SystemTime;

use super::catalogue::EventType;
use super::filter::{Destinations, LogFilter};
use super::format::Identity;
use super::level::{Category, Level};
use super::line::{Line, Wanted};
use super::masking::Pii;
use super::queue::Queue;
use super::record::Record;
use super::stats::{Stats, add};
use super::timestamp::unix_ms;

/// What goes to a sink; it may be several things, of which each record is written once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// Records of these categories, by [`Category::index`].
    pub(crate) categories: [bool; Category::ALL.len()],
    /// Whatever reaches the error file.
    pub(crate) errors: bool,
}

impl Route {
    pub(crate) const EVERYTHING: Self = Self { categories: [true; Category::ALL.len()], errors: false };

    fn takes(&self, category: Category, destinations: Destinations) -> bool {
        (destinations.log && self.categories.get(category.index()).copied().unwrap_or_default())
            || (destinations.error_file && self.errors)
    }

    /// Both.
    pub(crate) fn or(mut self, other: Self) -> Self {
        for (mine, its) in self.categories.iter_mut().zip(other.categories) {
            *mine |= its;
        }
        self.errors |= other.errors;
        self
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Emitter {
    pub(crate) filter: LogFilter,
    pub(crate) identity: Arc<Identity>,
    pub(crate) wanted: Wanted,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: fn() -> SystemTime,
    /// How much of clients is shown; see [`Self::set_pii`].
    pub(crate) pii: AtomicU8,
    pub(crate) seq: AtomicU64,
    pub(crate) outlets: Vec<Outlet>,
}

/// A sink as those who log see it.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) route: Route,
    /// Whether another formatter writes what goes there.
    pub(crate) is_foreign: bool,
    pub(crate) queue: Arc<Queue>,
}

impl Emitter {
    pub(crate) fn set_pii(&self, pii: Pii) {
        self.pii.store(pii as u8, Ordering::Relaxed);
    }

    pub(crate) fn pii(&self) -> Pii {
        match self.pii.load(Ordering::Relaxed) {
            0 => Pii::Full,
            1 => Pii::Mask,
            _ => Pii::None,
        }
    }

    /// A record of now.
    pub(crate) fn record(&self, event: &'static EventType, level: Level, category: Category) -> Record {
        Record::new(unix_ms((self.clock)()), level, category, event, self.pii())
    }

    /// Counts a record, numbers it and puts it into every queue where it belongs. It never waits.
    pub(crate) fn emit(&self, mut record: Record, destinations: Destinations, is_unknown: bool) {
        self.stats.count(record.category, record.level);
        for (counter, count) in [
            (&self.stats.unknown_event_types, u64::from(is_unknown)),
            (&self.stats.secrets_hidden, u64::from(record.secrets_hidden())),
            (&self.stats.fields_dropped, record.fields_dropped()),
        ] {
            if count > 0 {
                add(counter, count);
            }
        }
        record.seq = Some(self.seq.fetch_add(1, Ordering::Relaxed) + 1);
        let mut line = None;
        for outlet in &self.outlets {
            if !outlet.is_foreign && outlet.route.takes(record.category, destinations) {
                let line = line.get_or_insert_with(|| Line::new(&record, &self.identity, self.wanted));
                outlet.queue.push(line.clone());
            }
        }
    }

    /// A line of another formatter, for the log.
    pub(crate) fn emit_foreign(&self, text: String) {
        let line = Line::foreign(text);
        for outlet in self.outlets.iter().filter(|outlet| outlet.is_foreign) {
            outlet.queue.push(line.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_takes_its_categories_and_the_errors() {
        let mut security = Route::default();
        security.categories[Category::Security.index()] = true;
        let errors = Route { errors: true, ..Route::default() };
        let (log, error) =
            (Destinations { log: true, error_file: false }, Destinations { log: false, error_file: true });
        assert!(security.takes(Category::Security, log) && !security.takes(Category::System, log));
        assert!(!security.takes(Category::Security, error));
        assert!(errors.takes(Category::System, error) && !errors.takes(Category::System, log));
        let both = security.or(errors);
        assert!(both.takes(Category::System, error) && both.takes(Category::Security, log));
        assert!(!both.takes(Category::System, log));
        assert!(Route::EVERYTHING.takes(Category::System, log));
    }
}
