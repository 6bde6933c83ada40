//! Peers that go away and come back: gracefully, killed, or silent.

use bytes::Bytes;

use super::*;
use crate::network::RpcError;

#[tokio::test]
async fn after_a_restart_on_the_same_port_the_next_request_works() {
    let (a, b) = (start(1, None), start(2, None));
    assert_eq!(who(&a, &b.addr()).await.unwrap(), "1 asks 2");
    let addr = b.stop().await;
    let _b = start_again_at(addr, insecure, 3).await;
    assert_eq!(who(&a, &addr.to_string()).await.unwrap(), "1 asks 3");
}

#[tokio::test]
async fn a_request_that_waits_for_a_peer_is_served_once_it_is_up() {
    let a = start(1, None);
    let reserved = std::net::UdpSocket::bind(loopback()).unwrap();
    let addr = reserved.local_addr().unwrap();
    let peer = a.endpoint.peer(&addr.to_string(), None);
    let first = peer.request(kind::WHO, Bytes::new(), Duration::from_millis(50)).await;
    assert!(matches!(first, Err(RpcError::Unreachable { .. })), "{first:?}");
    drop(reserved);
    let _b = start_again_at(addr, insecure, 2).await;
    let served = async {
        loop {
            if let Ok(name) = who(&a, &addr.to_string()).await {
                return name;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, served).await.unwrap(), "1 asks 2");
}

/// A node in a runtime of its own, so that it can vanish without a word, as after kill -9.
struct Victim {
    runtime: tokio::runtime::Runtime,
    node: Node,
}

impl Victim {
    fn start(tls: NetworkTls) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let node = {
            let _inside = runtime.enter();
            start_at(loopback(), tls, 2, None).unwrap()
        };
        Self { runtime, node }
    }

    fn kill(self) -> SocketAddr {
        let addr = self.node.endpoint.local_addr();
        // Its tasks go first, and only then its endpoint: nobody is left to send a goodbye. A runtime must not be
        // awaited within another one, so a thread does it.
        let runtime = self.runtime;
        std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join().unwrap();
        drop(self.node);
        addr
    }
}

/// The idle time-out is 10 s; a request that waits less and fails with the reset, not with its time-out, shows that
/// the new process has disowned the old connection.
async fn restarted_after_kill_is_found_at_once(tls: impl Fn() -> NetworkTls) {
    let a = start_at(loopback(), tls(), 1, None).unwrap();
    let victim = Victim::start(tls());
    assert_eq!(who(&a, &victim.node.addr()).await.unwrap(), "1 asks 2");
    let addr = victim.kill();
    let _b = start_again_at(addr, &tls, 2).await;
    let peer = a.endpoint.peer(&addr.to_string(), Some(2));
    let first = peer.request(kind::WHO, Bytes::new(), Duration::from_secs(8)).await;
    match first {
        Ok(_) => {}
        Err(RpcError::Unreachable { reason, .. }) => assert!(reason.contains("restarted"), "{reason}"),
        Err(other) => panic!("{other}"),
    }
    assert_eq!(peer.request(kind::WHO, Bytes::new(), PATIENCE).await.unwrap(), "1 asks 2");
}

#[tokio::test]
async fn a_killed_and_restarted_peer_is_found_at_once() {
    restarted_after_kill_is_found_at_once(insecure).await;
}

#[tokio::test]
async fn a_killed_and_restarted_peer_is_found_at_once_with_certificates() {
    let directory = tempfile::tempdir().unwrap();
    super::tls::write(directory.path(), &["a"]);
    restarted_after_kill_is_found_at_once(|| super::tls::mutual(directory.path(), "a")).await;
}

#[tokio::test]
async fn a_peer_that_fell_silent_loses_its_connection_and_its_streams() {
    let a = start(1, None);
    let victim = Victim::start(insecure());
    let peer = a.endpoint.peer(&victim.node.addr(), Some(2));
    let (_sender, mut receiver) = peer.open_stream(kind::ECHO, Bytes::new()).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap(), "");
    victim.kill();
    let unreachable = async {
        loop {
            match peer.request(kind::WHO, Bytes::new(), Duration::from_millis(300)).await {
                Err(RpcError::Timeout { .. }) => {}
                other => return other,
            }
        }
    };
    // Long before QUIC's own 10 s; the bound only ends a test that hangs.
    let found = tokio::time::timeout(Duration::from_secs(8), unreachable).await.unwrap();
    assert!(matches!(found, Err(RpcError::Unreachable { .. })), "{found:?}");
    assert!(receiver.recv().await.is_err());
}
