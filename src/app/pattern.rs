//! Names of dynamic namespaces: a text with places that are captured, or a predicate.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use vedfolnir_protocol::socket_io::namespace::NAMESPACE_BYTES_MAX;

/// Which names a dynamic namespace has; see [`AppBuilder::dynamic_namespace`](super::AppBuilder::dynamic_namespace).
///
/// A text such as `/tenant-{id}/room-{room}` is parsed with `"…".parse()`. A place in braces stands for one character or
/// more, none of which is `/`: as few as let the text after it follow. What stands there is captured under its name.
///
/// ```
/// use vedfolnir::app::{BadPattern, NamespacePattern};
///
/// let tenants: NamespacePattern = "/tenant-{id}".parse()?;
/// assert_eq!(tenants.matches("/tenant-7").and_then(|params| params.get("id").map(str::to_owned)).as_deref(), Some("7"));
/// assert!(tenants.matches("/tenant-").is_none() && tenants.matches("/tenant-7/x").is_none());
/// # Ok::<(), BadPattern>(())
/// ```
#[derive(Clone)]
pub struct NamespacePattern {
    label: Arc<str>,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    /// A text, then places, each with the text that follows it.
    Text {
        first: Box<str>,
        places: Arc<[Place]>,
    },
    Predicate(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

struct Place {
    name: Arc<str>,
    followed_by: Box<str>,
}

/// What stood in the places of a pattern; of a static namespace, and of one with a predicate, there is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceParams(Arc<[(Arc<str>, Box<str>)]>);

/// Why a text is no pattern of names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// No name would be one that clients can use.
    #[error("namespace pattern {0:?}: names begin with /, have no comma or ?, and at most {NAMESPACE_BYTES_MAX} bytes")]
    Name(String),
    /// It stands for one name only.
    #[error("namespace pattern {0:?} has no place such as {{id}}; a namespace with one name is added with `namespace`")]
    Static(String),
    /// A brace has no counterpart, or a place no name of letters, digits and underscores, or one that is taken.
    #[error("namespace pattern {0:?}: a place is {{name}}, each with another name of letters, digits and underscores")]
    Place(String),
    /// It is not clear where one ends and the other begins.
    #[error("namespace pattern {0:?}: there must be text between two places")]
    Adjacent(String),
}

impl FromStr for NamespacePattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if !text.starts_with('/') || text.contains([',', '?']) || text.len() > NAMESPACE_BYTES_MAX {
            return Err(BadPattern::Name(text.to_owned()));
        }
        let bad = || BadPattern::Place(text.to_owned());
        let Some((first, rest)) = text.split_once('{') else {
            return Err(if text.contains('}') { bad() } else { BadPattern::Static(text.to_owned()) });
        };
        let mut places: Vec<Place> = Vec::new();
        let mut parts = rest.split('{').peekable();
        while let Some(part) = parts.next() {
            let (name, followed_by) = part.split_once('}').ok_or_else(bad)?;
            let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !named || followed_by.contains('}') || places.iter().any(|place| *place.name == *name) {
                return Err(bad());
            }
            if followed_by.is_empty() && parts.peek().is_some() {
                return Err(BadPattern::Adjacent(text.to_owned()));
            }
            places.push(Place { name: name.into(), followed_by: followed_by.into() });
        }
        if first.contains('}') {
            return Err(bad());
        }
        let matcher = Matcher::Text { first: first.into(), places: places.into() };
        Ok(Self { label: text.into(), matcher })
    }
}

impl NamespacePattern {
    /// All names that a predicate says yes to; it is asked at every CONNECT to a name that is not known otherwise, so it must
    /// be quick and must not wait: who may come in is for
    /// [`NamespaceBuilder::check_connect`](super::NamespaceBuilder::check_connect). Metrics count these namespaces together,
    /// under `label`.
    #[must_use]
    pub fn predicate(label: &str, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { label: label.into(), matcher: Matcher::Predicate(Arc::new(accepts)) }
    }

    /// What its namespaces are counted under: its text, or the label of a predicate.
    #[must_use]
    pub const fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What is captured, if the name is one of its.
    #[must_use]
    pub fn matches(&self, name: &str) -> Option<NamespaceParams> {
        match &self.matcher {
            Matcher::Predicate(accepts) => accepts(name).then(NamespaceParams::default),
            Matcher::Text { first, places } => {
                let mut rest = name.strip_prefix(&**first)?;
                let mut params = Vec::with_capacity(places.len());
                for (index, Place { name, followed_by }) in places.iter().enumerate() {
                    let value = if index + 1 == places.len() {
                        rest.strip_suffix(&**followed_by)?
                    } else {
                        let from = rest.chars().next()?.len_utf8();
                        let at = from + rest.get(from..)?.find(&**followed_by)?;
                        let value = &rest[..at];
                        rest = &rest[at + followed_by.len()..];
                        value
                    };
                    if value.is_empty() || value.contains('/') {
                        return None;
                    }
                    params.push((Arc::clone(name), value.into()));
                }
                Some(NamespaceParams(params.into()))
            }
        }
    }
}

impl NamespaceParams {
    /// What stood in the place of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.as_ref())
    }

    /// All of them, in the order of the pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

impl fmt::Debug for NamespacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamespacePattern").field(&self.label).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn captured(pattern: &str, name: &str) -> Option<Vec<String>> {
        let params = pattern.parse::<NamespacePattern>().unwrap().matches(name)?;
        Some(params.iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn places_capture_as_little_as_lets_the_rest_follow() {
        assert_eq!(captured("/tenant-{id}", "/tenant-7").unwrap(), ["id=7"]);
        assert_eq!(captured("/{a}-{b}", "/x-y-z").unwrap(), ["a=x", "b=y-z"]);
        assert_eq!(captured("/{a}-{b}", "/--z").unwrap(), ["a=-", "b=z"], "a place is never empty");
        assert_eq!(captured("/{tenant}/room-{room}/", "/ä/room-é/").unwrap(), ["tenant=ä", "room=é"]);
    }

    #[test]
    fn names_that_are_a_little_different_are_none_of_its() {
        for name in ["/tenant-", "/tenant", "/tenant-a/b", "/Tenant-1", "tenant-1", "/tenant-1 ", "/"] {
            assert_eq!(captured("/tenant-{id}/x", name), None, "{name}");
        }
        assert_eq!(captured("/{a}-{b}", "/-"), None);
        assert_eq!(captured("/{a}-{b}", "/x/y-z"), None, "no slash in a place");
    }

    #[test]
    fn what_is_no_pattern_is_told_why() {
        let refused = |text: &str| text.parse::<NamespacePattern>().unwrap_err();
        for text in ["tenant-{id}", "/a,{id}", "/{id}?x", &format!("/{}{{id}}", "a".repeat(NAMESPACE_BYTES_MAX))] {
            assert!(matches!(refused(text), BadPattern::Name(_)), "{text}");
        }
        assert!(matches!(refused("/plain"), BadPattern::Static(_)));
        assert!(matches!(refused("/{a}{b}"), BadPattern::Adjacent(_)));
        for text in ["/{}", "/{a", "/a}", "/a}{b}", "/{a}}", "/{a}-{a}", "/{a b}", "/{{a}}"] {
            assert!(matches!(refused(text), BadPattern::Place(_)), "{text}");
        }
    }

    #[test]
    fn a_predicate_captures_nothing_and_is_counted_under_its_label() {
        let even = NamespacePattern::predicate("/even", |name| name.len() % 2 == 0);
        assert_eq!(even.matches("/a").unwrap().iter().count(), 0);
        assert!(even.matches("/ab").is_none());
        assert_eq!(&**even.label(), "/even");
    }
}
