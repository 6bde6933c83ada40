//! Connections of clients.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::{Network, Policy};
use super::{PATIENCE, loopback, until};

/// What must not come is waited for so long: a fault may go unseen on a machine that is slow, but none is made up.
const SILENCE: Duration = Duration::from_millis(150);

struct Node {
    listener: TcpListener,
    door: SocketAddr,
}

async fn node(network: &Network, index: usize) -> Node {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addresses = network.add_node(index, loopback(), listener.local_addr().unwrap()).await.unwrap();
    Node { listener, door: addresses.door }
}

impl Node {
    /// The client's end and the node's.
    async fn connection(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.door).await.unwrap();
        (client, self.accept().await)
    }

    async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("a connection").unwrap().0
    }
}

async fn say(from: &mut TcpStream, to: &mut TcpStream, words: &[u8]) {
    from.write_all(words).await.unwrap();
    let mut heard = vec![0; words.len()];
    timeout(PATIENCE, to.read_exact(&mut heard)).await.expect("the words").unwrap();
    assert_eq!(heard, words);
}

async fn ends(stream: &mut TcpStream) {
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0])).await.expect("an end").unwrap(), 0);
}

async fn is_reset(stream: &mut TcpStream) {
    let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("a reset");
    assert_eq!(read.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
}

async fn is_silent(stream: &mut TcpStream) {
    assert!(timeout(SILENCE, stream.read(&mut [0])).await.is_err());
}

#[tokio::test]
async fn bytes_pass_both_ways_and_so_does_the_end_of_each() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    say(&mut client, &mut served, b"a question").await;
    say(&mut served, &mut client, &[7; 3_000]).await;
    client.shutdown().await.unwrap();
    ends(&mut served).await;
    // The other direction is not over.
    say(&mut served, &mut client, b"an answer").await;
    drop(served);
    ends(&mut client).await;
    until(|| network.door(0).connections() == 0).await;
}

#[tokio::test]
async fn a_node_that_dies_with_a_reset_resets_its_clients() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, served) = node.connection().await;
    socket2::SockRef::from(&served).set_linger(Some(Duration::ZERO)).unwrap();
    drop(served);
    is_reset(&mut client).await;
}

#[tokio::test]
async fn on_half_open_connections_neither_side_hears_of_the_other() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    let (gone, mut left) = node.connection().await;
    say(&mut client, &mut served, b"before").await;
    network.door(0).half_open();
    client.write_all(b"lost").await.unwrap();
    served.write_all(b"lost").await.unwrap();
    drop(gone);
    is_silent(&mut served).await;
    is_silent(&mut client).await;
    is_silent(&mut left).await;

    // New connections are not concerned, and healing brings nothing back.
    network.heal();
    let (mut new, mut served_new) = node.connection().await;
    say(&mut new, &mut served_new, b"after").await;
    drop(client);
    is_silent(&mut served).await;
    // The node has not given up either of them, the client one.
    assert_eq!((network.door(0).connections(), network.door(0).half_open_left()), (3, 2));
    drop((served, left));
    until(|| network.door(0).connections() == 1).await;
    assert_eq!(network.door(0).half_open_left(), 0);
}

#[tokio::test]
async fn a_reset_reaches_both_ends_and_spares_new_connections() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    network.door(0).reset_all();
    is_reset(&mut client).await;
    is_reset(&mut served).await;
    let (mut new, mut served_new) = node.connection().await;
    say(&mut new, &mut served_new, b"after").await;
}

#[tokio::test]
async fn a_door_that_refuses_keeps_the_connections_it_has() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    network.door(0).refuse(true);
    is_reset(&mut TcpStream::connect(node.door).await.unwrap()).await;
    say(&mut client, &mut served, b"still here").await;
    network.heal();
    let (mut new, mut served_new) = node.connection().await;
    say(&mut new, &mut served_new, b"after").await;
}

#[tokio::test]
async fn bytes_are_on_their_way_for_at_least_the_delay() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    let delay = Duration::from_millis(80);
    network.door(0).delay(delay);
    let start = Instant::now();
    say(&mut client, &mut served, b"there").await;
    say(&mut served, &mut client, b"and back").await;
    assert!(start.elapsed() >= delay * 2);
}

#[tokio::test]
async fn a_slow_connection_carries_so_much_and_loses_nothing() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    network.door(0).bandwidth(Some(100_000));
    let words: Vec<u8> = (0..30_000u32).map(|byte| byte as u8).collect();
    let start = Instant::now();
    say(&mut served, &mut client, &words).await;
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_a_stalled_reader_does_not_read_holds_the_node_up_and_is_all_there_afterwards() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    network.door(0).stall(true);
    let mut written = 0u64;
    // More than this the kernel does not take.
    while let Ok(bytes) = timeout(SILENCE, served.write(&[1; 64 << 10])).await {
        written += bytes.unwrap() as u64;
        assert!(written < 64 << 20, "the node is not held up");
    }
    is_silent(&mut client).await;
    say(&mut client, &mut served, b"the other way is open").await;
    network.door(0).stall(false);
    drop(served);
    let mut rest = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut rest)).await.expect("all of it").unwrap();
    assert_eq!(rest.len() as u64, written);
}

#[tokio::test]
async fn clients_of_an_isolated_node_stay() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let (mut client, mut served) = node.connection().await;
    network.isolate(0);
    say(&mut client, &mut served, b"still here").await;
    let (mut new, mut served_new) = node.connection().await;
    say(&mut new, &mut served_new, b"welcome").await;
}

#[tokio::test]
async fn the_front_leads_to_the_preferred_node_or_the_next_that_lives() {
    let network = Network::new(1);
    let nodes = [node(&network, 0).await, node(&network, 1).await, node(&network, 2).await];
    let front = network.add_front(1).await.unwrap();
    let connect = || async { TcpStream::connect(front).await.unwrap() };
    let (mut client, mut served) = (connect().await, nodes[1].accept().await);
    say(&mut client, &mut served, b"the preferred one").await;
    say(&mut served, &mut client, b"has spoken").await;

    network.isolate(1);
    let (_client, _served) = (connect().await, nodes[2].accept().await);
    network.door(2).refuse(true);
    let (_client, _served) = (connect().await, nodes[0].accept().await);
    // Those who are connected stay, and its faults reach them there.
    say(&mut client, &mut served, b"still here").await;
    network.door(1).reset_all();
    is_reset(&mut client).await;

    network.heal();
    let (_client, _served) = (connect().await, nodes[1].accept().await);
    let [first, dead, _third] = nodes;
    drop(dead);
    network.isolate(2);
    let (_client, _served) = (connect().await, first.accept().await);
    network.door(0).refuse(true);
    is_reset(&mut connect().await).await;
}

#[tokio::test]
async fn the_front_tries_a_node_that_says_nothing_last() {
    let network = Network::new(1);
    let nodes = [node(&network, 0).await, node(&network, 1).await];
    let front = network.add_front(0).await.unwrap();
    let client = TcpStream::connect(front).await.unwrap();
    let served = nodes[0].accept().await;
    drop((client, served));
    until(|| network.door(0).connections() == 0).await;
    // The suspicion stands by the time the connection has left the door, or a moment later.
    let mut tries = 0;
    while network.door(1).connections() == 0 {
        tries += 1;
        assert!(tries < 100);
        let mut client = TcpStream::connect(front).await.unwrap();
        tokio::select! {
            accepted = nodes[0].listener.accept() => drop(accepted),
            accepted = nodes[1].listener.accept() => {
                let (mut served, _) = accepted.unwrap();
                say(&mut served, &mut client, b"hello").await;
                return;
            }
        }
    }
}

#[tokio::test]
async fn all_ends_with_the_last_handle() {
    let network = Network::new(1);
    let node = node(&network, 0).await;
    let clone = network.clone();
    drop(network);
    clone.set_all(Policy::default());
    let (mut client, mut served) = node.connection().await;
    say(&mut client, &mut served, b"hello").await;
    drop(clone);
    ends(&mut client).await;
    ends(&mut served).await;
    let refused = timeout(PATIENCE, async { while TcpStream::connect(node.door).await.is_ok() {} });
    refused.await.expect("the listener is gone");
}
