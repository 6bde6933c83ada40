//! Binary reassembly: a header packet waits for the binary messages that it announced.

use bytes::Bytes;

use super::packet::{Packet, PacketData};

/// How many attachments a packet may have. Current clients enforce ten as well, so the server never emits more.
pub const ATTACHMENTS_MAX: usize = 10;

/// A packet whose attachments are on their way.
///
/// Invariant: fewer attachments than it announced have come. Memory is bounded by their count times the largest message.
#[derive(Debug)]
pub struct Reassembly {
    packet: Packet,
    due: usize,
    attachments: Vec<Bytes>,
}

/// A packet and all its attachments.
#[derive(Debug, PartialEq, Eq)]
pub struct Complete {
    /// The header.
    pub packet: Packet,
    /// What its placeholders stand for.
    pub attachments: Vec<Bytes>,
}

impl Reassembly {
    /// Starts to wait, or gives back a packet that announces nothing.
    pub fn begin(packet: Packet) -> Result<Self, Complete> {
        let due = match packet.data {
            PacketData::Event { attachments, .. } | PacketData::Ack { attachments, .. } => attachments,
            _ => 0,
        };
        if due == 0 {
            return Err(Complete { packet, attachments: Vec::new() });
        }
        // The decoder bounds the count; grows only as attachments really come.
        Ok(Self { packet, due, attachments: Vec::new() })
    }

    /// Takes the next attachment; the last one completes the packet.
    pub fn push(mut self, attachment: Bytes) -> Result<Complete, Self> {
        self.attachments.push(attachment);
        if self.attachments.len() < self.due {
            return Err(self);
        }
        Ok(Complete { packet: self.packet, attachments: self.attachments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(text: &'static [u8]) -> Packet {
        Packet::decode(&Bytes::from_static(text), ATTACHMENTS_MAX).unwrap()
    }

    #[test]
    fn a_plain_packet_is_complete() {
        let packet = packet(b"2[\"a\"]");
        let complete = Reassembly::begin(packet.clone()).unwrap_err();
        assert_eq!(complete, Complete { packet, attachments: Vec::new() });
    }

    #[test]
    fn attachments_arrive_in_order() {
        let reassembly = Reassembly::begin(packet(b"52-[\"a\",{\"_placeholder\":true,\"num\":1}]")).unwrap();
        let reassembly = reassembly.push(Bytes::from_static(b"x")).unwrap_err();
        let complete = reassembly.push(Bytes::new()).unwrap();
        assert_eq!(complete.attachments, [Bytes::from_static(b"x"), Bytes::new()]);
    }
}
