//! The handshake: the open packet, and the table of errors that HTTP answers with instead.

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use super::packet::Packet;

/// A member of the handshake beyond the protocol's own, which clients hand on to their application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint<'a> {
    /// Its name; none of the protocol's.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// The handshake that the server sends, with exactly these members in this order.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenPacket<'a> {
    /// The Engine.IO session id; never reused as a Socket.IO id.
    pub sid: &'a str,
    /// What the client may upgrade to: `["websocket"]` on polling, nothing on WebSocket.
    pub upgrades: &'a [&'a str],
    /// Milliseconds between pings.
    #[serde(rename = "pingInterval")]
    pub ping_interval_ms: u64,
    /// Milliseconds that a pong may take.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout_ms: u64,
    /// The largest payload in bytes that the server reads.
    #[serde(rename = "maxPayload")]
    pub max_payload: u64,
    /// One more, if there is one.
    #[serde(flatten)]
    pub hint: Option<Hint<'a>>,
}

impl Serialize for Hint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.name, self.value)?;
        map.end()
    }
}

impl OpenPacket<'_> {
    /// The packet, ready for either transport.
    #[must_use]
    pub fn to_packet(&self) -> Packet {
        // A struct of strings and numbers always serialises.
        Packet::Open(Bytes::from(serde_json::to_vec(self).unwrap_or_default()))
    }
}

/// What an Engine.IO request is refused with: a numeric code in `application/json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HandshakeError {
    /// `transport` names none that this server has.
    #[error("Transport unknown")]
    TransportUnknown,
    /// No session has this `sid`, here or anywhere.
    #[error("Session ID unknown")]
    SessionIdUnknown,
    /// A first request that is not a GET.
    #[error("Bad handshake method")]
    BadHandshakeMethod,
    /// The request does not fit the session or the transport.
    #[error("Bad request")]
    BadRequest,
    /// The hook that judges requests said no.
    #[error("Forbidden")]
    Forbidden,
    /// `EIO` is missing or not 4.
    #[error("Unsupported protocol version")]
    UnsupportedProtocolVersion,
}

impl HandshakeError {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::TransportUnknown,
        Self::SessionIdUnknown,
        Self::BadHandshakeMethod,
        Self::BadRequest,
        Self::Forbidden,
        Self::UnsupportedProtocolVersion,
    ];

    /// The numeric code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::TransportUnknown => 0,
            Self::SessionIdUnknown => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocolVersion => 5,
        }
    }

    /// The text beside the code.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionIdUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// 403 for a refusal by the hook, 400 for everything else.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The body: `{"code":0,"message":"Transport unknown"}`.
    #[must_use]
    pub fn body(self) -> String {
        self.body_with(self.message())
    }

    /// The body with a text of its own, as a hook that refuses a request may give one.
    #[must_use]
    pub fn body_with(self, message: &str) -> String {
        let message = serde_json::Value::from(message);
        format!("{{\"code\":{},\"message\":{message}}}", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine_io::packet::Message;

    #[test]
    fn the_open_packet_has_exactly_five_members_and_a_hint_if_there_is_one() {
        let open = OpenPacket {
            sid: "abc",
            upgrades: &["websocket"],
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload: 1_000_000,
            hint: None,
        };
        let expected =
            r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        assert_eq!(open.to_packet().to_websocket(), Message::Text(Bytes::from_static(expected.as_bytes())));
        let hinted = OpenPacket { hint: Some(Hint { name: "owner", value: "x\"y" }), ..open };
        let expected = expected.replace('}', r#","owner":"x\"y"}"#);
        assert_eq!(hinted.to_packet().to_websocket(), Message::Text(Bytes::from(expected)));
    }

    #[test]
    fn errors_are_those_of_engine_io() {
        let bodies: Vec<(u16, String)> =
            HandshakeError::ALL.iter().map(|error| (error.http_status(), error.body())).collect();
        let expected = [
            (400, r#"{"code":0,"message":"Transport unknown"}"#),
            (400, r#"{"code":1,"message":"Session ID unknown"}"#),
            (400, r#"{"code":2,"message":"Bad handshake method"}"#),
            (400, r#"{"code":3,"message":"Bad request"}"#),
            (403, r#"{"code":4,"message":"Forbidden"}"#),
            (400, r#"{"code":5,"message":"Unsupported protocol version"}"#),
        ];
        assert_eq!(bodies, expected.map(|(status, body)| (status, body.to_owned())));
        for error in HandshakeError::ALL {
            assert_eq!(error.to_string(), error.message());
        }
    }

    #[test]
    fn a_hook_s_text_is_escaped() {
        assert_eq!(HandshakeError::Forbidden.body_with("say \"no\"\n"), r#"{"code":4,"message":"say \"no\"\n"}"#);
    }
}
