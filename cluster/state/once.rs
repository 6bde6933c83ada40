//! The table of idempotency keys: what was published under one is not published again, whoever asks, on whichever node.
//!
//! A key is remembered by the command that publishes under it, in the same step: there is no moment at which one is
//! there and the other is not. Only what was published is remembered; what was refused may be tried again.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::command::PublishOnce;
use crate::format::Format;
use crate::identifier::{Incarnation, LogPosition, Offset};
use crate::limits;
use crate::response::{Refusal, Response};
use crate::state::{Effects, State};
use crate::table;

/// The first 16 bytes of a SHA-256 that names an idempotency key; the key itself stays at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OnceKey(#[serde(with = "serde_bytes")] pub [u8; 16]);

/// The first 16 bytes of a SHA-256 over what was asked for under a key: the same request, or another one?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(#[serde(with = "serde_bytes")] pub [u8; 16]);

/// What was published under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnceView {
    /// What was asked for.
    pub content: ContentHash,
    /// Where it is, in the history in which it was published.
    pub offset: Offset,
}

/// What the table holds; the same on every replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnceStats {
    /// Keys that are remembered.
    pub kept: u64,
    /// Keys that had to go before their time, because there were [`limits::ONCE_KEYS_MAX`].
    pub dropped_total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    key: OnceKey,
    content: ContentHash,
    at_ms: u64,
}

/// See the module. Invariants: positions ascend with time, so that the first of `kept` is the oldest; `by_key` names for
/// each key the entry of `kept` that has it, and is in no snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Once {
    #[serde(deserialize_with = "table::map")]
    kept: OrdMap<LogPosition, Kept>,
    dropped_total: u64,
    #[serde(skip)]
    by_key: OrdMap<OnceKey, LogPosition>,
}

impl Once {
    /// Nobody has ever used it, so that a snapshot needs no word for it.
    pub(crate) fn is_untouched(&self) -> bool {
        self.kept.is_empty() && self.dropped_total == 0
    }

    /// Derives what no snapshot holds.
    pub(crate) fn index(&mut self) {
        self.by_key = self.kept.iter().map(|(position, kept)| (kept.key, *position)).collect();
    }

    fn get(&self, key: &OnceKey) -> Option<(LogPosition, ContentHash)> {
        let position = self.by_key.get(key)?;
        self.kept.get(position).map(|kept| (*position, kept.content))
    }

    fn remember(&mut self, key: OnceKey, content: ContentHash, position: LogPosition, now_ms: u64) {
        self.kept.insert(position, Kept { key, content, at_ms: now_ms });
        self.by_key.insert(key, position);
        self.prune(now_ms, limits::ONCE_PRUNED_PER_PUBLISH_MAX, limits::ONCE_KEYS_MAX);
    }

    /// Forgets what is too old or too much, oldest first, so many at once.
    pub(crate) fn prune(&mut self, now_ms: u64, pruned_max: usize, keys_max: usize) {
        for _ in 0..pruned_max {
            let Some((oldest, kept)) = self.kept.get_min() else { return };
            let too_old = now_ms.saturating_sub(kept.at_ms) > limits::ONCE_AGE_MS_MAX;
            if !too_old && self.kept.len() <= keys_max {
                return;
            }
            let (oldest, key) = (*oldest, kept.key);
            self.kept.remove(&oldest);
            if self.by_key.get(&key) == Some(&oldest) {
                self.by_key.remove(&key);
            }
            self.dropped_total += u64::from(!too_old);
        }
    }
}

impl State {
    /// Publishes, unless it has been done under this key.
    pub(crate) fn publish_once(&mut self, owner: Incarnation, once: PublishOnce, effects: &mut Effects) -> Response {
        let PublishOnce { publish, key, content } = once;
        // The table has no place in a snapshot of an older format.
        if self.format < Format::MANAGED {
            return Response::Refused(Refusal::NotAllowed);
        }
        match self.once(&key) {
            Some(known) if known.content == content => return Response::Repeated { offset: known.offset },
            Some(_) => return Response::Refused(Refusal::KeyReused),
            None => {}
        }
        let response = self.publish(owner, publish, effects);
        if let Response::Published { position } = response {
            self.once.remember(key, content, position, self.cluster_time_ms());
        }
        response
    }

    /// What was published under a key; `None`: nothing, or it is too long ago.
    #[must_use]
    pub fn once(&self, key: &OnceKey) -> Option<OnceView> {
        let (position, content) = self.once.get(key)?;
        // A restored cluster answers what the lost one answered: clients know the offset by that text.
        let then = self.history.ancestors().iter().find(|ancestor| position <= ancestor.up_to);
        let history_id = then.map_or_else(|| self.history_id().unwrap_or_default(), |ancestor| ancestor.history_id);
        Some(OnceView { content, offset: Offset { history_id, position } })
    }

    /// What the table of idempotency keys holds.
    #[must_use]
    pub fn once_stats(&self) -> OnceStats {
        OnceStats { kept: self.once.kept.len() as u64, dropped_total: self.once.dropped_total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> OnceKey {
        OnceKey([number; 16])
    }

    fn at(index: u64) -> LogPosition {
        LogPosition::new(index, 0)
    }

    fn known(once: &Once) -> Vec<u64> {
        let by_key: Vec<u64> =
            (0..=u8::MAX).filter_map(|number| once.get(&key(number))).map(|(at, _)| at.index).collect();
        assert_eq!(by_key.len(), once.kept.len());
        by_key
    }

    #[test]
    fn what_is_too_old_is_forgotten_step_by_step_and_what_is_too_much_is_counted() {
        let mut once = Once::default();
        assert!(once.is_untouched());
        for number in 1..=5 {
            once.remember(key(number), ContentHash([0; 16]), at(number.into()), u64::from(number) * 10);
        }
        assert_eq!(known(&once), [1, 2, 3, 4, 5]);
        once.prune(30 + limits::ONCE_AGE_MS_MAX, usize::MAX, usize::MAX);
        assert_eq!((known(&once), once.dropped_total), (vec![3, 4, 5], 0), "their time was over, to the millisecond");
        once.prune(30, 1, 1);
        assert_eq!((known(&once), once.dropped_total), (vec![4, 5], 1), "one step at once");
        once.prune(30, usize::MAX, 1);
        assert_eq!((known(&once), once.dropped_total), (vec![5], 2));
        once.prune(u64::MAX, usize::MAX, 1);
        assert!(known(&once).is_empty());
        assert!(!once.is_untouched(), "what was dropped stays counted");
    }

    #[test]
    fn a_table_that_names_a_key_twice_is_survived() {
        let kept = Kept { key: key(1), content: ContentHash([0; 16]), at_ms: 0 };
        let mut once = Once { kept: OrdMap::from_iter([(at(1), kept), (at(2), kept)]), ..Once::default() };
        once.index();
        once.prune(0, 1, 1);
        assert_eq!(known(&once), [2]);
    }
}
