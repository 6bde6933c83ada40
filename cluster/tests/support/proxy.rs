//! A UDP proxy in front of a node that can go deaf in the middle of a connection, or pass no more than it is told to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::net::UdpSocket;
use tokio::sync::watch;

const DATAGRAM_BYTES_MAX: usize = 65_535;
/// First bit of a datagram's first byte: a packet that opens a connection (RFC 9000, section 17.2).
const LONG_HEADER: u8 = 0x80;

/// Passes datagrams on until so many bytes went to the node; then nothing passes any more, in either direction, until
/// whoever sent the last of them has given its connection up and opens another, and, if the proxy was told to hold,
/// [`Proxy::release`] was called.
pub struct Proxy {
    pub addr: SocketAddr,
    state: Arc<State>,
}

struct State {
    left: AtomicU64,
    hold: AtomicBool,
    /// To whom it listens no more.
    deaf: watch::Sender<Option<SocketAddr>>,
    cuts: watch::Sender<u64>,
    /// Bytes that may still go to the node before somebody allows more; `None`: as many as come.
    allowance: watch::Sender<Option<u64>>,
}

impl State {
    /// Waits until so many bytes may go to the node. What comes meanwhile waits in the socket, or is lost there.
    async fn allowed(&self, bytes: u64) {
        let enough = |allowance: &Option<u64>| allowance.is_none_or(|left| left >= bytes);
        // The sender is `self`.
        let _ = self.allowance.subscribe().wait_for(enough).await;
        self.allowance.send_modify(|allowance| *allowance = allowance.map(|left| left.saturating_sub(bytes)));
    }

    /// Whether a datagram to the node passes.
    fn admits(&self, datagram: &[u8], from: SocketAddr) -> bool {
        let deaf = *self.deaf.borrow();
        if let Some(cut) = deaf {
            let opens = datagram.first().is_some_and(|first| first & LONG_HEADER != 0);
            if !opens || cut != from || self.hold.load(Ordering::Acquire) {
                return false;
            }
            self.deaf.send_replace(None);
        }
        let bytes = datagram.len() as u64;
        let spent = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
        if spent.is_err() {
            self.left.store(u64::MAX, Ordering::Release);
            self.deaf.send_replace(Some(from));
            self.cuts.send_modify(|cuts| *cuts += 1);
            return false;
        }
        true
    }
}

impl Proxy {
    /// In front of the node at `target`; passes everything at first.
    pub async fn start(target: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("loopback"));
        let addr = front.local_addr().expect("bound");
        let state = Arc::new(State {
            left: AtomicU64::new(u64::MAX),
            hold: AtomicBool::new(false),
            deaf: watch::channel(None).0,
            cuts: watch::channel(0).0,
            allowance: watch::channel(None).0,
        });
        tokio::spawn(pass(front, target, Arc::clone(&state)));
        Self { addr, state }
    }

    /// Goes deaf once so many more bytes went to the node.
    pub fn cut_after(&self, bytes: u64, hold: bool) {
        self.state.hold.store(hold, Ordering::Release);
        self.state.left.store(bytes, Ordering::Release);
    }

    /// From here on so many bytes go to the node; what was allowed before and not used is forgotten.
    pub fn allow(&self, bytes: u64) {
        self.state.allowance.send_replace(Some(bytes));
    }

    /// Everything passes again.
    pub fn allow_all(&self) {
        self.state.allowance.send_replace(None);
    }

    /// The next connection passes.
    pub fn release(&self) {
        self.state.hold.store(false, Ordering::Release);
    }

    /// Waits until it has gone deaf so often.
    pub async fn cuts(&self, count: u64) {
        let mut cuts = self.state.cuts.subscribe();
        let cut = cuts.wait_for(|cuts| *cuts >= count);
        tokio::time::timeout(super::CEILING, cut).await.expect("cut in time").expect("the proxy lives");
    }
}

async fn pass(front: Arc<UdpSocket>, target: SocketAddr, state: Arc<State>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // A port that answers "nobody there" is an error of the next call, and no reason to end.
        let Ok((bytes, from)) = front.recv_from(&mut datagram).await else { continue };
        if !state.admits(&datagram[..bytes], from) {
            continue;
        }
        state.allowed(bytes as u64).await;
        let back = match backs.get(&from) {
            Some(back) => Arc::clone(back),
            None => {
                let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("loopback"));
                back.connect(target).await.expect("loopback");
                backs.insert(from, Arc::clone(&back));
                tokio::spawn(pass_back(Arc::clone(&back), Arc::clone(&front), from, Arc::clone(&state)));
                back
            }
        };
        let _ = back.send(&datagram[..bytes]).await;
    }
}

async fn pass_back(back: Arc<UdpSocket>, front: Arc<UdpSocket>, to: SocketAddr, state: Arc<State>) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok(bytes) = back.recv(&mut datagram).await else { continue };
        if state.deaf.borrow().is_none() {
            let _ = front.send_to(&datagram[..bytes], to).await;
        }
    }
}
