//! Dynamic namespaces of a node: which names are alive, and how many there may be.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::namespace::{Behaviour, Namespace};
use super::pattern::{NamespaceParams, NamespacePattern};

/// Names of dynamic namespaces that a node has clients in, unless
/// [`AppBuilder::dynamic_namespaces_max`](super::AppBuilder::dynamic_namespaces_max) says otherwise.
pub const DYNAMIC_NAMESPACES_MAX: usize = 10_000;

/// The patterns, in their order, and the names that are alive.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    patterns: Vec<(NamespacePattern, Arc<Behaviour>)>,
    live: Arc<Live>,
}

/// Invariant: a name is in it as long as somebody holds its namespace, and at most `names_max` are.
pub(super) struct Live {
    names: Mutex<HashMap<Arc<str>, Weak<Namespace>>>,
    names_max: usize,
    /// Whether it was said that there is no room for more, since there last was.
    told_full: AtomicBool,
}

/// There is no room for one more name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Dynamic {
    pub(super) fn new(patterns: Vec<(NamespacePattern, Arc<Behaviour>)>, names_max: usize) -> Self {
        Self { patterns, live: Arc::new(Live { names_max, ..Live::default() }) }
    }

    fn find(&self, name: &str) -> Option<(NamespaceParams, &NamespacePattern, &Arc<Behaviour>)> {
        self.patterns.iter().find_map(|(pattern, behaviour)| Some((pattern.matches(name)?, pattern, behaviour)))
    }

    /// Whether the name is one of its, alive or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// What the name is counted under.
    pub(super) fn label(&self, name: &str) -> Option<&Arc<str>> {
        self.find(name).map(|(_, pattern, _)| pattern.label())
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &Arc<str>> {
        self.patterns.iter().map(|(pattern, _)| pattern.label())
    }

    /// The namespace of that name, which lives as long as it is held; `None`: no pattern has it.
    pub(super) fn enter(&self, name: &str) -> Option<Result<Arc<Namespace>, Full>> {
        if let Some(alive) = self.live.names.lock().get(name).and_then(Weak::upgrade) {
            return Some(Ok(alive));
        }
        let (params, _, behaviour) = self.find(name)?;
        Some(self.live.begin(name.into(), params, Arc::clone(behaviour)))
    }
}

impl Live {
    fn begin(
        self: &Arc<Self>,
        name: Arc<str>,
        params: NamespaceParams,
        behaviour: Arc<Behaviour>,
    ) -> Result<Arc<Namespace>, Full> {
        let mut names = self.names.lock();
        // Somebody else may have begun it meanwhile.
        let known = names.get(&name);
        if let Some(alive) = known.and_then(Weak::upgrade) {
            return Ok(alive);
        }
        // One that is about to be forgotten makes room for its successor.
        if known.is_none() && names.len() >= self.names_max {
            if !self.told_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    names_max = self.names_max,
                    "clients are refused further dynamic namespaces; raise `dynamic_namespaces_max` if they are meant"
                );
            }
            return Err(Full);
        }
        let namespace = Arc::new(Namespace::dynamic(Arc::clone(&name), params, behaviour, Arc::clone(self)));
        names.insert(name, Arc::downgrade(&namespace));
        Ok(namespace)
    }

    /// Nobody holds a namespace of that name any more, unless one has been begun anew.
    pub(super) fn ended(&self, name: &str) {
        let mut names = self.names.lock();
        if names.get(name).is_some_and(|namespace| namespace.strong_count() == 0) {
            names.remove(name);
            self.told_full.store(false, Ordering::Relaxed);
            if names.capacity() > 64 && names.len() < names.capacity() / 4 {
                names.shrink_to_fit();
            }
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { names: Mutex::default(), names_max: DYNAMIC_NAMESPACES_MAX, told_full: AtomicBool::new(false) }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("names_max", &self.names_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{App, NoNamespace};

    fn app() -> App {
        App::builder()
            .namespace("/tenant-0", |ns| ns.recovery(false))
            .dynamic_namespace("/tenant-{id}".parse().unwrap(), |ns| ns)
            .dynamic_namespace("/{any}".parse().unwrap(), |ns| ns.recovery(false))
            .dynamic_namespaces_max(2)
            .build()
    }

    #[test]
    fn a_name_is_the_first_patterns_that_has_it_unless_it_is_static() {
        let app = app();
        assert!(!app.enter("/tenant-0").unwrap().recovery());
        let seven = app.enter("/tenant-7").unwrap();
        assert!(seven.recovery());
        assert_eq!((seven.name(), seven.params().get("id")), ("/tenant-7", Some("7")));
        assert!(std::sync::Arc::ptr_eq(&seven, &app.enter("/tenant-7").unwrap()), "one while it lives");
        assert!(!app.enter("/other").unwrap().recovery());
        assert_eq!(app.enter("/a/b").unwrap_err(), NoNamespace::Unknown);
    }

    #[test]
    fn names_are_bounded_as_long_as_they_are_alive() {
        let app = app();
        let held = [app.enter("/tenant-1").unwrap(), app.enter("/x").unwrap()];
        assert_eq!(app.enter("/tenant-2").unwrap_err(), NoNamespace::Full);
        app.enter("/tenant-1").unwrap();
        app.enter("/tenant-0").unwrap();
        drop(held);
        let held: Vec<_> = ["/tenant-2", "/tenant-3"].iter().map(|name| app.enter(name).unwrap()).collect();
        assert_eq!(app.enter("/tenant-1").unwrap_err(), NoNamespace::Full);
        drop(held);
    }

    #[test]
    fn what_is_emitted_to_needs_no_client_there_and_metrics_see_one_namespace_for_each_pattern() {
        let app = app();
        assert!(app.has("/tenant-99") && app.has("/tenant-0") && !app.has("/a/b"));
        assert!(!app.has(&format!("/tenant-{}", "9".repeat(256))), "longer than a name may be");
        let label = |name: &str| app.label(&name.into()).to_string();
        assert_eq!(label("/tenant-99"), "/tenant-{id}");
        assert_eq!(label("/tenant-0"), "/tenant-0");
        assert_eq!(label("/a/b"), "/a/b");
        let mut labels: Vec<String> = app.labels().map(|label| label.to_string()).collect();
        labels.sort();
        assert_eq!(labels, ["/tenant-0", "/tenant-{id}", "/{any}"]);
    }
}
