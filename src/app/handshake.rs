//! What a client says when it connects, and what it may be answered.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::pattern::NamespaceParams;
use crate::security::auth::{Identity, OpeningRequest};

/// The HTTP request that opened the connection, as far as it is kept.
#[derive(Debug)]
pub struct RequestInfo {
    /// The client's address, as far as trusted proxies tell it; port 0 when they do not tell that.
    pub remote: SocketAddr,
    /// Whether the client came by HTTPS.
    pub https: bool,
    /// The query string.
    pub query: Box<str>,
    /// `host` (as a trusted proxy tells it, if one does), `origin`, `authorization`, `cookie`, `user-agent`, `x-forwarded-for`
    /// and `traceparent`, those that were there.
    pub headers: Box<[(&'static str, Box<str>)]>,
}

impl RequestInfo {
    /// A kept header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(kept, _)| *kept == name).map(|(_, value)| value.as_ref())
    }

    /// Whether the client says that it cannot resume: `recovery=false` (or `0`) in the query. A library without connection
    /// state recovery would hand the offset behind an event's arguments to the listeners.
    pub(crate) fn declines_recovery(&self) -> bool {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.any(|(key, value)| key == "recovery" && matches!(value, "false" | "0"))
    }
}

impl OpeningRequest for RequestInfo {
    fn header(&self, name: &str) -> Option<&str> {
        Self::header(self, name)
    }

    fn query(&self) -> &str {
        &self.query
    }
}

/// A CONNECT.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Which namespace.
    pub namespace: Arc<str>,
    /// What its pattern captured of the name, of a dynamic one.
    pub params: NamespaceParams,
    /// The raw JSON object that the client authenticates with.
    pub auth: Option<Bytes>,
    /// The request that opened the connection.
    pub request: Arc<RequestInfo>,
    /// Who its token says it is; `None`: authentication is off, or the client is anonymous.
    pub identity: Option<Arc<Identity>>,
}

impl Handshake {
    /// What stood in a place of the namespace's pattern; `None`: it has no such place.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// The auth object, deserialised.
    ///
    /// # Errors
    /// When it does not fit `T`. A missing object reads as `{}`.
    pub fn auth<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.auth.as_deref().unwrap_or(b"{}"))
    }
}

/// The client may connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectAccept {
    /// Who it is; a session is resumed only by its user.
    pub user: Option<Arc<str>>,
    /// The application's data, committed with a new session. A resumed session keeps its own.
    pub data: Bytes,
    /// Rooms that a new session is in before its client hears of it. A resumed session has its own.
    pub rooms: Vec<Arc<str>>,
}

impl ConnectAccept {
    /// With these data, as JSON: what [`Socket::data_as`](super::Socket::data_as) reads.
    ///
    /// # Errors
    /// When JSON cannot express them.
    pub fn with_data<T: serde::Serialize + ?Sized>(self, data: &T) -> Result<Self, serde_json::Error> {
        Ok(Self { data: serde_json::to_vec(data)?.into(), ..self })
    }
}

/// The client may not connect, for good: it does not try again by itself, unless it is [`ConnectRefusal::not_now`].
#[derive(Clone, Debug)]
pub struct ConnectRefusal {
    /// Why.
    pub message: String,
    /// More about it, JSON.
    pub data: Option<Box<RawValue>>,
    pub(crate) is_for_now: bool,
}

impl ConnectRefusal {
    /// A refusal without data.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None, is_for_now: false }
    }

    /// It cannot be decided now: the transport closes, with all that is on it, and the client comes back by itself. It is not
    /// told why.
    #[must_use]
    pub fn not_now(message: impl Into<String>) -> Self {
        Self { is_for_now: true, ..Self::new(message) }
    }

    /// With data for programs: what `error.data` of the client's `connect_error` is. What JSON cannot express is left out.
    #[must_use]
    pub fn with_data<T: serde::Serialize + ?Sized>(mut self, data: &T) -> Self {
        self.data = serde_json::value::to_raw_value(data).ok();
        self
    }

    /// A refusal whose data are `{"code": code}`, for programs. The code is letters and underscores.
    pub(crate) fn with_code(message: &str, code: &'static str) -> Self {
        let data = RawValue::from_string(format!("{{\"code\":\"{code}\"}}")).ok();
        Self { message: message.to_owned(), data, is_for_now: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_is_declined_by_a_clear_no_and_nothing_else() {
        let declines = |query: &str| {
            let remote = SocketAddr::from(([127, 0, 0, 1], 1));
            RequestInfo { remote, https: false, query: query.into(), headers: Box::default() }.declines_recovery()
        };
        for query in
            ["recovery=false", "recovery=0", "EIO=4&recovery=false&transport=websocket", "recovery=1&recovery=0"]
        {
            assert!(declines(query), "{query}");
        }
        for query in
            ["", "recovery", "recovery=", "recovery=true", "norecovery=false", "recovery=falsehood", "a=recovery=false"]
        {
            assert!(!declines(query), "{query}");
        }
    }
}
