//! Volatile frames: delivered in order while all is well, dropped and counted otherwise.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::*;
use crate::network::VOLATILE_QUEUE_BYTES_MAX;
use crate::network::frame::FRAME_HEADER_BYTES;

#[tokio::test]
async fn volatile_frames_arrive_in_order() {
    let (a, mut b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), Some(2));
    for number in 0..1_000u32 {
        peer.send_volatile(Bytes::copy_from_slice(&number.to_be_bytes()));
    }
    for number in 0..1_000u32 {
        assert_eq!(b.volatile.recv().await.unwrap(), number.to_be_bytes().as_slice());
    }
    assert_eq!(peer.volatile_dropped(), 0);
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_counts() {
    let (a, mut b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), Some(2));
    let size = 64 << 10;
    let room = (VOLATILE_QUEUE_BYTES_MAX / (size + FRAME_HEADER_BYTES)) as u64;
    let sent = 2 * room;
    // The one thread of this test sends nothing before it awaits.
    for number in 0..sent {
        let mut body = vec![0; size];
        body[..8].copy_from_slice(&number.to_be_bytes());
        peer.send_volatile(Bytes::from(body));
    }
    assert_eq!(peer.volatile_dropped(), sent - room);
    for number in sent - room..sent {
        assert_eq!(b.volatile.recv().await.unwrap()[..8], number.to_be_bytes());
    }
    // Larger than the whole queue: dropped itself, nothing else for it.
    peer.send_volatile(Bytes::from(vec![0; VOLATILE_QUEUE_BYTES_MAX]));
    assert_eq!(peer.volatile_dropped(), sent - room + 1);
    assert_eq!(a.endpoint.volatile_dropped().load(Ordering::Relaxed), sent - room + 1);
}

#[tokio::test]
async fn what_waits_for_a_peer_that_cannot_be_reached_is_dropped() {
    let a = start(1, None);
    let silent = std::net::UdpSocket::bind(loopback()).unwrap();
    let peer = a.endpoint.peer(&silent.local_addr().unwrap().to_string(), None);
    for _ in 0..10 {
        peer.send_volatile(Bytes::from_static(b"anybody?"));
    }
    // The dial fails for the pump as it does here; the pump waits for the same dial.
    assert!(peer.hello().await.is_err());
    let dropped = async {
        while peer.volatile_dropped() < 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, dropped).await.unwrap();
}

#[tokio::test]
async fn frames_for_a_node_that_has_moved_away_are_dropped() {
    let (a, mut b) = (start(1, None), start(2, None));
    a.endpoint.peer(&b.addr(), Some(3)).send_volatile(Bytes::from_static(b"for 3"));
    a.endpoint.peer(&b.addr(), Some(2)).send_volatile(Bytes::from_static(b"for 2"));
    assert_eq!(b.volatile.recv().await.unwrap(), "for 2");
    assert_eq!(a.endpoint.volatile_dropped().load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn volatile_frames_flow_again_after_a_restart() {
    let (a, mut b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), None);
    peer.send_volatile(Bytes::from_static(b"first"));
    assert_eq!(b.volatile.recv().await.unwrap(), "first");
    let addr = b.stop().await;
    let mut b = start_again_at(addr, insecure, 2).await;
    let flows = async {
        loop {
            // Frames in flight at the restart are lost, as promised.
            peer.send_volatile(Bytes::from_static(b"second"));
            tokio::select! {
                body = b.volatile.recv() => return body.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, flows).await.unwrap(), "second");
}
