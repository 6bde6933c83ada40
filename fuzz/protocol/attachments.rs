//! A packet and the binary messages behind it.

use bytes::Bytes;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_protocol::socket_io::ATTACHMENTS_MAX;
use vedfolnir_protocol::socket_io::attachment::Reassembly;
use vedfolnir_protocol::socket_io::packet::{Packet, PacketData};

/// The packet's text, its attachments (32 bytes each in a list of ten at most), texts of errors.
pub const MEMORY: Bound = Bound { base_bytes: 4 << 10, bytes_per_input_byte: 8 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let text = Bytes::copy_from_slice(input.line());
    let Ok(packet) = Packet::decode(&text, ATTACHMENTS_MAX) else { return };
    let due = match &packet.data {
        PacketData::Event { attachments, .. } | PacketData::Ack { attachments, .. } => *attachments,
        PacketData::Connect(_) | PacketData::Disconnect | PacketData::ConnectError(_) => 0,
    };
    let mut reassembly = match Reassembly::begin(packet.clone()) {
        Ok(reassembly) => reassembly,
        Err(complete) => {
            assert_eq!((due, complete.packet, complete.attachments.len()), (0, packet, 0));
            return;
        }
    };
    let mut sent = Vec::new();
    loop {
        let attachment = Bytes::copy_from_slice(input.piece());
        sent.push(attachment.clone());
        match reassembly.push(attachment) {
            Err(waiting) => {
                assert!(sent.len() < due, "more was waited for than was announced");
                reassembly = waiting;
            }
            Ok(complete) => {
                assert_eq!(sent.len(), due);
                assert_eq!((complete.packet, complete.attachments), (packet, sent));
                return;
            }
        }
    }
}
