//! Frames that earlier releases sent, as they were recorded; see `fixture_tests.rs` for how.

use bytes::{Bytes, BytesMut};
use vedfolnir_state::Format;

use super::loopback;
use crate::fixture_tests::{read, write};
use crate::network::frame::{self, Frame, FrameBuffer, FrameKind};
use crate::network::{Life, LocalIdentity, hello};

const LIFE: Life = Life { generation: 70_000, process: 0x1122_3344_5566_7788 };

fn identity(format: u8, node_id: u64, cluster_id: Option<[u8; 16]>) -> LocalIdentity {
    LocalIdentity::new(node_id, cluster_id).speaking(u16::from(format), LIFE)
}

fn frames(format: u8) -> Vec<(&'static str, FrameKind, Bytes)> {
    let of_cluster = identity(format, 0x0a0b_0c0d_0e0f_0001, Some([7; 16]));
    let alone = identity(format, 1, None);
    vec![
        ("hello", FrameKind::Hello, hello::encode(&of_cluster)),
        ("hello_without_cluster", FrameKind::Hello, hello::encode(&alone)),
        ("request", FrameKind::Request, Bytes::from_static(b"\x09")),
        ("answer", FrameKind::Answer, Bytes::from_static(b"\x93\x01\x02\x03")),
        ("refusal", FrameKind::Refusal, Bytes::from_static(b"the node is starting or stopping")),
        ("stream", FrameKind::Stream, Bytes::from_static(b"\x05\x92\xc0\xc0")),
        ("data", FrameKind::Data, Bytes::from(vec![0xd5; 300])),
        ("volatile", FrameKind::Volatile, Bytes::from_static(b"\x94\xa1/\x90\x90\x92\xc4\x00\x90")),
    ]
}

fn encoded(kind: FrameKind, body: &Bytes) -> Bytes {
    let mut bytes = BytesMut::new();
    frame::append(&mut bytes, kind, body).unwrap();
    bytes.freeze()
}

#[test]
fn recorded_frames_stay_readable_and_are_sent_the_same() {
    for format in [1, 2, 3, 4] {
        let recorded = read(format, "frames.txt");
        let frames = frames(format);
        assert_eq!(recorded.len(), frames.len());
        for (name, kind, body) in frames {
            let mut buffer = FrameBuffer::default();
            buffer.push(&recorded[name]);
            assert_eq!(buffer.next_frame().unwrap(), Some(Frame { kind, body: body.clone() }), "{name}");
            assert!(buffer.is_empty(), "{name}");
            let sent = encoded(kind, &body);
            assert_eq!(sent, recorded[name], "{name}: a node of format {format} must be able to read it");
        }
    }
}

#[test]
fn a_recorded_hello_is_understood_by_both() {
    for (theirs, ours) in [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3), (3, 4), (4, 3), (4, 4)] {
        let recorded = read(theirs, "frames.txt");
        let local = identity(ours, 2, Some([7; 16]));
        let body = |name: &str| recorded[name][frame::FRAME_HEADER_BYTES..].to_vec();
        let peer = hello::check(&body("hello"), &local, loopback()).unwrap();
        assert_eq!((peer.node_id, peer.cluster_id), (0x0a0b_0c0d_0e0f_0001, Some([7; 16])));
        assert_eq!((peer.format, peer.common_format), (u16::from(theirs), u16::from(theirs.min(ours))));
        assert_eq!(peer.life, (theirs >= 2).then_some(LIFE));
        let alone = hello::check(&body("hello_without_cluster"), &local, loopback()).unwrap();
        assert_eq!((alone.node_id, alone.cluster_id), (1, None));
    }
}

#[test]
#[ignore = "records anew what must stay as it was recorded"]
fn record_fixtures() {
    let format = Format::NEWEST.number();
    let frames: Vec<(&str, Bytes)> =
        frames(format).into_iter().map(|(name, kind, body)| (name, encoded(kind, &body))).collect();
    write(format, "frames.txt", &frames);
}
