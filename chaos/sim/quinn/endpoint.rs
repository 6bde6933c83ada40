//! Where a process is reached, and how it reaches others.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, IntoFuture, Ready, poll_fn, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use quinn::{ClientConfig, ConnectError, ConnectionError, EndpointConfig, ServerConfig, VarInt};
use vedfolnir_sim_world::hosts::{self, Host};
use vedfolnir_sim_world::{clock, links};

use crate::connection::{Connection, Handle};
use crate::wire::{ACCEPTOR, DIALLER, Side, Wire};

/// A first packet is sent again after this long, each further one after twice as long.
const RETRY_US_MIN: u64 = 60_000;
const RETRY_US_MAX: u64 = 1_000_000;

thread_local! {
    static BOUND: RefCell<BTreeMap<SocketAddr, Weak<Inner>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Where a host is reached.
pub(crate) fn addr_of(host: Host) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, u8::try_from(host + 1).unwrap_or(u8::MAX)], 5001))
}

/// Host N has the address 127.0.0.(N + 1).
fn host_of(addr: SocketAddr) -> Host {
    match addr.ip() {
        IpAddr::V4(ip) => usize::from(ip.octets()[3]).saturating_sub(1),
        IpAddr::V6(_) => 0,
    }
}

fn bound(addr: SocketAddr) -> Option<Arc<Inner>> {
    BOUND.with_borrow(|bound| bound.get(&addr).and_then(Weak::upgrade))
}

/// In place of a UDP socket.
#[derive(Debug)]
pub struct Socket {
    addr: SocketAddr,
}

impl Socket {
    /// Binds an address of the host whose code runs.
    ///
    /// # Errors
    /// The address is taken.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let taken =
            bound(addr).is_some_and(|inner| hosts::lives(inner.host, inner.life) && !inner.shared.lock().closed);
        if taken { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(Self { addr }) }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

#[derive(Default)]
struct Shared {
    closed: bool,
    incoming: VecDeque<Arc<Wire>>,
    wakers: Vec<Waker>,
    /// Every connection of this endpoint and its side.
    wires: Vec<(Weak<Wire>, usize)>,
}

struct Inner {
    addr: SocketAddr,
    host: Host,
    life: u64,
    shared: Mutex<Shared>,
}

/// A process' end of all connections.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

impl Endpoint {
    /// Accepts and dials from now on.
    ///
    /// # Errors
    /// None.
    pub fn new(
        _config: EndpointConfig,
        _server: Option<ServerConfig>,
        socket: Socket,
        _runtime: Arc<dyn quinn::Runtime>,
    ) -> io::Result<Self> {
        let host = hosts::current().unwrap_or_else(|| host_of(socket.addr));
        let inner = Inner { addr: socket.addr, host, life: hosts::life(host), shared: Mutex::default() };
        let inner = Arc::new(inner);
        BOUND.with_borrow_mut(|bound| bound.insert(socket.addr, Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Dials only.
    ///
    /// # Errors
    /// None.
    pub fn client(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket { addr };
        Self::new(EndpointConfig::default(), None, socket, Arc::new(quinn::TokioRuntime))
    }

    /// Dials.
    ///
    /// # Errors
    /// The endpoint is closed.
    pub fn connect_with(&self, _: ClientConfig, addr: SocketAddr, _: &str) -> Result<Connecting, ConnectError> {
        if self.inner.shared.lock().closed {
            return Err(ConnectError::EndpointStopping);
        }
        let wire = Wire::new(Side::new(self.inner.host, self.inner.life), Side::new(host_of(addr), 0));
        self.inner.remember(&wire, DIALLER);
        knock(&wire, addr, RETRY_US_MIN);
        let handle = Arc::new(Handle { wire, side: DIALLER });
        Ok(Connecting { handle })
    }

    /// The next one who dials; `None`: the endpoint is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        poll_fn(|cx| {
            let mut shared = self.inner.shared.lock();
            if shared.closed {
                return Poll::Ready(None);
            }
            if let Some(wire) = shared.incoming.pop_front() {
                return Poll::Ready(Some(Incoming { wire }));
            }
            shared.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Ends every connection, with a word to each peer.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        let (wires, wakers) = {
            let mut shared = self.inner.shared.lock();
            shared.closed = true;
            (std::mem::take(&mut shared.wires), std::mem::take(&mut shared.wakers))
        };
        for (wire, side) in wires.iter().filter_map(|(wire, side)| Some((wire.upgrade()?, *side))) {
            wire.close(side, code, reason);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Nothing is waited for: a word on its way needs nobody.
    pub async fn wait_idle(&self) {}
}

impl Inner {
    fn remember(&self, wire: &Arc<Wire>, side: usize) {
        let mut shared = self.shared.lock();
        shared.wires.retain(|(wire, _)| wire.strong_count() > 0);
        shared.wires.push((Arc::downgrade(wire), side));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The tables of a thread that ends may be gone already.
        let _ = BOUND.try_with(|bound| {
            let mut bound = bound.borrow_mut();
            if bound.get(&self.addr).is_some_and(|inner| inner.strong_count() == 0) {
                bound.remove(&self.addr);
            }
        });
    }
}

/// The first packet of a connection, until somebody answers.
fn knock(wire: &Arc<Wire>, addr: SocketAddr, pause: u64) {
    let from = {
        let state = wire.state.lock();
        let dialler = &state.sides[DIALLER];
        if state.established || dialler.closed.is_some() || !hosts::lives(dialler.host, dialler.life) {
            return;
        }
        dialler.host
    };
    let to = host_of(addr);
    if links::is_open(from, to) {
        let there = Arc::clone(wire);
        clock::after(links::travel_us(from, to), move || offer(&there, from, addr));
    }
    let again = Arc::clone(wire);
    clock::after(pause, move || knock(&again, addr, (pause * 2).min(RETRY_US_MAX)));
}

fn offer(wire: &Arc<Wire>, from: Host, addr: SocketAddr) {
    let Some(there) = bound(addr) else { return };
    if !hosts::lives(there.host, there.life) || there.shared.lock().closed {
        return;
    }
    let first = {
        let mut state = wire.state.lock();
        if state.sides[DIALLER].closed.is_some() {
            return;
        }
        let first = !state.offered;
        if first {
            state.offered = true;
            state.sides[ACCEPTOR] = Side::new(there.host, there.life);
        } else if state.sides[ACCEPTOR].life != there.life {
            // It answered in an earlier life; the dialler will give up.
            return;
        }
        first
    };
    if first {
        there.remember(wire, ACCEPTOR);
        let mut shared = there.shared.lock();
        shared.incoming.push_back(Arc::clone(wire));
        let wakers = std::mem::take(&mut shared.wakers);
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }
    if hosts::is_frozen(there.host) || !links::is_open(there.host, from) {
        return;
    }
    let back = Arc::clone(wire);
    clock::after(links::travel_us(there.host, from), move || {
        {
            let mut state = back.state.lock();
            let dialler = &state.sides[DIALLER];
            if state.established || dialler.closed.is_some() || !hosts::lives(dialler.host, dialler.life) {
                return;
            }
            state.established = true;
        }
        back.wake(DIALLER);
    });
}

/// A connection on its way.
pub struct Connecting {
    handle: Arc<Handle>,
}

impl Future for Connecting {
    type Output = Result<Connection, ConnectionError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.handle.wire.state.lock();
        if let Some(error) = &state.sides[DIALLER].closed {
            return Poll::Ready(Err(error.clone()));
        }
        if state.established {
            return Poll::Ready(Ok(Connection { handle: Arc::clone(&self.handle) }));
        }
        state.sides[DIALLER].wait(cx.waker());
        Poll::Pending
    }
}

/// Somebody dials.
pub struct Incoming {
    wire: Arc<Wire>,
}

impl Incoming {
    /// Where from.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        addr_of(self.wire.state.lock().sides[DIALLER].host)
    }

    /// Not now.
    pub fn refuse(self) {
        self.wire.close(ACCEPTOR, VarInt::from_u32(0), b"refused");
    }
}

impl IntoFuture for Incoming {
    type Output = Result<Connection, ConnectionError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(Ok(Connection { handle: Arc::new(Handle { wire: self.wire, side: ACCEPTOR }) }))
    }
}
