//! Reads what a request's address says: its query, parameter by parameter, and the part of its path that is a name.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::{Query as Pairs, Request};
use axum::http::Uri;

use super::problem::Problem;

/// The parameters of a query that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Of a request's address. A parameter that stands there twice is refused: which one would be meant?
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri);
        let Pairs(pairs) = pairs.map_err(|_| Problem::invalid("query", "the query cannot be read"))?;
        let mut query = BTreeMap::new();
        for (name, value) in pairs {
            if query.insert(name.clone(), value).is_some() {
                let shown = shown(&name);
                return Err(Problem::invalid(shown.clone(), format!("{shown:?} is there twice; accepted: once")));
            }
        }
        Ok(Self(query))
    }

    /// A parameter as it stands there.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A whole number; what is not there is `default`.
    pub(super) fn number(&mut self, name: &str, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(text) = self.0.remove(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            _ => Err(Problem::invalid(name, format!("{:?}; accepted: a number from 1 to {max}", shown(&text)))),
        }
    }

    /// A parameter that reads as `T`; `accepted` says what does.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, accepted: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        let refused = |_| Problem::invalid(name, format!("{:?}; accepted: {accepted}", shown(&text)));
        text.parse().map(Some).map_err(refused)
    }

    /// Whether the answer is to show all that was committed before on whichever node.
    pub(super) fn is_linearizable(&mut self) -> Result<bool, Problem> {
        match self.0.remove("consistency").as_deref() {
            None | Some("local") => Ok(false),
            Some("linearizable") => Ok(true),
            Some(other) => {
                let detail = format!("{:?}; accepted: local, linearizable", shown(other));
                Err(Problem::invalid("consistency", detail))
            }
        }
    }

    /// Nothing is left that nobody knows.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => {
                let shown = shown(&name);
                Err(Problem::invalid(shown.clone(), format!("there is no parameter {shown:?} here")))
            }
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What follows `prefix` in a request's path, percent-decoded (RFC 3986, section 2.1): a name of whatever characters.
pub(super) fn rest_of_path(request: &Request, prefix: &str, field: &str) -> Result<String, Problem> {
    let rest = request.uri().path().strip_prefix(prefix).unwrap_or_default();
    decoded(rest).ok_or_else(|| {
        Problem::invalid(field, "it cannot be read; accepted: UTF-8, percent-encoded where the path needs it")
    })
}

fn decoded(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return String::from_utf8(bytes).ok(),
            [b'%', high, low, after @ ..] => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                after
            }
            [b'%', ..] => return None,
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_may_have_any_character() {
        for (text, name) in [
            ("a/b:c", Some("a/b:c")),
            ("%2F%3f%25", Some("/?%")),
            ("r%C3%A4ume%00", Some("räume\0")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decoded(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn a_query_is_read_parameter_by_parameter_and_what_is_left_is_refused() {
        let query = |text: &str| Query::of(&format!("/x?{text}").parse::<Uri>().unwrap());
        let mut read = query("room=a%26b+c&limit=10&connected=true&consistency=linearizable").unwrap();
        assert_eq!(read.text("room").as_deref(), Some("a&b c"));
        assert_eq!(read.number("limit", 100, 1_000), Ok(10));
        assert_eq!(read.number("limit", 100, 1_000), Ok(100));
        assert_eq!(read.parsed("connected", "true, false"), Ok(Some(true)));
        assert_eq!(read.is_linearizable(), Ok(true));
        assert!(read.end().is_ok());
        assert!(query("a=1&a=2").is_err());
        assert!(query("limit=0").unwrap().number("limit", 1, 10).is_err());
        assert!(query("consistency=best").unwrap().is_linearizable().is_err());
        assert!(query("nothing").unwrap().end().is_err());
    }
}
