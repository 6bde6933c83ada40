//! How many connections one key (a client's address, a user) has at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;

/// Why one more may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The key has its share.
    #[error("{max} connections at once are open already")]
    KeyFull {
        /// The share.
        max: u32,
    },
    /// As many keys as the table may hold are connected.
    #[error("{keys_max} clients at once are connected already")]
    TableFull {
        /// The bound of the table.
        keys_max: usize,
    },
}

/// Counts of what is inside, by key; cheap to clone. A key takes a place only while something of it is inside.
#[derive(Debug)]
pub struct Concurrent<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Concurrent<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<K> {
    keys_max: usize,
    inside: Mutex<HashMap<K, u32>>,
}

impl<K: Clone + Eq + Hash> Concurrent<K> {
    /// For up to `keys_max` keys at once: choose no less than the connections that the node takes, and it never is the
    /// table that refuses.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        Self { shared: Arc::new(Shared { keys_max, inside: Mutex::new(HashMap::new()) }) }
    }

    /// Lets one more of `key` in, if fewer than `max` are inside. It leaves when the guard is dropped.
    ///
    /// # Errors
    /// [`Refused`]; nothing is counted then.
    pub fn try_enter(&self, key: K, max: u32) -> Result<Guard<K>, Refused> {
        let keys_max = self.shared.keys_max;
        let mut inside = self.shared.inside.lock();
        let present = inside.get(&key).copied().unwrap_or(0);
        if present >= max {
            return Err(Refused::KeyFull { max });
        }
        if present == 0 && inside.len() >= keys_max {
            return Err(Refused::TableFull { keys_max });
        }
        inside.insert(key.clone(), present + 1);
        drop(inside);
        Ok(Guard { shared: Arc::clone(&self.shared), key })
    }

    /// How many of `key` are inside.
    #[must_use]
    pub fn inside(&self, key: &K) -> u32 {
        self.shared.inside.lock().get(key).copied().unwrap_or(0)
    }

    /// Keys of which something is inside.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shared.inside.lock().len()
    }
}

/// One that is inside, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Guard<K: Eq + Hash> {
    shared: Arc<Shared<K>>,
    key: K,
}

impl<K: Eq + Hash> Drop for Guard<K> {
    fn drop(&mut self) {
        let mut inside = self.shared.inside.lock();
        if let Some(present) = inside.get_mut(&self.key) {
            *present -= 1;
            if *present == 0 {
                inside.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_share_are_inside_at_once() {
        let connections = Concurrent::new(10);
        let first = connections.try_enter("a", 2).unwrap();
        let second = connections.clone().try_enter("a", 2).unwrap();
        assert_eq!(connections.try_enter("a", 2).unwrap_err(), Refused::KeyFull { max: 2 });
        let other = connections.try_enter("b", 2).unwrap();
        assert_eq!((connections.inside(&"a"), connections.inside(&"b"), connections.keys()), (2, 1, 2));
        drop(first);
        let third = connections.try_enter("a", 2).unwrap();
        assert!(connections.try_enter("a", 2).is_err());
        drop((second, third, other));
        assert_eq!((connections.inside(&"a"), connections.keys()), (0, 0));
    }

    #[test]
    fn a_full_table_refuses_new_keys_only() {
        let connections = Concurrent::new(1);
        let first = connections.try_enter("a", 9).unwrap();
        let second = connections.try_enter("a", 9).unwrap();
        assert_eq!(connections.try_enter("b", 9).unwrap_err(), Refused::TableFull { keys_max: 1 });
        drop(first);
        assert!(connections.try_enter("b", 9).is_err());
        drop(second);
        assert!(connections.try_enter("b", 9).is_ok());
    }

    #[test]
    fn a_share_of_nothing_lets_nobody_in() {
        let connections = Concurrent::new(1);
        assert_eq!(connections.try_enter("a", 0).unwrap_err(), Refused::KeyFull { max: 0 });
        assert_eq!(connections.keys(), 0);
    }

    #[test]
    fn threads_that_come_and_go_leave_nothing_behind() {
        let connections = Concurrent::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..500_u32 {
                        let entered = connections.try_enter(turn % 3, 2);
                        assert!(connections.inside(&(turn % 3)) <= 2);
                        drop(entered);
                    }
                });
            }
        });
        assert_eq!(connections.keys(), 0);
    }
}
