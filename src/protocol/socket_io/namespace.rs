//! Namespaces: how a packet names one, and the table of those that a connection has to do with.

/// The namespace of packets that name none.
pub const ROOT: &str = "/";

/// The longest name in bytes; a packet with a longer one closes the connection.
pub const NAMESPACE_BYTES_MAX: usize = 256;

/// How many namespaces one connection may have joined or be joining; one more CONNECT closes it.
pub const NAMESPACES_MAX: usize = 64;

/// Splits a packet's text after its type into the namespace and the rest. Query strings, which old clients append,
/// name nothing: they are dropped.
#[must_use]
pub fn split(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return (ROOT, text);
    }
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    (strip_query(name), rest)
}

/// `/chat?token=1` is `/chat`.
#[must_use]
pub fn strip_query(name: &str) -> &str {
    name.split_once('?').map_or(name, |(path, _)| path)
}

/// Whether a name can stand on the wire: it begins with `/`, holds no comma or query, and is not too long.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    name.starts_with('/') && name.len() <= NAMESPACE_BYTES_MAX && !name.contains([',', '?'])
}

/// What a connection has to do with a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// CONNECT came and is not answered yet.
    Pending,
    /// Joined.
    Connected,
    /// The server sent DISCONNECT. What the client sent before it read that is in flight and dropped, where a packet
    /// for a namespace that was never joined closes the whole connection, with all its other namespaces.
    Left,
}

/// The namespaces of one connection.
///
/// Invariants: a name is in it once; at most `NAMESPACES_MAX` entries. Most connections have one, so this is a list
/// that grows one by one instead of a map.
#[derive(Debug, Default)]
pub struct Namespaces {
    entries: Vec<(Box<str>, Membership)>,
}

impl Namespaces {
    /// What the connection has to do with `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Membership> {
        self.entries.iter().find(|(entry, _)| **entry == *name).map(|(_, membership)| *membership)
    }

    /// Records it; false when the table is full of namespaces that are still in use.
    #[must_use]
    pub fn set(&mut self, name: &str, membership: Membership) -> bool {
        if let Some((_, entry)) = self.entries.iter_mut().find(|(entry, _)| **entry == *name) {
            *entry = membership;
            return true;
        }
        if self.entries.len() >= NAMESPACES_MAX {
            let Some(left) = self.entries.iter().position(|(_, membership)| *membership == Membership::Left) else {
                return false;
            };
            self.entries.remove(left);
        }
        self.entries.reserve_exact(1);
        self.entries.push((name.into(), membership));
        true
    }

    /// Forgets it.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|(entry, _)| **entry != *name);
    }

    /// The names that are joined.
    pub fn connected(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|(_, membership)| *membership == Membership::Connected)
            .map(|(name, _)| name.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_a_comma_or_with_the_packet() {
        assert_eq!(split(""), ("/", ""));
        assert_eq!(split("1[\"a\"]"), ("/", "1[\"a\"]"));
        assert_eq!(split("/chat,1[\"a\"]"), ("/chat", "1[\"a\"]"));
        assert_eq!(split("/chat"), ("/chat", ""));
        assert_eq!(split("/chat?a=1&b=2,{}"), ("/chat", "{}"));
        assert_eq!(split("/?a=1,{}"), ("/", "{}"));
        assert_eq!(split("/,[\"a\"]"), ("/", "[\"a\"]"));
    }

    #[test]
    fn valid_names() {
        assert!(is_valid("/") && is_valid("/a/b c"));
        assert!(!is_valid("") && !is_valid("a") && !is_valid("/a,b") && !is_valid("/a?b"));
        assert!(is_valid(&format!("/{}", "a".repeat(NAMESPACE_BYTES_MAX - 1))));
        assert!(!is_valid(&format!("/{}", "a".repeat(NAMESPACE_BYTES_MAX))));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_those_left_first() {
        let mut table = Namespaces::default();
        for number in 0..NAMESPACES_MAX {
            assert!(table.set(&format!("/{number}"), Membership::Connected));
        }
        assert!(!table.set("/more", Membership::Pending));
        assert!(table.set("/3", Membership::Left));
        assert!(table.set("/more", Membership::Pending));
        assert_eq!(table.get("/3"), None);
        assert_eq!(table.get("/more"), Some(Membership::Pending));
        table.remove("/more");
        assert_eq!(table.get("/more"), None);
        assert_eq!(table.connected().count(), NAMESPACES_MAX - 1);
    }
}
