//! Requests and their answers.

use bytes::Bytes;
use futures_util::future::join_all;

use super::*;
use crate::network::{FRAME_BYTES_MAX, FrameError, RpcError};

#[tokio::test]
async fn a_request_is_answered_by_the_node_at_the_address() {
    let (a, b) = (start(1, None), start(2, None));
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(who(&b, &a.addr()).await.unwrap(), "2 asks 1");
    assert_eq!(who(&a, &a.addr()).await.unwrap(), "1 asks 1");
}

#[tokio::test]
async fn a_refusal_carries_its_text() {
    let (a, b) = (start(1, None), start(2, None));
    let refused = a.endpoint.peer(&b.addr(), Some(2)).request(kind::REFUSE, Bytes::new(), PATIENCE).await;
    assert_eq!(refused, Err(RpcError::Remote("not today".to_owned())));
}

#[tokio::test]
async fn hello_tells_who_answers() {
    let (a, b) = (start(1, None), start(2, Some(7)));
    let peer = a.endpoint.peer(&b.addr(), None).hello().await.unwrap();
    assert_eq!(
        peer,
        PeerIdentity {
            node_id: 2,
            cluster_id: Some([7; 16]),
            addr: b.endpoint.local_addr(),
            format: 1,
            common_format: 1,
            life: None
        }
    );
}

#[tokio::test]
async fn names_are_resolved() {
    let (a, b) = (start(1, None), start(2, None));
    let by_name = format!("localhost:{}", b.endpoint.local_addr().port());
    assert_eq!(who(&a, &by_name).await.unwrap(), "1 asks 2");
    for bad in ["no-port", "127.0.0.1:99999", ""] {
        assert!(matches!(who(&a, bad).await, Err(RpcError::Unreachable { .. })), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_share_one_dial_and_get_their_own_answers() {
    let (a, b) = (start(1, None), start(2, None));
    let addr = b.addr();
    let calls = (0..2_000u32).map(|number| {
        let peer = a.endpoint.peer(&addr, Some(2));
        async move {
            let body = Bytes::copy_from_slice(&number.to_be_bytes());
            assert_eq!(peer.request(kind::ECHO, body.clone(), PATIENCE).await.unwrap(), body);
        }
    });
    join_all(calls).await;
    assert_eq!(b.endpoint.open_connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_body_arrives_and_a_larger_one_is_refused_alone() {
    let (a, b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), Some(2));
    let largest: Bytes = (0..FRAME_BYTES_MAX - 1).map(|at| ((at * 31) >> 3) as u8).collect::<Vec<_>>().into();
    assert_eq!(peer.request(kind::ECHO, largest.clone(), PATIENCE).await.unwrap(), largest);

    let refused = peer.request(kind::ECHO, Bytes::from(vec![0; FRAME_BYTES_MAX]), PATIENCE).await;
    assert!(matches!(refused, Err(RpcError::Frame { error: FrameError::TooLong { .. }, .. })), "{refused:?}");
    let refused = peer.request(kind::TOO_LONG, Bytes::new(), PATIENCE).await;
    assert!(matches!(&refused, Err(RpcError::Remote(text)) if text.contains("at most")), "{refused:?}");
    assert_eq!(peer.request(kind::ECHO, Bytes::from_static(b"on"), PATIENCE).await.unwrap(), "on");
    assert_eq!(b.endpoint.open_connections(), 1);
}

#[tokio::test]
async fn a_late_answer_is_a_timeout_and_nothing_else_is_disturbed() {
    let (a, b) = (start(1, None), start(2, None));
    let peer = a.endpoint.peer(&b.addr(), Some(2));
    let limit = Duration::from_millis(50);
    let late = peer.request(kind::HANG, Bytes::new(), limit).await;
    // Connecting counts; on a busy machine it may take all of it.
    assert!(matches!(late, Err(RpcError::Timeout { .. } | RpcError::Unreachable { .. })), "{late:?}");
    peer.hello().await.unwrap();
    let late = peer.request(kind::HANG, Bytes::new(), limit).await;
    assert_eq!(late, Err(RpcError::Timeout { peer: b.addr(), after: limit }));
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    assert_eq!(b.endpoint.open_connections(), 1);
}

#[tokio::test]
async fn another_node_than_expected_gets_no_request() {
    let (a, b) = (start(1, None), start(2, None));
    let refused = a.endpoint.peer(&b.addr(), Some(3)).request(kind::ECHO, Bytes::new(), PATIENCE).await;
    assert_eq!(refused, Err(RpcError::WrongNode { peer: b.addr(), expected: 3, found: 2 }));
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
}

#[tokio::test]
async fn a_closed_endpoint_says_so() {
    let (a, b) = (start(1, None), start(2, None));
    a.endpoint.close();
    let refused = who(&a, &b.addr()).await.unwrap_err();
    assert!(refused.to_string().contains("this node is stopping"), "{refused}");
}
