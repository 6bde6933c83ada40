//! Patterns of room names: `lobby`, `team:*`, `game-*:chat`, `inbox:{user}`, `public:**`.
//!
//! A name is cut into segments at `:` and `/`. `*` stands for any part of one segment, `{user}` is a whole segment and
//! stands for the client's own name, `**` ends a pattern and stands for any rest. Everything else stands for itself.
//! Matching looks at each byte of the name a bounded number of times and allocates nothing.

use super::identity::NAME_BYTES_MAX;

/// Bytes of a pattern.
pub const PATTERN_BYTES_MAX: usize = NAME_BYTES_MAX;

const SEPARATORS: [char; 2] = [':', '/'];

/// Why a pattern is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing, or too much.
    #[error("a pattern has 1 to {PATTERN_BYTES_MAX} bytes")]
    Length,
    /// Two stars in one segment: there would be several ways to match.
    #[error("a segment (between : and /) has one * at most")]
    Stars,
    /// `**` before the end.
    #[error("** stands alone in the last segment")]
    Rest,
    /// Part of a segment: in `x-{user}-*` a client `a` could not be told from `a-b`.
    #[error("{{user}} is a whole segment (between : and /)")]
    User,
    /// A typing error, most likely.
    #[error("the only placeholder is {{user}}; {{ and }} cannot stand for themselves")]
    Placeholder,
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// This text; it may run over several segments.
    Text(Box<str>),
    /// The rest of the segment, which ends in this text.
    Star(Box<str>),
    /// The client's name, which has no separator then.
    User,
    /// Anything.
    Rest,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Length);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let flush = |literal: &mut String, pieces: &mut Vec<Piece>| {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(literal).into()));
            }
        };
        let mut segments = text.split_inclusive(SEPARATORS).peekable();
        while let Some(whole) = segments.next() {
            let segment = whole.trim_end_matches(SEPARATORS);
            let separator = &whole[segment.len()..];
            match segment {
                "**" if segments.peek().is_none() && separator.is_empty() => {
                    flush(&mut literal, &mut pieces);
                    pieces.push(Piece::Rest);
                }
                "{user}" => {
                    flush(&mut literal, &mut pieces);
                    pieces.push(Piece::User);
                }
                _ if segment.contains("**") => return Err(PatternError::Rest),
                _ if segment.contains("{user}") => return Err(PatternError::User),
                _ if segment.contains(['{', '}']) => return Err(PatternError::Placeholder),
                _ => match segment.split_once('*') {
                    Some((_, after)) if after.contains('*') => return Err(PatternError::Stars),
                    Some((before, after)) => {
                        literal.push_str(before);
                        flush(&mut literal, &mut pieces);
                        pieces.push(Piece::Star(after.into()));
                    }
                    None => literal.push_str(segment),
                },
            }
            literal.push_str(separator);
        }
        flush(&mut literal, &mut pieces);
        Ok(Self(pieces.into()))
    }

    /// Whether it fits the name; `user` is the client's, and without one `{user}` fits nothing.
    #[must_use]
    pub fn matches(&self, name: &str, user: Option<&str>) -> bool {
        let mut rest = name;
        for piece in &self.0 {
            let segment = || rest.find(SEPARATORS).map_or(rest, |end| &rest[..end]);
            let taken = match piece {
                Piece::Text(text) if rest.starts_with(&**text) => text.len(),
                Piece::Star(after) if segment().ends_with(&**after) => segment().len(),
                // A name with a separator equals no segment: it could be taken for somebody else's.
                Piece::User if user.is_some_and(|user| !user.is_empty() && user == segment()) => segment().len(),
                Piece::Rest => return true,
                _ => return false,
            };
            rest = &rest[taken..];
        }
        rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, name: &str, user: Option<&str>) -> bool {
        Pattern::new(pattern).unwrap().matches(name, user)
    }

    #[test]
    fn patterns_fit_what_they_say_and_nothing_else() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("lobby", &["lobby"], &["", "lobb", "lobby2", "Lobby", "lobby:", "a:lobby"]),
            ("*", &["lobby", "x", ""], &["a:b", "a/b", ":"]),
            ("team:*", &["team:1", "team:"], &["team", "team:1:chat", "team/1", "steam:1", "team:1/2"]),
            ("team:*:chat", &["team:1:chat", "team::chat"], &["team:1:2:chat", "team:1:chat:x", "team:1:chats"]),
            ("game-*-eu:chat", &["game-7-eu:chat", "game--eu:chat"], &["game-eu:chat", "game-7-eu", "game-7-us:chat"]),
            ("*.log", &[".log", "a.log", "a.log.log"], &["a.log:b", "alog"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("public:**", &["public:", "public:a", "public:a:b/c"], &["public", "xpublic:a"]),
            ("**", &["", "a", "a:b/c"], &[]),
            ("*:**", &["a:", "a:b:c"], &["a", "a/b"]),
            ("räume:*", &["räume:größe"], &["raume:x"]),
            ("a b\"c", &["a b\"c"], &["a"]),
        ];
        for (pattern, yes, no) in table {
            for name in *yes {
                assert!(fits(pattern, name, None), "{pattern} fits {name:?}");
            }
            for name in *no {
                assert!(!fits(pattern, name, None), "{pattern} does not fit {name:?}");
            }
        }
    }

    #[test]
    fn a_client_finds_its_own_name_and_no_other_pattern_in_it() {
        assert!(fits("inbox:{user}", "inbox:ada", Some("ada")));
        assert!(fits("inbox:{user}:*", "inbox:ada:1", Some("ada")));
        assert!(fits("{user}", "ada@example.com", Some("ada@example.com")));
        for (name, user) in [
            ("inbox:ada", None),
            ("inbox:", None),
            ("inbox:", Some("")),
            ("inbox:bob", Some("ada")),
            ("inbox:adam", Some("ada")),
            ("inbox:bob", Some("*")),
            ("inbox:{user}", Some("ada")),
            ("inbox:bob", Some("**")),
        ] {
            assert!(!fits("inbox:{user}", name, user), "{name} for {user:?}");
        }
    }

    #[test]
    fn a_name_with_a_separator_is_never_taken_for_a_segment() {
        // `a` owns `inbox:a:**`; a user called `a:b` must not own a room in it, nor the other way round.
        assert!(!fits("inbox:{user}", "inbox:a:b", Some("a:b")));
        assert!(!fits("inbox:{user}:**", "inbox:a:b:c", Some("a:b")));
        assert!(!fits("inbox:{user}", "inbox:a/b", Some("a/b")));
    }

    #[test]
    fn patterns_that_would_not_say_what_they_mean_are_refused() {
        let table = [
            ("", PatternError::Length),
            ("a*b*", PatternError::Stars),
            ("**:a", PatternError::Rest),
            ("a**", PatternError::Rest),
            ("**:", PatternError::Rest),
            ("a:**b", PatternError::Rest),
            ("***", PatternError::Rest),
            ("x-{user}", PatternError::User),
            ("{user}*", PatternError::User),
            ("{role}", PatternError::Placeholder),
            ("{user", PatternError::Placeholder),
            ("a}", PatternError::Placeholder),
        ];
        for (pattern, error) in table {
            assert_eq!(Pattern::new(pattern), Err(error), "{pattern}");
        }
        assert_eq!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX + 1)), Err(PatternError::Length));
    }

    /// The meaning, written down once more without any care for cost: segment by segment, each star by every split.
    fn model(pattern: &str, name: &str, user: Option<&str>) -> bool {
        let parts = |text: &str| -> Vec<String> { text.split_inclusive(SEPARATORS).map(str::to_owned).collect() };
        let (mut wanted, open) = match pattern.strip_suffix("**") {
            Some(before) => (parts(before), true),
            None => (parts(pattern), false),
        };
        let mut have = parts(name);
        if wanted.last().is_none_or(|last| last.ends_with(SEPARATORS)) {
            wanted.push(String::new());
        }
        if have.last().is_none_or(|last| last.ends_with(SEPARATORS)) {
            have.push(String::new());
        }
        if open {
            wanted.pop();
            if have.len() <= wanted.len() {
                return false;
            }
            have.truncate(wanted.len());
        }
        let one = |wanted: &str, have: &str| {
            let (bare, bare_have) = (wanted.trim_end_matches(SEPARATORS), have.trim_end_matches(SEPARATORS));
            if wanted[bare.len()..] != have[bare_have.len()..] {
                return false;
            }
            match bare.split_once('*') {
                _ if bare == "{user}" => user.is_some_and(|user| !user.is_empty() && user == bare_have),
                Some((before, after)) => {
                    let middle = bare_have.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                    middle.is_some()
                }
                None => bare == bare_have,
            }
        };
        wanted.len() == have.len() && wanted.iter().zip(&have).all(|(wanted, have)| one(wanted, have))
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_plain_meaning(
            pattern in "([ab:/*]|\\{user\\}){1,8}(\\*\\*)?",
            name in "[ab:/]{0,10}",
            user in proptest::option::of("[ab:]{0,3}"),
        ) {
            if let Ok(compiled) = Pattern::new(&pattern) {
                prop_assert_eq!(compiled.matches(&name, user.as_deref()), model(&pattern, &name, user.as_deref()));
            }
        }

        #[test]
        fn nothing_panics(pattern in ".{0,40}", name in ".{0,40}", user in ".{0,10}") {
            if let Ok(compiled) = Pattern::new(&pattern) {
                let _ = compiled.matches(&name, Some(&user));
            }
        }
    }
}
