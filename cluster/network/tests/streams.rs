//! Streams of frames: order, ends, and what a stalled one may hold up.

use bytes::Bytes;

use super::*;
use crate::network::{FRAME_BYTES_MAX, FrameError, RpcError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_frames_go_both_ways_in_order() {
    let (a, mut b) = (start(1, None), start(2, None));
    let opened = a.endpoint.peer(&b.addr(), Some(2)).open_stream(kind::ECHO, Bytes::from_static(b"header")).await;
    let (mut sender, mut receiver) = opened.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap(), "header");
    // Small and large, empty ones included.
    let body = |number: u32| {
        let size = [0, 4, 200, 3_000, 70_000][number as usize % 5] * usize::from(number % 50 != 3) + 4;
        let mut body = vec![number as u8; size];
        body[..4].copy_from_slice(&number.to_be_bytes());
        Bytes::from(body)
    };
    let sending = tokio::spawn(async move {
        for number in 0..10_000 {
            sender.send(if number % 100 == 0 { Bytes::new() } else { body(number) }).await.unwrap();
        }
        sender.finish().await.unwrap();
    });
    for number in 0..10_000 {
        let expected = if number % 100 == 0 { Bytes::new() } else { body(number) };
        assert!(receiver.recv().await.unwrap().unwrap() == expected, "frame {number}");
    }
    assert_eq!(receiver.recv().await, Ok(None));
    assert_eq!(receiver.recv().await, Ok(None));
    sending.await.unwrap();
    assert_eq!(b.ended.recv().await.unwrap(), "finished");
}

#[tokio::test]
async fn a_stalled_stream_does_not_hold_up_requests() {
    let (a, b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), Some(2));
    let (mut sender, _receiver) = peer.open_stream(kind::STALL, Bytes::new()).await.unwrap();
    let chunk = Bytes::from(vec![1; 1 << 20]);
    // Until QUIC's window is full: then a send waits.
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(500), sender.send(chunk.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 64, "a reader that stalls must hold its sender back");
    }
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    // The frame that was cut off must not be taken for a whole one.
    assert!(matches!(sender.send(Bytes::new()).await, Err(RpcError::Unreachable { .. })));
    assert!(matches!(sender.finish().await, Err(RpcError::Unreachable { .. })));
}

#[tokio::test]
async fn dropping_the_halves_ends_the_other_side() {
    let (a, mut b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), Some(2));
    let (sender, mut receiver) = peer.open_stream(kind::ECHO, Bytes::new()).await.unwrap();
    drop(sender);
    assert_eq!(receiver.recv().await.unwrap().unwrap(), "");
    assert_eq!(receiver.recv().await, Ok(None));
    assert_eq!(b.ended.recv().await.unwrap(), "finished");

    let (mut sender, mut receiver) = peer.open_stream(kind::ECHO, Bytes::new()).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap(), "");
    drop(receiver);
    while sender.send(Bytes::from_static(b"anybody?")).await.is_ok() && b.ended.is_empty() {
        tokio::task::yield_now().await;
    }
    let ended = tokio::time::timeout(PATIENCE, b.ended.recv()).await.unwrap().unwrap();
    assert!(ended.contains("no longer reads"), "{ended}");
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_refused_before_it_is_sent() {
    let (a, b) = (start(1, None), start(2, None));
    let opened = a.endpoint.peer(&b.addr(), Some(2)).open_stream(kind::ECHO, Bytes::new()).await;
    let (mut sender, mut receiver) = opened.unwrap();
    let refused = sender.send(Bytes::from(vec![0; FRAME_BYTES_MAX + 1])).await;
    assert!(matches!(refused, Err(RpcError::Frame { error: FrameError::TooLong { .. }, .. })));
    sender.send(Bytes::from_static(b"on")).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap(), "");
    assert_eq!(receiver.recv().await.unwrap().unwrap(), "on");
}

#[tokio::test]
async fn a_peer_that_stops_ends_its_streams() {
    let (a, b) = (start(1, None), start(2, None));
    let opened = a.endpoint.peer(&b.addr(), Some(2)).open_stream(kind::ECHO, Bytes::new()).await;
    let (_sender, mut receiver) = opened.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap(), "");
    b.stop().await;
    let ended = receiver.recv().await.unwrap_err();
    assert!(ended.to_string().contains("it stopped"), "{ended}");
}
