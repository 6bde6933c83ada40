//! Strangers: other clusters, garbage, oversize frames. Each ends in a closed connection and one line.

use std::net::UdpSocket;

use bytes::{BufMut, Bytes, BytesMut};

use super::*;
use crate::network::frame::{self, FrameKind};
use crate::network::{RpcError, hello};

#[tokio::test]
async fn clusters_do_not_mix_in_either_direction() {
    let (warnings, _guard) = Warnings::capture();
    let (a, b) = (start(1, Some(7)), start(2, Some(8)));
    for (from, to) in [(&a, &b), (&b, &a)] {
        let refused = who(from, &to.addr()).await.unwrap_err();
        assert!(matches!(refused, RpcError::WrongCluster { .. }), "{refused}");
        let text = refused.to_string();
        for part in [&"07".repeat(16), &"08".repeat(16), "--bootstrap"] {
            assert!(text.contains(part), "{text}");
        }
        // The one that dialled and the one that was dialled.
        let lines = warnings.take();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("another cluster")), "{lines:?}");
    }
}

#[tokio::test]
async fn a_node_without_a_cluster_talks_to_any_until_it_belongs_to_one() {
    let (a, b) = (start(1, None), start(2, Some(8)));
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(who(&b, &a.addr()).await.unwrap(), "2 asks 1");
    a.identity.set_cluster_id([7; 16]);
    assert!(matches!(who(&a, &b.addr()).await, Err(RpcError::WrongCluster { .. })));
    assert!(matches!(who(&b, &a.addr()).await, Err(RpcError::WrongCluster { .. })));
    a.identity.set_cluster_id([8; 16]);
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(who(&b, &a.addr()).await.unwrap(), "2 asks 1");
}

#[tokio::test]
async fn garbage_datagrams_disturb_nobody() {
    let (warnings, _guard) = Warnings::capture();
    let (a, b) = (start(1, None), start(2, None));
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    let stranger = UdpSocket::bind(loopback()).unwrap();
    let mut seed = 42u64;
    for size in (0..1_400).step_by(3) {
        let garbage: Vec<u8> = (0..size)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        stranger.send_to(&garbage, b.endpoint.local_addr()).unwrap();
        if size % 30 == 0 {
            assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
        }
    }
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(b.endpoint.open_connections(), 1);
    assert_eq!(warnings.take(), Vec::<String>::new());
}

#[tokio::test]
async fn a_peer_that_answers_with_garbage_is_unreachable() {
    let a = start(1, None);
    let stranger = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
    let addr = stranger.local_addr().unwrap().to_string();
    let babble = async {
        let mut datagram = [0; 2_000];
        loop {
            let (_, from) = stranger.recv_from(&mut datagram).await.unwrap();
            stranger.send_to(b"SSH-2.0-OpenSSH_9.2p1\r\n", from).await.unwrap();
        }
    };
    let refused = tokio::select! {
        refused = who(&a, &addr) => refused.unwrap_err(),
        () = babble => unreachable!("it never ends"),
    };
    assert!(matches!(&refused, RpcError::Unreachable { peer, .. } if *peer == addr), "{refused}");
    assert!(refused.to_string().contains("no valid answer"), "{refused}");
}

/// A stranger that speaks QUIC, and TLS as an insecure node does.
async fn connect(to: &Node) -> (quinn::Endpoint, quinn::Connection) {
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let config = quinn::ClientConfig::new(insecure().client());
    let connecting = endpoint.connect_with(config, to.endpoint.local_addr(), "node.vedfolnir").unwrap();
    let connection = connecting.await.unwrap();
    (endpoint, connection)
}

async fn greet(connection: &quinn::Connection) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let hello = hello::encode(&LocalIdentity::new(9, None));
    send.write_all(&encoded(FrameKind::Hello, &hello)).await.unwrap();
    send.finish().unwrap();
    recv.read_to_end(1_000).await.unwrap();
}

fn encoded(kind: FrameKind, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame::append(&mut bytes, kind, body).unwrap();
    bytes
}

async fn is_closed_with(connection: &quinn::Connection, text: &str) {
    match tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap() {
        quinn::ConnectionError::ApplicationClosed(closed) => {
            let reason = String::from_utf8_lossy(&closed.reason).into_owned();
            assert!(reason.contains(text), "{reason}");
        }
        other => panic!("{other}"),
    }
}

/// Each first word of a stranger ends its connection, with one line that names its address.
#[tokio::test]
async fn whoever_says_no_hello_is_closed() {
    let mut foreign = BytesMut::from(&hello::encode(&LocalIdentity::new(9, None))[..]);
    foreign[4..8].copy_from_slice(&[0, 9, 0, 12]);
    let mut oversize = BytesMut::new();
    oversize.put_slice(&[1, FrameKind::Hello as u8, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    let cases: [(BytesMut, &str); 6] = [
        (BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]), "frame version"),
        (encoded(FrameKind::Hello, b"no hello"), "not a Hello"),
        (encoded(FrameKind::Request, b"too early"), "Hello was expected"),
        (encoded(FrameKind::Hello, &foreign), "speaks formats"),
        (oversize, "at most"),
        (BytesMut::new(), "before a Hello"),
    ];
    for (words, expected) in cases {
        let (warnings, _guard) = Warnings::capture();
        let b = start(2, None);
        let (_endpoint, connection) = connect(&b).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(&words).await.unwrap();
        send.finish().unwrap();
        is_closed_with(&connection, expected).await;
        let lines = warnings.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("127.0.0.1:") && lines[0].contains(expected), "{lines:?}");
    }
}

/// The same after a Hello, on each kind of stream, while another peer goes on undisturbed.
#[tokio::test]
async fn a_peer_that_breaks_the_protocol_later_is_closed_alone() {
    let oversize = |kind: FrameKind| {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[1, kind as u8, 0, 0, 0, 0, 0x01, 0x00, 0x00, 0x01]);
        bytes
    };
    let mut stream_then_oversize = encoded(FrameKind::Stream, &[kind::ECHO]);
    stream_then_oversize.unsplit(oversize(FrameKind::Data));
    let mut cut_off = encoded(FrameKind::Stream, &[kind::ECHO]);
    cut_off.put_slice(&[1, FrameKind::Data as u8, 0]);
    let cases: [(bool, BytesMut, &str); 8] = [
        (true, oversize(FrameKind::Request), "at most"),
        (true, stream_then_oversize, "at most"),
        (true, cut_off, "ended inside a frame"),
        (true, encoded(FrameKind::Answer, b"nobody asked"), "request or stream was expected"),
        (true, encoded(FrameKind::Request, b""), "kind of a request"),
        (true, BytesMut::from(&[1u8, 99, 0, 0, 0, 0, 0, 0, 0, 0][..]), "unknown frame kind 99"),
        (true, BytesMut::from(&[1u8, 2, 0, 0, 0, 5, 0, 0, 0, 0][..]), "unknown group 5"),
        (false, encoded(FrameKind::Data, b"not volatile"), "volatile frame was expected"),
    ];
    let (warnings, _guard) = Warnings::capture();
    let a = start(1, None);
    for (both_ways, words, expected) in cases {
        let b = start(2, None);
        assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
        let (_endpoint, connection) = connect(&b).await;
        greet(&connection).await;
        // The receiving half stays open: a stream that nobody reads ends by itself.
        let (mut send, _recv) = if both_ways {
            let (send, recv) = connection.open_bi().await.unwrap();
            (send, Some(recv))
        } else {
            (connection.open_uni().await.unwrap(), None)
        };
        send.write_all(&words).await.unwrap();
        send.finish().unwrap();
        is_closed_with(&connection, expected).await;
        assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
        // The stranger's drains for a moment; the good peer's stays.
        let drained = async {
            while b.endpoint.open_connections() != 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, drained).await.unwrap();
        let lines = warnings.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(expected), "{lines:?}");
    }
}

#[tokio::test]
async fn a_bad_address_is_refused_with_the_setting_and_the_fix() {
    let a = start(1, None);
    let said = |result: Result<Node, NetworkError>| match result {
        Ok(_) => panic!("it must be refused"),
        Err(error) => error.to_string(),
    };
    let in_use = said(start_at(a.endpoint.local_addr(), insecure(), 2, None));
    for part in ["--cluster-addr (WEBSOCKET_CLUSTER_ADDR)", &a.addr(), "in use", "choose another port"] {
        assert!(in_use.contains(part), "{in_use}");
    }
    let exposed = said(start_at(SocketAddr::from(([0, 0, 0, 0], 0)), insecure(), 2, None));
    for part in ["--cluster-addr", "0.0.0.0:0", "without certificates", "cert init"] {
        assert!(exposed.contains(part), "{exposed}");
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_midway_is_no_offender() {
    let (warnings, _guard) = Warnings::capture();
    let (a, b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), Some(2));
    peer.hello().await.unwrap();
    let large = Bytes::from(vec![3; 15 << 20]);
    for limit_us in [0, 50, 500, 2_000, 5_000, 10_000] {
        let _ = peer.request(kind::ECHO, large.clone(), Duration::from_micros(limit_us)).await;
    }
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(b.endpoint.open_connections(), 1);
    assert_eq!(warnings.take(), Vec::<String>::new());
}
