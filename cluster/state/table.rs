//! Reads tables of a snapshot one entry at a time, so that they come out about as dense as those that grew.
//!
//! Entries arrive in order. A B-tree that takes them in as they come splits its last leaf again and again and leaves each
//! half full for good. Every third entry is held back for a little while instead, until the leaf that it belongs to has
//! been split off, and fills it to three quarters; the rest is room for what comes later.
//!
//! What a table announces of its length is not believed: imbl's own readers take memory for all of it at once, and a few
//! bytes can announce four billion entries.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use imbl::{OrdMap, OrdSet};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Entries that are held back at most: more than what two leaves take.
const LATE_ENTRIES_MAX: usize = 96;

/// Reads a map whose keys are read as `R`.
pub(crate) fn map_of<'de, D, R, K, V>(deserializer: D) -> Result<OrdMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    R: Deserialize<'de> + Into<K>,
    K: Ord + Clone,
    V: Deserialize<'de> + Clone,
{
    deserializer.deserialize_map(MapVisitor::<R, V, K, V>(PhantomData))
}

/// Reads a map.
pub(crate) fn map<'de, D, K, V>(deserializer: D) -> Result<OrdMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + Clone,
    V: Deserialize<'de> + Clone,
{
    map_of::<D, K, K, V>(deserializer)
}

/// Reads a map of sets.
pub(crate) fn map_of_sets<'de, D, K, T>(deserializer: D) -> Result<OrdMap<K, OrdSet<T>>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + Clone,
    T: Deserialize<'de> + Ord + Clone,
{
    deserializer.deserialize_map(MapVisitor::<K, InMap<T>, K, OrdSet<T>>(PhantomData))
}

/// A set as [`set`] reads it.
#[derive(serde::Deserialize)]
#[serde(transparent, bound = "T: Deserialize<'de> + Ord + Clone")]
struct InMap<T: Ord>(#[serde(deserialize_with = "set")] OrdSet<T>);

impl<T: Ord> From<InMap<T>> for OrdSet<T> {
    fn from(InMap(set): InMap<T>) -> Self {
        set
    }
}

/// Reads a set.
pub(crate) fn set<'de, D, K>(deserializer: D) -> Result<OrdSet<K>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + Clone,
{
    deserializer.deserialize_seq(SetVisitor(PhantomData))
}

/// Takes entries in, in order.
struct Filling<T> {
    late: VecDeque<T>,
    count: usize,
}

impl<T> Filling<T> {
    fn new() -> Self {
        Self { late: VecDeque::with_capacity(LATE_ENTRIES_MAX + 1), count: 0 }
    }

    /// What goes in now, in the place of an entry that is held back.
    fn push(&mut self, entry: T) -> Option<T> {
        self.count += 1;
        if !self.count.is_multiple_of(3) {
            return Some(entry);
        }
        self.late.push_back(entry);
        if self.late.len() > LATE_ENTRIES_MAX { self.late.pop_front() } else { None }
    }
}

/// Of a map whose keys are read as `R` and values as `S`.
struct MapVisitor<R, S, K, V>(PhantomData<(R, S, K, V)>);

impl<'de, R, S, K, V> Visitor<'de> for MapVisitor<R, S, K, V>
where
    R: Deserialize<'de> + Into<K>,
    S: Deserialize<'de> + Into<V>,
    K: Ord + Clone,
    V: Clone,
{
    type Value = OrdMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let (mut map, mut filling) = (OrdMap::new(), Filling::new());
        while let Some((key, value)) = access.next_entry::<R, S>()? {
            if let Some((key, value)) = filling.push((key.into(), value.into())) {
                map.insert(key, value);
            }
        }
        map.extend(filling.late);
        Ok(map)
    }
}

struct SetVisitor<K>(PhantomData<K>);

impl<'de, K: Deserialize<'de> + Ord + Clone> Visitor<'de> for SetVisitor<K> {
    type Value = OrdSet<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let (mut set, mut filling) = (OrdSet::new(), Filling::new());
        while let Some(key) = access.next_element()? {
            if let Some(key) = filling.push(key) {
                set.insert(key);
            }
        }
        set.extend(filling.late);
        Ok(set)
    }
}
