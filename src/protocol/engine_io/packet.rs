//! Engine.IO packets and their WebSocket form: a type digit before text, nothing before binary.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// A message of the application: what a `4` packet or a binary frame carries.
///
/// Invariant: `Text` holds valid UTF-8. It is what WebSocket text frames guarantee, and `payload` checks it for polling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Valid UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// The bytes, whichever kind it is.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes,
        }
    }
}

/// One Engine.IO packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// `0`: the handshake, from the server only; the JSON text.
    Open(Bytes),
    /// `1`: the session ends.
    Close,
    /// `2`: empty from the server, `probe` from a client that upgrades.
    Ping(Bytes),
    /// `3`: answers a ping with its content.
    Pong(Bytes),
    /// `4`, or a binary frame.
    Message(Message),
    /// `5`: the client moves to the transport that it has probed.
    Upgrade,
    /// `6`: lets a pending poll return.
    Noop,
}

/// Why bytes are not an Engine.IO packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PacketError {
    /// An empty text frame, or nothing between two separators.
    #[error("empty Engine.IO packet; the first byte must be a type from 0 to 6")]
    Empty,
    /// A first byte that is no packet type.
    #[error("unknown Engine.IO packet type 0x{0:02x}; the first byte must be a type from 0 to 6")]
    UnknownType(u8),
}

impl Packet {
    /// The server's ping.
    pub const PING: Self = Self::Ping(Bytes::new());

    /// A text message.
    #[must_use]
    pub const fn text(text: Bytes) -> Self {
        Self::Message(Message::Text(text))
    }

    /// Whether it is a ping or pong of the upgrade, `2probe` or `3probe`.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        matches!(self, Self::Ping(data) | Self::Pong(data) if data.as_ref() == b"probe")
    }

    /// The WebSocket frame: text with its type digit, or the raw bytes of a binary message.
    #[must_use]
    pub fn to_websocket(&self) -> Message {
        let (digit, data): (&'static [u8], &Bytes) = match self {
            Self::Message(Message::Binary(bytes)) => return Message::Binary(bytes.clone()),
            Self::Close => return Message::Text(Bytes::from_static(b"1")),
            Self::Upgrade => return Message::Text(Bytes::from_static(b"5")),
            Self::Noop => return Message::Text(Bytes::from_static(b"6")),
            Self::Open(data) => (b"0", data),
            Self::Ping(data) => (b"2", data),
            Self::Pong(data) => (b"3", data),
            Self::Message(Message::Text(data)) => (b"4", data),
        };
        if data.is_empty() {
            return Message::Text(Bytes::from_static(digit));
        }
        let mut text = BytesMut::with_capacity(1 + data.len());
        text.put_slice(digit);
        text.put_slice(data);
        Message::Text(text.freeze())
    }

    /// Reads a WebSocket frame. The packet's content is a slice of the frame: nothing is copied.
    pub fn from_websocket(frame: Message) -> Result<Self, PacketError> {
        let text = match frame {
            Message::Binary(_) => return Ok(Self::Message(frame)),
            Message::Text(text) => text,
        };
        let digit = *text.first().ok_or(PacketError::Empty)?;
        let data = text.slice(1..);
        Ok(match digit {
            b'0' => Self::Open(data),
            b'1' => Self::Close,
            b'2' => Self::Ping(data),
            b'3' => Self::Pong(data),
            b'4' => Self::text(data),
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            other => return Err(PacketError::UnknownType(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Message {
        Message::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_packet_has_its_digit() {
        let table = [
            (Packet::Open(Bytes::from_static(b"{}")), "0{}"),
            (Packet::Close, "1"),
            (Packet::PING, "2"),
            (Packet::Ping(Bytes::from_static(b"probe")), "2probe"),
            (Packet::Pong(Bytes::from_static(b"probe")), "3probe"),
            (Packet::text(Bytes::from_static("2[\"é\"]".as_bytes())), "42[\"é\"]"),
            (Packet::Upgrade, "5"),
            (Packet::Noop, "6"),
        ];
        for (packet, wire) in table {
            assert_eq!(packet.to_websocket(), text(wire));
            assert_eq!(Packet::from_websocket(text(wire)), Ok(packet));
        }
    }

    #[test]
    fn binary_frames_are_messages_without_a_digit() {
        let frame = Message::Binary(Bytes::from_static(b"4\x00\xff"));
        let packet = Packet::from_websocket(frame.clone()).unwrap();
        assert_eq!(packet, Packet::Message(frame.clone()));
        assert_eq!(packet.to_websocket(), frame);
    }

    #[test]
    fn an_empty_frame_and_an_unknown_type_are_refused() {
        assert_eq!(Packet::from_websocket(text("")), Err(PacketError::Empty));
        assert_eq!(Packet::from_websocket(text("7")), Err(PacketError::UnknownType(b'7')));
        assert_eq!(Packet::from_websocket(text("x1")), Err(PacketError::UnknownType(b'x')));
        assert_eq!(Packet::from_websocket(text("é")), Err(PacketError::UnknownType(0xc3)));
    }

    #[test]
    fn content_is_a_slice_of_the_frame() {
        let frame = Bytes::from(b"4hello".to_vec());
        let Packet::Message(Message::Text(content)) = Packet::from_websocket(Message::Text(frame.clone())).unwrap()
        else {
            panic!("not a text message");
        };
        assert_eq!(content.as_ptr(), frame[1..].as_ptr());
    }

    #[test]
    fn probes_are_recognised() {
        assert!(Packet::from_websocket(text("2probe")).unwrap().is_probe());
        assert!(!Packet::from_websocket(text("2")).unwrap().is_probe());
        assert!(!Packet::from_websocket(text("4probe")).unwrap().is_probe());
    }
}
