//! Bodies of polling: packets with separators between them, binary as base64.

use bytes::Bytes;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_protocol::engine_io::payload::{PayloadError, PayloadLimits, decode, encode, frame_len};

/// A packet takes two bytes of a body and up to 48 of a list, which grows by doubling while its old half is copied; the
/// lists of both readings are there at once.
pub const MEMORY: Bound = Bound { base_bytes: 4 << 10, bytes_per_input_byte: 160 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let limits = PayloadLimits { payload_bytes_max: usize::from(input.short()), packets_max: input.below(200) };
    let body = Bytes::copy_from_slice(input.0);
    match decode(body.clone(), limits) {
        Ok(packets) => {
            assert!(body.len() <= limits.payload_bytes_max && packets.len() <= limits.packets_max);
            let again = encode(&packets);
            let lengths: usize = packets.iter().map(|packet| frame_len(&packet.to_websocket())).sum();
            assert!(again.len() <= lengths, "a driver fills bodies by frame_len");
            let limits = PayloadLimits { payload_bytes_max: again.len(), ..limits };
            assert_eq!(decode(again, limits), Ok(packets));
        }
        Err(PayloadError::TooLarge { .. }) => assert!(body.len() > limits.payload_bytes_max),
        Err(PayloadError::NotUtf8) => assert!(std::str::from_utf8(&body).is_err()),
        Err(_) => {}
    }
}
