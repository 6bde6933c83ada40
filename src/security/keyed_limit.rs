//! A rate limit for each of many keys (clients' addresses, users), in a table of bounded size.
//!
//! A full bucket is the same as none, so a key that was idle for long enough takes no place. When the table is full of
//! keys that are not idle, newcomers share one bucket of their own, and the answer says so: neither does a flood of
//! addresses switch the limit off, nor does it lock everybody else out at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::rate_limit::{Decision, Rate};

/// From one search for idle keys in a full table to the next: the search looks at every key.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// A limit per key. One short lock, taken per connection or handshake, never per message.
#[derive(Debug)]
pub struct KeyedLimiter<K> {
    rate: Rate,
    overflow_rate: Rate,
    keys_max: usize,
    epoch: Instant,
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    /// Nanoseconds from the epoch to the instant at which a key's bucket is full again.
    full_at: HashMap<K, u64>,
    overflow_full_at: u64,
    sweep_from: u64,
}

/// The answer of a limit per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct KeyedDecision {
    /// Whether it may happen.
    pub decision: Decision,
    /// The table is full, and the key was judged together with all others that have no place: worth a count.
    pub table_full: bool,
}

impl<K: Eq + Hash> KeyedLimiter<K> {
    /// A limit of `rate` for each of `keys_max` keys, and of `overflow_rate` for all others together. `epoch` is any
    /// instant not after the first call of [`Self::take`].
    #[must_use]
    pub fn new(rate: Rate, overflow_rate: Rate, keys_max: usize, epoch: Instant) -> Self {
        let table = Table { full_at: HashMap::new(), overflow_full_at: 0, sweep_from: 0 };
        Self { rate, overflow_rate, keys_max, epoch, table: Mutex::new(table) }
    }

    /// Takes one token of `key`'s.
    pub fn take(&self, key: K, now: Instant) -> KeyedDecision {
        let now = nanos(now.saturating_duration_since(self.epoch));
        let mut table = self.table.lock();
        let known = table.full_at.contains_key(&key);
        if !known && table.full_at.len() >= self.keys_max && now >= table.sweep_from {
            table.full_at.retain(|_, full_at| *full_at > now);
            table.sweep_from = now.saturating_add(nanos(SWEEP_PAUSE));
        }
        if !known && table.full_at.len() >= self.keys_max {
            let decision = take(&self.overflow_rate, &mut table.overflow_full_at, now);
            return KeyedDecision { decision, table_full: true };
        }
        let decision = take(&self.rate, table.full_at.entry(key).or_insert(0), now);
        KeyedDecision { decision, table_full: false }
    }

    /// What [`KeyedLimiter::take`] would say now; nothing is taken.
    pub fn peek(&self, key: &K, now: Instant) -> Decision {
        let now = nanos(now.saturating_duration_since(self.epoch));
        let table = self.table.lock();
        let (rate, full_at) = match table.full_at.get(key) {
            Some(full_at) => (&self.rate, *full_at),
            None if table.full_at.len() < self.keys_max => return Decision::Allowed,
            None => (&self.overflow_rate, table.overflow_full_at),
        };
        take(rate, &mut { full_at }, now)
    }

    /// Keys in the table, idle ones that nobody needed the place of among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().full_at.len()
    }

    /// Whether no key is in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn take(rate: &Rate, full_at: &mut u64, now: u64) -> Decision {
    match rate.take(full_at.saturating_sub(now), 1) {
        Ok(then) => {
            *full_at = now.saturating_add(then);
            Decision::Allowed
        }
        Err(wait) => Decision::Limited { retry_after: Duration::from_nanos(wait) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(keys_max: usize, epoch: Instant) -> KeyedLimiter<u32> {
        KeyedLimiter::new(Rate::per_second(1, 2).unwrap(), Rate::per_second(1, 3).unwrap(), keys_max, epoch)
    }

    fn allowed(limiter: &KeyedLimiter<u32>, key: u32, now: Instant) -> (bool, bool) {
        let answer = limiter.take(key, now);
        (answer.decision.is_allowed(), answer.table_full)
    }

    #[test]
    fn every_key_has_its_own_bucket() {
        let now = Instant::now();
        let limiter = limiter(10, now);
        for key in 0..3 {
            assert_eq!([0; 3].map(|_| allowed(&limiter, key, now).0), [true, true, false]);
        }
        assert_eq!(limiter.take(0, now).decision, Decision::Limited { retry_after: SECOND });
        assert_eq!(allowed(&limiter, 0, now + SECOND), (true, false));
        assert_eq!(allowed(&limiter, 0, now + SECOND), (false, false));
    }

    #[test]
    fn a_look_says_what_taking_would_and_takes_nothing() {
        let now = Instant::now();
        let limiter = limiter(1, now);
        for at in [now, now + SECOND] {
            while limiter.peek(&1, at).is_allowed() {
                assert!(limiter.peek(&1, at).is_allowed() && limiter.take(1, at).decision.is_allowed());
            }
            assert_eq!(limiter.peek(&1, at), limiter.take(1, at).decision);
        }
        // One whose place is taken looks at what it would share.
        assert_eq!(
            [0; 4].map(|_| allowed(&limiter, 2, now + SECOND)).map(|(allowed, _)| allowed),
            [true, true, true, false]
        );
        assert_eq!(limiter.peek(&3, now + SECOND), Decision::Limited { retry_after: SECOND });
    }

    #[test]
    fn idle_keys_make_room() {
        let now = Instant::now();
        let limiter = limiter(2, now);
        assert!(allowed(&limiter, 1, now).0 && allowed(&limiter, 2, now).0);
        let later = now + SECOND;
        assert_eq!(allowed(&limiter, 3, later), (true, false));
        assert_eq!(limiter.len(), 1);
        // What left the table had a full bucket, and comes back with one.
        assert_eq!([0; 3].map(|_| allowed(&limiter, 1, later).0), [true, true, false]);
    }

    #[test]
    fn a_table_full_of_busy_keys_makes_newcomers_share_a_bucket() {
        let now = Instant::now();
        let limiter = limiter(2, now);
        for key in [1, 1, 2, 2] {
            assert_eq!(allowed(&limiter, key, now), (true, false));
        }
        let shared: Vec<_> = (10..14).map(|key| allowed(&limiter, key, now)).collect();
        assert_eq!(shared, [(true, true), (true, true), (true, true), (false, true)]);
        assert_eq!(limiter.len(), 2);
        // Those in the table are judged as ever.
        assert_eq!(allowed(&limiter, 1, now), (false, false));
        assert_eq!(allowed(&limiter, 1, now + SECOND), (true, false));
    }

    #[test]
    fn a_full_table_is_searched_now_and_then_only() {
        let now = Instant::now();
        let limiter = limiter(1, now);
        assert!(allowed(&limiter, 1, now).0);
        let almost = now + SECOND - Duration::from_nanos(1);
        assert_eq!(allowed(&limiter, 2, almost), (true, true));
        // The key is idle now, but the search was a moment ago.
        assert_eq!(allowed(&limiter, 2, now + SECOND), (true, true));
        assert_eq!(allowed(&limiter, 2, almost + SWEEP_PAUSE), (true, false));
    }

    #[test]
    fn a_table_without_room_still_limits() {
        let now = Instant::now();
        let limiter = limiter(0, now);
        assert_eq!([1, 2, 3, 4].map(|key| allowed(&limiter, key, now).0), [true, true, true, false]);
        assert!(limiter.is_empty());
    }
}
