//! Frames of the cluster's connections, in chunks as they arrive.

use bytes::BytesMut;
use vedfolnir_cluster::network::FRAME_BYTES_MAX;
use vedfolnir_cluster::network::fuzzing::Frames;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

/// 256 KiB are taken for a body that is announced and not there yet, once more while the buffer grows; never what is
/// announced, which may be 16 MiB.
pub const MEMORY: Bound = Bound { base_bytes: 1 << 20, bytes_per_input_byte: 16 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let mut frames = Frames::default();
    let (mut arrived, mut again) = (Vec::new(), BytesMut::new());
    while !input.is_empty() {
        let length = input.below(64).min(input.0.len());
        let (chunk, rest) = input.0.split_at(length);
        input.0 = rest;
        arrived.extend_from_slice(chunk);
        frames.push(chunk);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.body.len() <= FRAME_BYTES_MAX);
                    frame.append_to(&mut again).expect("a frame that arrived can be sent");
                }
                Ok(None) => break,
                // The connection ends.
                Err(_) => return assert!(arrived.starts_with(&again)),
            }
        }
        assert!(arrived.starts_with(&again), "a frame is not what arrived");
        assert_eq!(frames.is_empty(), arrived.len() == again.len());
    }
}
