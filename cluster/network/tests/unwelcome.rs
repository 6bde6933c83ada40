//! Nodes of the cluster that must not come in: old copies of a data directory, and nodes that speak too little.

use super::*;
use crate::network::RpcError;

fn speaking(node_id: u64, format: u16, generation: u64) -> Node {
    let identity = LocalIdentity::new(node_id, Some([7; 16])).speaking(format, Life { generation, process: 5 });
    start_as(loopback(), insecure(), identity).unwrap()
}

async fn is_told(node: &Node) -> Unwelcome {
    let mut told = node.identity.unwelcome();
    let why = tokio::time::timeout(PATIENCE, told.wait_for(Option::is_some)).await.unwrap().unwrap();
    why.clone().unwrap()
}

/// Whoever dials: the call is refused, both have a line for it, and only the one that is meant is told.
async fn is_barred(member: &Node, other: &Node, expected: &Unwelcome) {
    for (from, to) in [(other, member), (member, other)] {
        let (warnings, _guard) = Warnings::capture();
        let refused = who(from, &to.addr()).await.unwrap_err();
        assert!(matches!(&refused, RpcError::Barred { why, .. } if why == expected), "{refused}");
        assert_eq!(is_told(other).await, *expected);
        assert!(member.identity.unwelcome().borrow().is_none());
        let lines = warnings.take();
        assert!((1..=2).contains(&lines.len()), "{lines:?}");
        assert!(lines.iter().all(|line| line.contains(expected.reason())), "{lines:?}");
    }
}

#[tokio::test]
async fn an_old_life_is_kept_out_whoever_dials() {
    let expected = Unwelcome::Stale("it is a copy".to_owned());
    is_barred(&speaking(1, 2, 3), &speaking(2, 2, STALE_LIFE), &expected).await;
}

#[tokio::test]
async fn who_speaks_too_little_is_kept_out_whoever_dials() {
    let expected = Unwelcome::Outdated("it is too old".to_owned());
    is_barred(&speaking(1, 2, 3), &start(OUTDATED_NODE, Some(7)), &expected).await;
}

#[tokio::test]
async fn the_lower_of_two_formats_is_spoken() {
    let (one, two) = (start(1, Some(7)), speaking(2, 2, 3));
    let from_two = two.endpoint.peer(&one.addr(), None).hello().await.unwrap();
    assert_eq!((from_two.format, from_two.common_format, from_two.life), (1, 1, None));
    let from_one = one.endpoint.peer(&two.addr(), None).hello().await.unwrap();
    assert_eq!((from_one.format, from_one.common_format), (2, 1));
    let newer = speaking(3, 9, 4);
    let from_two = two.endpoint.peer(&newer.addr(), None).hello().await.unwrap();
    assert_eq!((from_two.format, from_two.common_format), (9, 2));
    assert_eq!(from_two.life, Some(Life { generation: 4, process: 5 }));
}

#[tokio::test]
async fn who_is_connected_is_known_without_a_dial() {
    let (member, other) = (speaking(1, 2, 3), speaking(2, 2, 3));
    let peer = other.endpoint.peer(&member.addr(), None);
    assert!(peer.connected_to().is_none());
    peer.hello().await.unwrap();
    assert_eq!(peer.connected_to().unwrap().node_id, 1);
    assert!(other.endpoint.peer(&member.addr(), Some(9)).connected_to().is_none(), "another node is expected there");
}
