//! The codec alone: whatever the split, whatever the bytes.

use proptest::prelude::*;

use super::*;

fn kind() -> impl Strategy<Value = FrameKind> {
    (1u8..=7).prop_map(|byte| FrameKind::from_wire(byte).unwrap())
}

fn encoded(kind: FrameKind, prefix: &[u8], body: &[u8]) -> Vec<u8> {
    let (chunks, count) = encode(kind, prefix, Bytes::copy_from_slice(body)).unwrap();
    chunks[..count].concat()
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut(
        frames in prop::collection::vec((kind(), prop::collection::vec(any::<u8>(), 0..5_000)), 0..8),
        cuts in prop::collection::vec(1usize..3_000, 1..40),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, body)| encoded(*kind, &[], body)).collect();
        let (mut buffer, mut rest, mut out) = (FrameBuffer::default(), bytes.as_slice(), Vec::new());
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            buffer.push(chunk);
            rest = after;
            while let Some(frame) = buffer.next_frame().unwrap() {
                out.push((frame.kind, frame.body.to_vec()));
            }
        }
        prop_assert_eq!(out, frames);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), known in any::<bool>()) {
        let mut buffer = FrameBuffer::default();
        if known {
            buffer.push(&[FRAME_VERSION]);
        }
        buffer.push(&bytes);
        while let Ok(Some(_)) = buffer.next_frame() {}
        prop_assert!(buffer.bytes.capacity() <= 2 * RESERVE_BYTES_MAX);
    }
}

#[test]
fn the_bytes_on_the_wire_are_fixed() {
    let expected = [1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 9, b'h', b'i'];
    assert_eq!(encoded(FrameKind::Request, &[9], b"hi"), expected);
    let mut appended = BytesMut::new();
    append(&mut appended, FrameKind::Request, &[9, b'h', b'i']).unwrap();
    assert_eq!(appended, expected.as_slice());
}

#[test]
fn a_length_beyond_the_bound_is_refused_before_memory_is_taken() {
    let mut buffer = FrameBuffer::default();
    buffer.push(&[1, 6, 0, 0, 0, 0, 0x01, 0, 0, 1]);
    assert_eq!(buffer.next_frame(), Err(FrameError::TooLong { length: FRAME_BYTES_MAX + 1 }));
    assert!(buffer.bytes.capacity() < 1024);
    let too_long = Bytes::from(vec![0; FRAME_BYTES_MAX]);
    assert_eq!(
        encode(FrameKind::Request, &[1], too_long).unwrap_err(),
        FrameError::TooLong { length: FRAME_BYTES_MAX + 1 }
    );
}
