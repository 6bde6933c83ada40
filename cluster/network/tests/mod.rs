//! The edge between real endpoints on loopback.

mod calls;
mod enrol;
mod fixtures;
mod refusals;
mod restart;
mod streams;
mod tls;
mod unwelcome;
mod volatile;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::{
    Endpoint, FrameReceiver, FrameSender, Handler, Life, LocalIdentity, NetworkError, NetworkTls, PeerIdentity,
    Unwelcome,
};
use crate::config::ClusterTls;

/// Longer than anything here takes; a test that reaches it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nobody lets this one in.
const REMOVED_NODE: u64 = 0xdead;
/// Nor this life of any node.
const STALE_LIFE: u64 = 1;
/// Nor this one while it speaks format 1 only.
const OUTDATED_NODE: u64 = 0x01d;

mod kind {
    pub const ECHO: u8 = 1;
    pub const REFUSE: u8 = 2;
    pub const HANG: u8 = 3;
    pub const WHO: u8 = 4;
    pub const TOO_LONG: u8 = 5;
    /// Streams only: takes the stream and reads nothing.
    pub const STALL: u8 = 6;
}

struct TestHandler {
    node_id: u64,
    volatile: mpsc::Sender<Bytes>,
    /// What became of a stream's receiving half.
    ended: mpsc::Sender<String>,
    turned_away: Arc<AtomicU64>,
}

impl Handler for TestHandler {
    fn request(&self, from: PeerIdentity, kind: u8, body: Bytes) -> BoxFuture<'_, Result<Bytes, Bytes>> {
        Box::pin(async move {
            match kind {
                kind::ECHO => Ok(body),
                kind::HANG => std::future::pending().await,
                kind::WHO => Ok(Bytes::from(format!("{} asks {}", from.node_id, self.node_id))),
                kind::TOO_LONG => Ok(Bytes::from(vec![0; super::FRAME_BYTES_MAX + 1])),
                _ => Err(Bytes::from_static(b"not today")),
            }
        })
    }

    fn stream(
        &self,
        _from: PeerIdentity,
        kind: u8,
        header: Bytes,
        mut sender: FrameSender,
        mut receiver: FrameReceiver,
    ) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if kind == kind::STALL {
                std::future::pending::<()>().await;
            }
            let mut ended = sender.send(header).await.err().map(|error| error.to_string());
            let ended = loop {
                if let Some(ended) = ended.take() {
                    break ended;
                }
                match receiver.recv().await {
                    Ok(Some(body)) => {
                        if let Err(error) = sender.send(body).await {
                            break error.to_string();
                        }
                    }
                    Ok(None) => break "finished".to_owned(),
                    Err(error) => break error.to_string(),
                }
            };
            let _ = sender.finish().await;
            let _ = self.ended.try_send(ended);
        })
    }

    fn volatile(&self, _from: PeerIdentity, body: Bytes) {
        self.volatile.try_send(body).unwrap();
    }

    fn enrol(&self, _from: SocketAddr, body: Bytes) -> BoxFuture<'_, Bytes> {
        Box::pin(async move { Bytes::from([b"certificate for ", body.as_ref()].concat()) })
    }

    fn turned_away(&self) {
        self.turned_away.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn unwelcome(&self, peer: &PeerIdentity) -> Option<Unwelcome> {
        match (peer.node_id, peer.life) {
            (REMOVED_NODE, _) => Some(Unwelcome::Removed("it was removed".to_owned())),
            (_, Some(Life { generation: STALE_LIFE, .. })) => Some(Unwelcome::Stale("it is a copy".to_owned())),
            (OUTDATED_NODE, _) if peer.format < 2 => Some(Unwelcome::Outdated("it is too old".to_owned())),
            _ => None,
        }
    }
}

struct Node {
    endpoint: Endpoint,
    identity: Arc<LocalIdentity>,
    volatile: mpsc::Receiver<Bytes>,
    ended: mpsc::Receiver<String>,
    turned_away: Arc<AtomicU64>,
}

impl Node {
    fn addr(&self) -> String {
        self.endpoint.local_addr().to_string()
    }

    /// Closes and frees the port.
    async fn stop(self) -> SocketAddr {
        let addr = self.endpoint.local_addr();
        self.endpoint.close();
        self.endpoint.wait_closed().await;
        addr
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn insecure() -> NetworkTls {
    NetworkTls::load(&ClusterTls::InsecureLoopback).unwrap()
}

fn start(node_id: u64, cluster: Option<u8>) -> Node {
    start_at(loopback(), insecure(), node_id, cluster).unwrap()
}

fn start_at(bind: SocketAddr, tls: NetworkTls, node_id: u64, cluster: Option<u8>) -> Result<Node, NetworkError> {
    start_as(bind, tls, LocalIdentity::new(node_id, cluster.map(|byte| [byte; 16])))
}

fn start_as(bind: SocketAddr, tls: NetworkTls, identity: LocalIdentity) -> Result<Node, NetworkError> {
    let (node_id, identity) = (identity.node_id(), Arc::new(identity));
    let (volatile_sender, volatile) = mpsc::channel(100_000);
    let (ended_sender, ended) = mpsc::channel(16);
    let turned_away = Arc::new(AtomicU64::new(0));
    let handler = Arc::new(TestHandler {
        node_id,
        volatile: volatile_sender,
        ended: ended_sender,
        turned_away: Arc::clone(&turned_away),
    });
    let endpoint = Endpoint::bind(bind, tls, Arc::clone(&identity), handler)?;
    Ok(Node { endpoint, identity, volatile, ended, turned_away })
}

/// The system frees a port a moment after its last user is gone, without telling.
async fn start_again_at(addr: SocketAddr, tls: impl Fn() -> NetworkTls, node_id: u64) -> Node {
    let again = async {
        loop {
            match start_at(addr, tls(), node_id, None) {
                Ok(node) => return node,
                Err(NetworkError::AddrInUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap()
}

/// Asks the peer to say its name.
async fn who(from: &Node, to: &str) -> Result<String, super::RpcError> {
    let reply = from.endpoint.peer(to, None).request(kind::WHO, Bytes::new(), PATIENCE).await?;
    Ok(String::from_utf8(reply.to_vec()).unwrap())
}

/// The lines of the log at `warn` and above, while a single-threaded test runs.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let warnings = Self::default();
        let guard = tracing::subscriber::set_default(warnings.clone());
        (warnings, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && !metadata.target().starts_with("quinn")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
