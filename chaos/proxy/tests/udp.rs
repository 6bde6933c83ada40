//! Packets between nodes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::super::{Addresses, Network, Policy};
use super::{PATIENCE, loopback, until};

struct Nodes {
    network: Network,
    sockets: Vec<UdpSocket>,
    addresses: Vec<Addresses>,
}

impl Nodes {
    async fn new(count: usize) -> Self {
        let mut nodes = Self { network: Network::new(7), sockets: Vec::new(), addresses: Vec::new() };
        for index in 0..count {
            let socket = UdpSocket::bind(loopback()).await.unwrap();
            let real = socket.local_addr().unwrap();
            nodes.addresses.push(nodes.network.add_node(index, real, loopback()).await.unwrap());
            nodes.sockets.push(socket);
        }
        nodes
    }

    async fn send(&self, from: usize, to: usize, number: u32) {
        self.sockets[from].send_to(&number.to_be_bytes(), self.addresses[to].peer).await.unwrap();
    }

    async fn receive_from(&self, node: usize) -> (u32, SocketAddr) {
        receive(&self.sockets[node]).await
    }

    async fn receive(&self, node: usize) -> u32 {
        self.receive_from(node).await.0
    }

    async fn receive_many(&self, node: usize, count: usize) -> Vec<u32> {
        let mut received = Vec::new();
        for _ in 0..count {
            received.push(self.receive(node).await);
        }
        received
    }

    fn has_nothing(&self, node: usize) -> bool {
        self.sockets[node].try_recv_from(&mut [0; 4]).is_err()
    }
}

async fn receive(socket: &UdpSocket) -> (u32, SocketAddr) {
    let mut packet = [0; 4];
    let (bytes, from) = timeout(PATIENCE, socket.recv_from(&mut packet)).await.expect("a packet").unwrap();
    assert_eq!(bytes, 4);
    (u32::from_be_bytes(packet), from)
}

#[tokio::test]
async fn packets_keep_their_order_and_answers_come_from_where_the_peer_was_called() {
    let nodes = Nodes::new(3).await;
    for number in 0..100 {
        nodes.send(0, 1, number).await;
    }
    assert_eq!(nodes.receive_many(1, 99).await, (0..99).collect::<Vec<_>>());
    let (number, caller) = nodes.receive_from(1).await;
    assert_eq!(number, 99);
    nodes.sockets[1].send_to(&7u32.to_be_bytes(), caller).await.unwrap();
    assert_eq!(nodes.receive_from(0).await, (7, nodes.addresses[1].peer));

    // Another peer is another caller, and its answers do not go astray.
    nodes.send(2, 1, 8).await;
    let (_, other) = nodes.receive_from(1).await;
    assert_ne!(other, caller);
    nodes.sockets[1].send_to(&9u32.to_be_bytes(), other).await.unwrap();
    assert_eq!(nodes.receive_from(2).await, (9, nodes.addresses[1].peer));
    assert!(nodes.has_nothing(0));
}

#[tokio::test]
async fn a_packet_of_the_largest_size_passes_whole() {
    let nodes = Nodes::new(2).await;
    let packet: Vec<u8> = (0..65_507u32).map(|byte| byte as u8).collect();
    nodes.sockets[0].send_to(&packet, nodes.addresses[1].peer).await.unwrap();
    let mut received = vec![0; 70_000];
    let (bytes, _) = timeout(PATIENCE, nodes.sockets[1].recv_from(&mut received)).await.unwrap().unwrap();
    assert_eq!(received[..bytes], packet);
}

#[tokio::test]
async fn a_cut_in_one_direction_leaves_the_other() {
    let nodes = Nodes::new(2).await;
    nodes.send(0, 1, 1).await;
    let (_, caller) = nodes.receive_from(1).await;
    nodes.network.cut_one_way(0, 1);
    nodes.send(0, 1, 2).await;
    until(|| nodes.network.counts().dropped == 1).await;
    // Both the answers of node 1 and what it sends of itself.
    nodes.sockets[1].send_to(&3u32.to_be_bytes(), caller).await.unwrap();
    assert_eq!(nodes.receive(0).await, 3);
    nodes.send(1, 0, 4).await;
    let (number, caller_of_0) = nodes.receive_from(0).await;
    assert_eq!(number, 4);
    // An answer goes in the direction that is cut, whoever called.
    nodes.sockets[0].send_to(&5u32.to_be_bytes(), caller_of_0).await.unwrap();
    until(|| nodes.network.counts().dropped == 2).await;
    assert!(nodes.has_nothing(1));

    nodes.network.heal();
    nodes.send(0, 1, 6).await;
    assert_eq!(nodes.receive(1).await, 6);
}

#[tokio::test]
async fn a_partition_parts_two_groups_and_leaves_each_whole() {
    let nodes = Nodes::new(4).await;
    nodes.network.cut(&[0, 1], &[2, 3]);
    for (from, to) in [(0, 2), (2, 0), (1, 3), (3, 1), (0, 3), (2, 1)] {
        nodes.send(from, to, 1).await;
    }
    until(|| nodes.network.counts().dropped == 6).await;
    nodes.send(0, 1, 2).await;
    nodes.send(3, 2, 3).await;
    assert_eq!((nodes.receive(1).await, nodes.receive(2).await), (2, 3));
}

#[tokio::test]
async fn the_share_that_is_lost_is_as_asked_and_the_same_for_the_same_seed() {
    let mut lost = Vec::new();
    for _ in 0..2 {
        let nodes = Nodes::new(2).await;
        nodes.network.set(0, 1, Policy::loss(0.3));
        let mut received = Vec::new();
        for number in 0..1_000 {
            nodes.send(0, 1, number).await;
            until(|| {
                let counts = nodes.network.counts();
                counts.dropped + counts.forwarded == u64::from(number) + 1
            })
            .await;
            while let Ok(packet) = nodes.sockets[1].try_recv_from(&mut [0; 4]) {
                received.push((number, packet.0));
            }
        }
        assert!((230..370).contains(&nodes.network.counts().dropped), "{:?}", nodes.network.counts());
        lost.push(nodes.network.counts().dropped);
    }
    assert_eq!(lost[0], lost[1]);
}

#[tokio::test]
async fn duplicates_arrive_twice() {
    let nodes = Nodes::new(2).await;
    nodes.network.set(0, 1, Policy { duplicate: 1.0, ..Policy::default() });
    for number in 0..20 {
        nodes.send(0, 1, number).await;
    }
    assert_eq!(nodes.receive_many(1, 40).await, (0..40).map(|number| number / 2).collect::<Vec<_>>());
    assert_eq!(nodes.network.counts().duplicated, 20);
}

#[tokio::test]
async fn packets_that_are_held_back_are_overtaken_and_all_arrive() {
    for policy in [
        Policy { reorder: 0.2, ..Policy::default() },
        Policy::delay(Duration::from_millis(20), Duration::from_millis(15)),
    ] {
        let nodes = Nodes::new(2).await;
        nodes.network.set(0, 1, policy);
        for number in 0..200 {
            nodes.send(0, 1, number).await;
        }
        let mut received = nodes.receive_many(1, 200).await;
        assert!(!received.is_sorted(), "{policy:?}");
        assert!(nodes.network.counts().reordered > 0);
        received.sort_unstable();
        assert_eq!(received, (0..200).collect::<Vec<_>>(), "{policy:?}");
    }
}

#[tokio::test]
async fn a_delay_is_at_least_that_long_and_keeps_the_order() {
    let nodes = Nodes::new(2).await;
    let delay = Duration::from_millis(100);
    nodes.network.set(0, 1, Policy::delay(delay, Duration::ZERO));
    let start = Instant::now();
    for number in 0..100 {
        nodes.send(0, 1, number).await;
    }
    assert_eq!(nodes.receive(1).await, 0);
    assert!(start.elapsed() >= delay);
    assert_eq!(nodes.receive_many(1, 99).await, (1..100).collect::<Vec<_>>());
    assert_eq!(nodes.network.counts().delayed, 100);
}

#[tokio::test]
async fn a_jitter_greater_than_the_delay_does_not_reach_into_the_past() {
    let nodes = Nodes::new(2).await;
    nodes.network.set(0, 1, Policy::delay(Duration::from_millis(1), Duration::from_millis(10)));
    for number in 0..50 {
        nodes.send(0, 1, number).await;
    }
    let mut received = nodes.receive_many(1, 50).await;
    received.sort_unstable();
    assert_eq!(received, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_slow_line_carries_so_much_and_its_router_drops_the_rest() {
    let nodes = Nodes::new(2).await;
    nodes.network.set(0, 1, Policy { bytes_per_second: Some(10_000), ..Policy::default() });
    let start = Instant::now();
    for _ in 0..100 {
        nodes.sockets[0].send_to(&[0; 200], nodes.addresses[1].peer).await.unwrap();
    }
    let mut packet = [0; 200];
    for _ in 0..25 {
        timeout(PATIENCE, nodes.sockets[1].recv(&mut packet)).await.expect("a packet").unwrap();
    }
    // 5,000 bytes; half a second's worth of the burst was kept, the rest is gone.
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
    let counts = nodes.network.counts();
    assert!(counts.overflowed >= 40, "{counts:?}");
    assert_eq!(counts.delayed + counts.overflowed, 100);
}

#[tokio::test]
async fn the_queue_of_a_line_is_bounded() {
    let nodes = Nodes::new(2).await;
    nodes.network.set(0, 1, Policy::delay(Duration::from_secs(3_600), Duration::ZERO));
    let packet = vec![0; 60_000];
    for sent in 1..=400u64 {
        nodes.sockets[0].send_to(&packet, nodes.addresses[1].peer).await.unwrap();
        until(|| {
            let counts = nodes.network.counts();
            counts.delayed + counts.overflowed == sent
        })
        .await;
    }
    assert_eq!(nodes.network.counts().delayed, (16 << 20) / 60_000);
}

#[tokio::test]
async fn what_is_on_its_way_is_lost_with_a_cut_and_arrives_at_once_on_a_line_that_heals() {
    let nodes = Nodes::new(2).await;
    let hour = Policy::delay(Duration::from_secs(3_600), Duration::ZERO);
    nodes.network.set(0, 1, hour);
    nodes.send(0, 1, 1).await;
    until(|| nodes.network.counts().delayed == 1).await;
    nodes.network.cut(&[0], &[1]);
    assert_eq!(nodes.network.counts().dropped, 1);

    nodes.network.set(0, 1, hour);
    for number in 2..5 {
        nodes.send(0, 1, number).await;
    }
    until(|| nodes.network.counts().delayed == 4).await;
    nodes.network.heal();
    nodes.send(0, 1, 5).await;
    assert_eq!(nodes.receive_many(1, 4).await, [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_stranger_passes_where_nodes_do_not_until_the_node_is_isolated() {
    let nodes = Nodes::new(2).await;
    let stranger = UdpSocket::bind(loopback()).await.unwrap();
    let to_0 = nodes.addresses[0].peer;
    nodes.network.set_all(Policy::cut());
    stranger.send_to(&1u32.to_be_bytes(), to_0).await.unwrap();
    let (number, caller) = nodes.receive_from(0).await;
    assert_eq!(number, 1);
    nodes.sockets[0].send_to(&2u32.to_be_bytes(), caller).await.unwrap();
    assert_eq!(receive(&stranger).await, (2, to_0));

    nodes.network.isolate(0);
    stranger.send_to(&3u32.to_be_bytes(), to_0).await.unwrap();
    nodes.sockets[0].send_to(&4u32.to_be_bytes(), caller).await.unwrap();
    until(|| nodes.network.counts().dropped == 2).await;

    // It joins, and its line is one between nodes.
    nodes.network.heal();
    nodes.network.add_node(2, stranger.local_addr().unwrap(), loopback()).await.unwrap();
    nodes.network.cut_one_way(2, 0);
    stranger.send_to(&5u32.to_be_bytes(), to_0).await.unwrap();
    until(|| nodes.network.counts().dropped == 3).await;
    nodes.sockets[0].send_to(&6u32.to_be_bytes(), caller).await.unwrap();
    assert_eq!(receive(&stranger).await, (6, to_0));
    assert!(nodes.has_nothing(0));
}

#[tokio::test]
async fn an_isolated_node_is_cut_off_from_nodes_that_come_later_as_well() {
    let nodes = Nodes::new(2).await;
    nodes.network.isolate(0);
    let late = UdpSocket::bind(loopback()).await.unwrap();
    let late_addresses = nodes.network.add_node(2, late.local_addr().unwrap(), loopback()).await.unwrap();
    late.send_to(&1u32.to_be_bytes(), nodes.addresses[0].peer).await.unwrap();
    nodes.sockets[0].send_to(&2u32.to_be_bytes(), late_addresses.peer).await.unwrap();
    nodes.send(1, 0, 3).await;
    until(|| nodes.network.counts().dropped == 3).await;
    late.send_to(&4u32.to_be_bytes(), nodes.addresses[1].peer).await.unwrap();
    assert_eq!(nodes.receive(1).await, 4);
}

#[tokio::test]
async fn a_node_reaches_itself_whatever_happens_to_lines() {
    let nodes = Nodes::new(2).await;
    nodes.network.set_all(Policy::cut());
    nodes.network.isolate(0);
    nodes.network.set(0, 0, Policy::cut());
    nodes.send(0, 0, 1).await;
    assert_eq!(nodes.receive(0).await, 1);
}

#[tokio::test]
async fn a_node_that_is_gone_is_found_again_at_its_address() {
    let mut nodes = Nodes::new(2).await;
    nodes.send(0, 1, 1).await;
    assert_eq!(nodes.receive(1).await, 1);
    let gone = nodes.sockets.remove(1);
    let address = gone.local_addr().unwrap();
    drop(gone);
    let forwarded = nodes.network.counts().forwarded;
    for number in 0..10 {
        nodes.send(0, 1, number).await;
    }
    until(|| nodes.network.counts().forwarded == forwarded + 10).await;
    nodes.sockets.push(UdpSocket::bind(address).await.unwrap());
    nodes.send(0, 1, 2).await;
    assert_eq!(nodes.receive(1).await, 2);
}
