//! Socket.IO packets: the text of an Engine.IO message.

use bytes::Bytes;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_protocol::socket_io::ATTACHMENTS_MAX;
use vedfolnir_protocol::socket_io::args::NESTING_MAX;
use vedfolnir_protocol::socket_io::packet::{Packet, PacketData};

/// Slices of the message, a namespace's name, texts of errors; JSON is never built into a tree.
pub const MEMORY: Bound = Bound { base_bytes: 2 << 10, bytes_per_input_byte: 8 };
/// More than the nesting that is allowed.
pub const INPUT_BYTES_MAX: usize = 16 * NESTING_MAX;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let attachments_max = input.below(ATTACHMENTS_MAX + 1);
    let text = Bytes::copy_from_slice(input.0);
    let Ok(packet) = Packet::decode(&text, attachments_max) else { return };
    match &packet.data {
        PacketData::Event { attachments, .. } | PacketData::Ack { attachments, .. } => {
            assert!(*attachments <= attachments_max);
        }
        PacketData::Connect(_) | PacketData::Disconnect => {}
        // Clients never send it: its content is not looked at, and nothing writes it again.
        PacketData::ConnectError(_) => return,
    }
    let again = packet.encode();
    // The leading 4, and the empty list of an ack that brought none.
    assert!(again.len() <= text.len() + 3);
    assert_eq!(Packet::decode(&again.slice(1..), attachments_max), Ok(packet));
}
