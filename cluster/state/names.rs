//! Names that are read from a snapshot share their memory again, as they do in the state that it was taken of.
//!
//! A session's name stands in half a dozen tables, its namespace and rooms stand in those of many others. Read one by one,
//! each would be a piece of memory of its own.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::room::RoomKey;

thread_local! {
    /// What has been read so far; `None`: nothing is shared. Only looked up, never walked, so that its random keys show in
    /// nothing; and they are random since clients choose names, and could choose those that a hash without a secret takes
    /// for one. With a tree of a million names the whole snapshot takes a quarter longer.
    static KNOWN: RefCell<Option<HashSet<Arc<str>>>> = const { RefCell::new(None) };
}

/// Runs something that reads a snapshot on this thread.
pub(crate) fn sharing<R>(read: impl FnOnce() -> R) -> R {
    struct Over;
    impl Drop for Over {
        fn drop(&mut self) {
            KNOWN.with_borrow_mut(|known| *known = None);
        }
    }
    KNOWN.with_borrow_mut(|known| *known = Some(HashSet::new()));
    let _over = Over;
    read()
}

/// A name as it is read.
pub(crate) struct Name(Arc<str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
        Ok(Name(KNOWN.with_borrow_mut(|known| match known {
            None => Arc::from(text),
            Some(known) => known.get(text).cloned().unwrap_or_else(|| {
                let name: Arc<str> = Arc::from(text);
                known.insert(Arc::clone(&name));
                name
            }),
        })))
    }
}

impl From<Name> for Arc<str> {
    fn from(Name(name): Name) -> Self {
        name
    }
}

/// A room's key as it is read.
#[derive(serde::Deserialize)]
pub(crate) struct NamePair(Name, Name);

impl From<NamePair> for RoomKey {
    fn from(NamePair(namespace, name): NamePair) -> Self {
        (namespace.into(), name.into())
    }
}

pub(crate) fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    Name::deserialize(deserializer).map(Arc::from)
}

pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    Ok(Option::<Name>::deserialize(deserializer)?.map(Arc::from))
}

pub(crate) fn many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<str>>, D::Error> {
    Ok(Vec::<Name>::deserialize(deserializer)?.into_iter().map(Arc::from).collect())
}
