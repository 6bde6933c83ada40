//! Engine.IO packets as WebSocket frames.

use bytes::Bytes;
use vedfolnir_fuzz::Bound;
use vedfolnir_protocol::{Message, Packet};

/// The frame; what is read is a slice of it, and what is written again a copy.
pub const MEMORY: Bound = Bound { base_bytes: 256, bytes_per_input_byte: 3 };
pub const INPUT_BYTES_MAX: usize = 256;

pub fn run(input: &[u8]) {
    let frame = Bytes::copy_from_slice(input);
    let binary = Message::Binary(frame.clone());
    assert_eq!(Packet::from_websocket(binary.clone()), Ok(Packet::Message(binary)));
    // WebSocket's own reader lets no other text through.
    if std::str::from_utf8(input).is_err() {
        return;
    }
    let Ok(packet) = Packet::from_websocket(Message::Text(frame)) else {
        assert!(!matches!(input.first(), Some(b'0'..=b'6')), "a known type was refused");
        return;
    };
    let again = packet.to_websocket();
    // What follows a type that has no content is not kept.
    assert!(input.starts_with(again.bytes()));
    assert_eq!(Packet::from_websocket(again), Ok(packet));
}
