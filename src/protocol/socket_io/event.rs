//! Encoders of what the server sends: run once per node, their bytes shared by every socket that gets them.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use super::args::json_string;
use super::packet::begin;

/// An event or ack in its wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent {
    /// The complete Engine.IO text message with its leading `4`: `42["a",1]`, `451-/ns,["a",{"_placeholder":true,"num":0}]`.
    pub text: Bytes,
    /// The binary messages that follow it at once.
    pub attachments: Vec<Bytes>,
}

impl EncodedEvent {
    /// Bytes on the wire, for the bound of a socket's queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// Never: an encoded event has at least its type.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Encodes an event.
///
/// `args_json_array` is `["event",…]`, checked by `args::check_event_bytes` (or by the decoder) with at most
/// `ATTACHMENTS_MAX` attachments; it holds the placeholders already. `offset` becomes one more string argument at the
/// end, but never beside an `ack_id`: the client's handler would find it where its callback belongs, and the client
/// would not keep it.
#[must_use]
pub fn encode_event(
    namespace: &str,
    args_json_array: &[u8],
    attachments: &[Bytes],
    ack_id: Option<u64>,
    offset: Option<&str>,
) -> EncodedEvent {
    let kind = if attachments.is_empty() { b'2' } else { b'5' };
    let offset = offset.filter(|_| ack_id.is_none());
    #[cfg(feature = "planted-bugs")]
    let offset = crate::planted::offset(offset, attachments);
    let room = args_json_array.len() + offset.map_or(0, |offset| offset.len() + 3);
    let mut text = begin(kind, attachments.len(), namespace, ack_id, room);
    match offset {
        None => text.put_slice(args_json_array),
        Some(offset) => put_with_argument(&mut text, args_json_array, offset),
    }
    EncodedEvent { text: text.freeze(), attachments: attachments.to_vec() }
}

/// Encodes the answer to the client's event `id`: `43/ns,7[…]`.
#[must_use]
pub fn encode_ack(namespace: &str, id: u64, args_json_array: &[u8], attachments: &[Bytes]) -> EncodedEvent {
    let kind = if attachments.is_empty() { b'3' } else { b'6' };
    let mut text = begin(kind, attachments.len(), namespace, Some(id), args_json_array.len());
    text.put_slice(args_json_array);
    EncodedEvent { text: text.freeze(), attachments: attachments.to_vec() }
}

/// Encodes the answer to a CONNECT: `40/ns,{"sid":"…","pid":"…"}`.
#[must_use]
pub fn encode_connect(namespace: &str, sid: &str, pid: Option<&str>) -> Bytes {
    let mut text = begin(b'0', 0, namespace, None, 24 + sid.len() + pid.map_or(0, str::len));
    text.put_slice(b"{\"sid\":");
    text.put_slice(json_string(sid).as_bytes());
    if let Some(pid) = pid {
        text.put_slice(b",\"pid\":");
        text.put_slice(json_string(pid).as_bytes());
    }
    text.put_u8(b'}');
    text.freeze()
}

/// Encodes the refusal of a CONNECT, which stops the client's reconnecting: `44/ns,{"message":"…","data":…}`.
#[must_use]
pub fn encode_connect_error(namespace: &str, message: &str, data: Option<&RawValue>) -> Bytes {
    let mut text = begin(b'4', 0, namespace, None, 24 + message.len() + data.map_or(0, |data| data.get().len()));
    text.put_slice(b"{\"message\":");
    text.put_slice(json_string(message).as_bytes());
    if let Some(data) = data {
        text.put_slice(b",\"data\":");
        text.put_slice(data.get().as_bytes());
    }
    text.put_u8(b'}');
    text.freeze()
}

/// Encodes the server's DISCONNECT, a real end of the session: `41/ns,`.
#[must_use]
pub fn encode_disconnect(namespace: &str) -> Bytes {
    begin(b'1', 0, namespace, None, 0).freeze()
}

/// `["a",1]` and `x` make `["a",1,"x"]`; `[]` makes `["x"]`.
fn put_with_argument(text: &mut BytesMut, array: &[u8], argument: &str) {
    let array = array.trim_ascii_end();
    let open = array.strip_suffix(b"]").unwrap_or(array);
    text.put_slice(open);
    if open.trim_ascii().len() > 1 {
        text.put_u8(b',');
    }
    text.put_slice(json_string(argument).as_bytes());
    text.put_u8(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        let text = |namespace, args: &str, attachments: &[Bytes], ack_id, offset| {
            let encoded = encode_event(namespace, args.as_bytes(), attachments, ack_id, offset);
            assert_eq!(encoded.attachments, attachments);
            String::from_utf8(encoded.text.to_vec()).unwrap()
        };
        let binary = [Bytes::from_static(b"\x01")];
        let placeholder = r#"["a",{"_placeholder":true,"num":0}]"#;
        assert_eq!(text("/", r#"["a",1]"#, &[], None, None), r#"42["a",1]"#);
        assert_eq!(text("/ns", r#"["a"]"#, &[], Some(9), None), r#"42/ns,9["a"]"#);
        assert_eq!(text("/ns", placeholder, &binary, None, None), format!("451-/ns,{placeholder}"));
        assert_eq!(text("/", placeholder, &binary, Some(3), None), format!("451-3{placeholder}"));
        assert_eq!(
            text("/", placeholder, &binary, None, Some("off")),
            r#"451-["a",{"_placeholder":true,"num":0},"off"]"#
        );
    }

    #[test]
    fn an_offset_is_one_more_argument_except_beside_an_ack() {
        let text = |args: &str, ack_id, offset| {
            let encoded = encode_event("/", args.as_bytes(), &[], ack_id, Some(offset));
            String::from_utf8(encoded.text.to_vec()).unwrap()
        };
        assert_eq!(text(r#"["a",1]"#, None, "off"), r#"42["a",1,"off"]"#);
        assert_eq!(text("[\"a\" ] ", None, "off"), "42[\"a\" ,\"off\"]");
        assert_eq!(text("[]", None, "off"), r#"42["off"]"#);
        assert_eq!(text("[ ]", None, "off"), r#"42[ "off"]"#);
        assert_eq!(text(r#"["a"]"#, None, "\"\n"), r#"42["a","\"\n"]"#);
        assert_eq!(text(r#"["a"]"#, Some(1), "off"), r#"421["a"]"#);
    }

    #[test]
    fn acks() {
        assert_eq!(encode_ack("/", 0, b"[]", &[]).text, "430[]");
        assert_eq!(encode_ack("/ns", 12, b"[1]", &[]).text, "43/ns,12[1]");
        let binary = [Bytes::from_static(b"\x01"), Bytes::new()];
        let encoded = encode_ack("/ns", 12, b"[{\"_placeholder\":true,\"num\":0}]", &binary);
        assert_eq!(encoded.text, "462-/ns,12[{\"_placeholder\":true,\"num\":0}]");
        assert_eq!(encoded.len(), encoded.text.len() + 1);
        assert!(!encoded.is_empty());
    }

    #[test]
    fn connects_refusals_and_disconnects() {
        assert_eq!(encode_connect("/", "s", Some("p")), r#"40{"sid":"s","pid":"p"}"#);
        assert_eq!(encode_connect("/ns", "s", None), r#"40/ns,{"sid":"s"}"#);
        assert_eq!(
            encode_connect_error("/foo", "Invalid namespace", None),
            r#"44/foo,{"message":"Invalid namespace"}"#
        );
        let data: Box<RawValue> = serde_json::from_str(r#"{"a":1}"#).unwrap();
        assert_eq!(encode_connect_error("/", "\"no\"", Some(&data)), r#"44{"message":"\"no\"","data":{"a":1}}"#);
        assert_eq!(encode_disconnect("/"), "41");
        assert_eq!(encode_disconnect("/ns"), "41/ns,");
    }
}
