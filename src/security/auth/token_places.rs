//! Where a client's token may come from, and finding it there.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::identity::TokenSource;
use super::jwt::is_object;

/// The member of the CONNECT packet's auth object that holds the token.
pub const AUTH_OBJECT_MEMBER: &str = "token";

/// The request that opened a connection, as far as tokens are looked for in it.
pub trait OpeningRequest {
    /// The first value of a header; the name is in lower case.
    fn header(&self, name: &str) -> Option<&str>;
    /// The raw query string, without `?`.
    fn query(&self) -> &str;
}

/// Where tokens may come from. What is explicit goes before what a browser adds by itself: auth object, header, query,
/// cookie. The first place that has a token decides; a bad token there is not made good by another one elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlaces {
    /// `{token: "…"}` in the CONNECT packet.
    pub auth_object: bool,
    /// `Authorization: Bearer …`.
    pub bearer: bool,
    /// This parameter of the query. Discouraged: addresses end up in logs and histories.
    pub query: Option<Box<str>>,
    /// This cookie; best with the prefix `__Host-`, so that no sibling site can set it. It calls for protection against
    /// forged requests ([`TokenSource::is_ambient`]).
    pub cookie: Option<Box<str>>,
}

impl Default for TokenPlaces {
    fn default() -> Self {
        Self { auth_object: true, bearer: true, query: None, cookie: None }
    }
}

/// A token that is none: its place is there, but does not hold a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the auth object is not a JSON object with one text `{AUTH_OBJECT_MEMBER}`")]
pub struct MalformedAuthObject;

/// A token and where it was.
pub(super) type Found<'a> = (Cow<'a, str>, TokenSource);

impl TokenPlaces {
    /// The client's token; `None`: it has shown none. An empty one counts as none.
    pub(super) fn find<'a>(
        &self,
        auth_object: Option<&'a [u8]>,
        request: &'a impl OpeningRequest,
    ) -> Result<Option<Found<'a>>, MalformedAuthObject> {
        if self.auth_object
            && let Some(json) = auth_object
            && let Some(token) = member(json)?.filter(|token| !token.is_empty())
        {
            return Ok(Some((token.into(), TokenSource::AuthObject)));
        }
        let bearer = || request.header("authorization").and_then(bearer_of);
        let query = || self.query.as_deref().and_then(|name| parameter(request.query(), name));
        let cookie = || self.cookie.as_deref().and_then(|name| cookie_of(request.header("cookie")?, name));
        let found = self.bearer.then(bearer).flatten().map(|token| (token, TokenSource::Bearer));
        let found = found.or_else(|| query().map(|token| (token, TokenSource::Query)));
        let found = found.or_else(|| cookie().map(|token| (token, TokenSource::Cookie)));
        Ok(found.map(|(token, source)| (token.into(), source)))
    }
}

/// The token in an auth object; its other members are the application's and the protocol's.
fn member(json: &[u8]) -> Result<Option<String>, MalformedAuthObject> {
    struct Member;
    impl<'de> Visitor<'de> for Member {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
            let mut token: Option<Option<String>> = None;
            while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                if name != AUTH_OBJECT_MEMBER {
                    map.next_value::<IgnoredAny>()?;
                } else if token.replace(map.next_value()?).is_some() {
                    return Err(serde::de::Error::duplicate_field(AUTH_OBJECT_MEMBER));
                }
            }
            Ok(token.flatten())
        }
    }
    if !is_object(json) {
        return Err(MalformedAuthObject);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let token = deserializer.deserialize_map(Member).map_err(|_| MalformedAuthObject)?;
    deserializer.end().map_err(|_| MalformedAuthObject)?;
    Ok(token)
}

/// RFC 6750, section 2.1; another scheme is somebody else's (a proxy's `Basic`).
fn bearer_of(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A token needs no percent-encoding, and one that has some is not a token.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(have, _)| *have == name).map(|(_, value)| value).find(|value| !value.is_empty())
}

/// RFC 6265, section 4.2.1; the first one of that name.
fn cookie_of<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.filter(|(have, _)| *have == name).map(|(_, value)| value).next()?;
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    (!bare.is_empty()).then_some(bare)
}

#[cfg(test)]
#[path = "token_places_tests.rs"]
mod tests;
