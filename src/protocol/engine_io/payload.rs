//! Polling payloads: packets joined by the record separator `\x1e`, binary as `b` and base64.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::packet::{Message, Packet, PacketError};

/// Stands between two packets of a payload.
pub const RECORD_SEPARATOR: u8 = 0x1e;

/// How many packets one payload may hold unless a configuration says otherwise: a client that emits in one tick fills
/// a POST up to `maxPayload` with packets of some twenty bytes.
pub const PACKETS_PER_PAYLOAD_MAX: usize = 65_536;

/// Standard base64 whose padding may be missing, as the decoders of JavaScript engines accept it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The bounds of a received payload; beyond them it is refused.
#[derive(Clone, Copy, Debug)]
pub struct PayloadLimits {
    /// Size of the body in bytes.
    pub payload_bytes_max: usize,
    /// Packets in it.
    pub packets_max: usize,
}

impl Default for PayloadLimits {
    fn default() -> Self {
        Self { payload_bytes_max: 1_000_000, packets_max: PACKETS_PER_PAYLOAD_MAX }
    }
}

/// Why a body is not a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// More bytes than allowed; over HTTP it is a 413 and the session survives.
    #[error("polling payload of {bytes} bytes exceeds maxPayload {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// More packets than allowed.
    #[error("polling payload holds more than {packets_max} packets")]
    TooManyPackets {
        /// The bound.
        packets_max: usize,
    },
    /// Polling bodies are text.
    #[error("polling payload is not valid UTF-8")]
    NotUtf8,
    /// A `b` packet that is not base64.
    #[error("binary packet in a polling payload is not base64")]
    NotBase64,
    /// One of its packets.
    #[error(transparent)]
    Packet(#[from] PacketError),
}

/// The packets of a received payload, in order; ends after the first error.
#[derive(Debug)]
pub struct Packets {
    rest: Option<Bytes>,
    packets_left: usize,
    packets_max: usize,
}

/// Checks the bounds and the encoding of a body, and gives its packets one by one as slices of it.
pub fn packets(body: Bytes, limits: PayloadLimits) -> Result<Packets, PayloadError> {
    if body.len() > limits.payload_bytes_max {
        return Err(PayloadError::TooLarge { bytes: body.len(), bytes_max: limits.payload_bytes_max });
    }
    if std::str::from_utf8(&body).is_err() {
        return Err(PayloadError::NotUtf8);
    }
    Ok(Packets { rest: Some(body), packets_left: limits.packets_max, packets_max: limits.packets_max })
}

/// All packets of a body, or the first error in it.
pub fn decode(body: Bytes, limits: PayloadLimits) -> Result<Vec<Packet>, PayloadError> {
    packets(body, limits)?.collect()
}

impl Iterator for Packets {
    type Item = Result<Packet, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest.take()?;
        if self.packets_left == 0 {
            return Some(Err(PayloadError::TooManyPackets { packets_max: self.packets_max }));
        }
        self.packets_left -= 1;
        let (record, rest) = match rest.iter().position(|byte| *byte == RECORD_SEPARATOR) {
            None => (rest, None),
            Some(end) => {
                let record = rest.split_to(end);
                (record, Some(rest.slice(1..)))
            }
        };
        let packet = decode_record(record);
        if packet.is_ok() {
            self.rest = rest;
        }
        Some(packet)
    }
}

fn decode_record(record: Bytes) -> Result<Packet, PayloadError> {
    match record.first() {
        Some(b'b') => {
            let bytes = BASE64.decode(&record[1..]).map_err(|_| PayloadError::NotBase64)?;
            Ok(Packet::Message(Message::Binary(Bytes::from(bytes))))
        }
        _ => Ok(Packet::from_websocket(Message::Text(record))?),
    }
}

/// Builds the body of a poll's answer.
#[derive(Debug, Default)]
pub struct PayloadEncoder {
    body: BytesMut,
    packets: usize,
}

impl PayloadEncoder {
    /// An empty payload.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a packet.
    pub fn push(&mut self, packet: &Packet) {
        self.push_frame(&packet.to_websocket());
    }

    /// Appends a packet that is in its WebSocket form already, text with its digit or raw binary: what the encoders of
    /// `socket_io::event` make once for all sockets.
    pub fn push_frame(&mut self, frame: &Message) {
        if self.packets > 0 {
            self.body.put_u8(RECORD_SEPARATOR);
        }
        self.packets += 1;
        match frame {
            Message::Text(text) => self.body.put_slice(text),
            Message::Binary(bytes) => {
                self.body.put_u8(b'b');
                let start = self.body.len();
                let length = base64_len(bytes.len());
                self.body.resize(start + length, 0);
                // The slice is exactly as long as the encoding, so this never fails.
                let written = general_purpose::STANDARD.encode_slice(bytes, &mut self.body[start..]);
                debug_assert_eq!(written, Ok(length));
            }
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The body.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.body.freeze()
    }
}

/// How many bytes a packet in its WebSocket form takes in a payload, with a separator: for a driver that fills a body
/// up to a bound.
#[must_use]
pub fn frame_len(frame: &Message) -> usize {
    match frame {
        Message::Text(text) => 1 + text.len(),
        Message::Binary(bytes) => 2 + base64_len(bytes.len()),
    }
}

/// The payload of some packets.
pub fn encode<'a>(packets: impl IntoIterator<Item = &'a Packet>) -> Bytes {
    let mut encoder = PayloadEncoder::new();
    for packet in packets {
        encoder.push(packet);
    }
    encoder.finish()
}

const fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PayloadLimits = PayloadLimits { payload_bytes_max: 64, packets_max: 3 };

    fn message(text: &'static str) -> Packet {
        Packet::text(Bytes::from_static(text.as_bytes()))
    }

    fn binary(bytes: &'static [u8]) -> Packet {
        Packet::Message(Message::Binary(Bytes::from_static(bytes)))
    }

    fn body(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn packets_are_joined_by_the_separator_and_binary_is_base64() {
        let packets = [message("hello"), binary(&[1, 2, 3, 4]), Packet::PING];
        let wire = encode(&packets);
        assert_eq!(wire, "4hello\x1ebAQIDBA==\x1e2");
        assert_eq!(decode(wire, LIMITS).unwrap(), packets);
    }

    #[test]
    fn a_lone_packet_has_no_separator_and_an_empty_body_is_refused() {
        assert_eq!(encode(&[Packet::Noop]), "6");
        assert_eq!(decode(body("6"), LIMITS).unwrap(), [Packet::Noop]);
        assert_eq!(decode(body(""), LIMITS), Err(PayloadError::Packet(PacketError::Empty)));
        assert_eq!(decode(body("2\x1e"), LIMITS), Err(PayloadError::Packet(PacketError::Empty)));
    }

    #[test]
    fn the_close_of_a_polling_session() {
        assert_eq!(encode(&[Packet::Noop, Packet::Close]), "6\x1e1");
    }

    #[test]
    fn base64_without_padding_is_read_and_garbage_is_not() {
        assert_eq!(decode(body("bAQIDBA"), LIMITS).unwrap(), [binary(&[1, 2, 3, 4])]);
        assert_eq!(decode(body("b"), LIMITS).unwrap(), [binary(&[])]);
        assert_eq!(decode(body("b!!"), LIMITS), Err(PayloadError::NotBase64));
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(
            decode(Bytes::from(vec![b'4'; 65]), LIMITS),
            Err(PayloadError::TooLarge { bytes: 65, bytes_max: 64 })
        );
        assert!(decode(Bytes::from(vec![b'4'; 64]), LIMITS).is_ok());
        assert_eq!(decode(body("2\x1e2\x1e2\x1e2"), LIMITS), Err(PayloadError::TooManyPackets { packets_max: 3 }));
        assert_eq!(decode(Bytes::from_static(b"4\xff"), LIMITS), Err(PayloadError::NotUtf8));
    }

    #[test]
    fn packets_before_an_error_are_given_and_none_after_it() {
        let given: Vec<_> = packets(body("2\x1ex\x1e3"), LIMITS).unwrap().collect();
        assert_eq!(given, [Ok(Packet::PING), Err(PayloadError::Packet(PacketError::UnknownType(b'x')))]);
    }

    #[test]
    fn frame_len_is_what_a_frame_takes() {
        for frame in [message("hello").to_websocket(), binary(&[0; 5]).to_websocket(), binary(&[]).to_websocket()] {
            let mut encoder = PayloadEncoder::new();
            encoder.push(&Packet::Noop);
            let before = encoder.len();
            encoder.push_frame(&frame);
            assert_eq!(encoder.len() - before, frame_len(&frame));
        }
    }
}
