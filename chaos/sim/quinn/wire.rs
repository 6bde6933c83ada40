//! One connection: its two sides, its streams, and what is on its way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{ApplicationClose, ConnectionError, VarInt};
use vedfolnir_sim_world::hosts::{self, Host};
use vedfolnir_sim_world::{clock, links, random, trace};

/// As the cluster sets it.
const IDLE_US_MAX: u64 = 5_000_000;
/// As the cluster sets it.
const KEEP_ALIVE_US: u64 = 1_500_000;
/// The first packet that is sent again waits this long, each further one twice as long as the one before.
const RESEND_US_MIN: u64 = 60_000;
const RESEND_US_MAX: u64 = 3_000_000;

/// The side that dialled.
pub(crate) const DIALLER: usize = 0;
/// The side that was dialled.
pub(crate) const ACCEPTOR: usize = 1;

/// One end. `life` says which process it belongs to.
pub(crate) struct Side {
    pub(crate) host: Host,
    pub(crate) life: u64,
    pub(crate) closed: Option<ConnectionError>,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    heard_us: u64,
    /// What this side sent and the link did not let through.
    held: VecDeque<Packet>,
    resend_us: u64,
    resend_planned: bool,
    pub(crate) opened_bi: VecDeque<u64>,
    pub(crate) opened_uni: VecDeque<u64>,
    wakers: Vec<Waker>,
}

/// One direction of a stream, by the side that sends.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) arrived: VecDeque<Bytes>,
    /// Sent and not read yet.
    pub(crate) unread_bytes: usize,
    pub(crate) finished: bool,
    pub(crate) reset: Option<VarInt>,
    pub(crate) stopped: Option<VarInt>,
    last_at_us: u64,
}

pub(crate) struct Stream {
    opener: usize,
    uni: bool,
    announced: bool,
    pub(crate) pipes: [Pipe; 2],
}

pub(crate) struct State {
    pub(crate) sides: [Side; 2],
    pub(crate) streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    /// Both sides know of each other.
    pub(crate) established: bool,
    /// Put into the acceptor's queue.
    pub(crate) offered: bool,
}

/// See the module.
pub(crate) struct Wire {
    number: u64,
    pub(crate) state: Mutex<State>,
}

/// What goes over a link.
pub(crate) enum Packet {
    Data { stream: u64, bytes: Bytes },
    Finish { stream: u64 },
    Reset { stream: u64, code: VarInt },
    Stop { stream: u64, code: VarInt },
    Close { error: ConnectionError },
}

impl Packet {
    fn stream(&self) -> Option<u64> {
        match self {
            Self::Data { stream, .. } | Self::Finish { stream } | Self::Reset { stream, .. } => Some(*stream),
            Self::Stop { .. } | Self::Close { .. } => None,
        }
    }

    fn words(&self) -> [u64; 3] {
        match self {
            Self::Data { stream, bytes } => [1, *stream, bytes.len() as u64],
            Self::Finish { stream } => [2, *stream, 0],
            Self::Reset { stream, .. } => [3, *stream, 0],
            Self::Stop { stream, .. } => [4, *stream, 0],
            Self::Close { .. } => [5, 0, 0],
        }
    }
}

impl Side {
    pub(crate) fn new(host: Host, life: u64) -> Self {
        Self {
            host,
            life,
            closed: None,
            datagrams: 0,
            bytes: 0,
            heard_us: clock::now_us(),
            held: VecDeque::new(),
            resend_us: RESEND_US_MIN,
            resend_planned: false,
            opened_bi: VecDeque::new(),
            opened_uni: VecDeque::new(),
            wakers: Vec::new(),
        }
    }

    fn runs(&self) -> bool {
        hosts::lives(self.host, self.life)
    }

    fn hear(&mut self) {
        self.datagrams += 1;
        self.heard_us = clock::now_us();
    }

    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }
}

impl Wire {
    pub(crate) fn new(dialler: Side, acceptor: Side) -> Arc<Self> {
        let number = random::bits();
        let state = State {
            sides: [dialler, acceptor],
            streams: BTreeMap::new(),
            next_stream: 0,
            established: false,
            offered: false,
        };
        let wire = Arc::new(Self { number, state: Mutex::new(state) });
        let tended = Arc::clone(&wire);
        clock::after(random::between(1, KEEP_ALIVE_US), move || tend(&tended));
        wire
    }

    /// Wakes whoever waits at that side.
    pub(crate) fn wake(&self, side: usize) {
        let wakers = self.state.lock().sides[side].take_wakers();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn open_stream(&self, opener: usize, uni: bool) -> Result<u64, ConnectionError> {
        let mut state = self.state.lock();
        if let Some(error) = &state.sides[opener].closed {
            return Err(error.clone());
        }
        let number = state.next_stream;
        state.next_stream += 1;
        let pipes = [Pipe::default(), Pipe::default()];
        state.streams.insert(number, Stream { opener, uni, announced: false, pipes });
        Ok(number)
    }

    /// Closes this side, with a word to the other.
    pub(crate) fn close(self: &Arc<Self>, side: usize, code: VarInt, reason: &[u8]) {
        if self.end(side, ConnectionError::LocallyClosed) {
            let reason = Bytes::copy_from_slice(reason);
            let error = ConnectionError::ApplicationClosed(ApplicationClose { error_code: code, reason });
            self.send(side, Packet::Close { error });
        }
    }

    /// This side is over; says whether it was not before.
    pub(crate) fn end(&self, side: usize, error: ConnectionError) -> bool {
        let mut state = self.state.lock();
        if state.sides[side].closed.is_some() {
            return false;
        }
        state.sides[side].closed = Some(error);
        let wakers = state.sides[side].take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// Puts a packet on its way.
    pub(crate) fn send(self: &Arc<Self>, from: usize, packet: Packet) {
        let at = {
            let mut state = self.state.lock();
            if !state.sides[from].runs() {
                // A process that was killed says nothing, whatever its destructors try.
                return;
            }
            let travel = links::travel_us(state.sides[from].host, state.sides[1 - from].host);
            let mut at = clock::now_us() + travel;
            if let Some(pipe) = packet.stream().and_then(|stream| state.streams.get_mut(&stream)) {
                let pipe = &mut pipe.pipes[from];
                at = at.max(pipe.last_at_us);
                pipe.last_at_us = at;
            }
            at
        };
        let wire = Arc::clone(self);
        clock::at(at, move || wire.arrive(from, packet));
    }

    /// A packet has come to the end of its link, or to where the link is cut.
    fn arrive(self: &Arc<Self>, from: usize, packet: Packet) {
        let open = {
            let mut state = self.state.lock();
            let open = links::is_open(state.sides[from].host, state.sides[1 - from].host);
            state.sides[from].held.push_back(packet);
            open
        };
        if open { self.flush(from) } else { self.plan_resend(from) }
    }

    fn plan_resend(self: &Arc<Self>, from: usize) {
        let pause = {
            let mut state = self.state.lock();
            let side = &mut state.sides[from];
            if side.resend_planned {
                return;
            }
            side.resend_planned = true;
            let pause = side.resend_us;
            side.resend_us = (pause * 2).min(RESEND_US_MAX);
            pause
        };
        let wire = Arc::clone(self);
        clock::after(pause, move || {
            let (wanted, open) = {
                let mut state = wire.state.lock();
                state.sides[from].resend_planned = false;
                let side = &state.sides[from];
                let wanted = !side.held.is_empty() && side.runs() && side.closed.is_none();
                (wanted, links::is_open(side.host, state.sides[1 - from].host))
            };
            match (wanted, open) {
                (false, _) => {}
                (true, true) => wire.flush(from),
                (true, false) => wire.plan_resend(from),
            }
        });
    }

    /// Delivers what was held, in order.
    fn flush(self: &Arc<Self>, from: usize) {
        self.state.lock().sides[from].resend_us = RESEND_US_MIN;
        loop {
            let Some(packet) = self.state.lock().sides[from].held.pop_front() else { return };
            self.deliver(from, packet);
        }
    }

    fn deliver(self: &Arc<Self>, from: usize, packet: Packet) {
        let to = 1 - from;
        let mut state = self.state.lock();
        let (sender, receiver) = (state.sides[from].host, state.sides[to].host);
        if !state.sides[to].runs() || state.sides[to].closed.is_some() {
            let answers = hosts::is_alive(receiver) && !hosts::is_frozen(receiver);
            let unknown = state.established && answers && !matches!(packet, Packet::Close { .. });
            drop(state);
            if unknown {
                self.reset_later(from, receiver, sender);
            }
            return;
        }
        let [kind, stream, length] = packet.words();
        trace::note("packet", &[self.number, from as u64, kind, stream, length]);
        state.sides[to].hear();
        state.sides[to].bytes += length;
        let acked = !hosts::is_frozen(receiver) && links::is_open(receiver, sender) && state.sides[from].runs();
        if acked {
            state.sides[from].hear();
        }
        if let Packet::Close { error } = packet {
            drop(state);
            self.end(to, error);
            return;
        }
        if let Some(number) = packet.stream() {
            state.announce(from, number);
        }
        match packet {
            Packet::Data { stream, bytes } => {
                if let Some(stream) = state.streams.get_mut(&stream)
                    && stream.pipes[from].stopped.is_none()
                {
                    stream.pipes[from].arrived.push_back(bytes);
                }
            }
            Packet::Finish { stream } => {
                if let Some(stream) = state.streams.get_mut(&stream) {
                    stream.pipes[from].finished = true;
                }
            }
            Packet::Reset { stream, code } => {
                if let Some(stream) = state.streams.get_mut(&stream) {
                    stream.pipes[from].reset = Some(code);
                }
            }
            // About what the other direction carries.
            Packet::Stop { stream, code } => {
                if let Some(stream) = state.streams.get_mut(&stream) {
                    stream.pipes[to].stopped = Some(code);
                }
            }
            Packet::Close { .. } => {}
        }
        drop(state);
        self.wake(to);
    }

    /// The other process does not know the connection (any more) and says so.
    fn reset_later(self: &Arc<Self>, side: usize, from: Host, to: Host) {
        if !links::is_open(from, to) {
            return;
        }
        let wire = Arc::clone(self);
        clock::after(links::travel_us(from, to), move || {
            if wire.state.lock().sides[side].runs() {
                wire.end(side, ConnectionError::Reset);
            }
        });
    }
}

impl State {
    /// The receiver hears of a stream with the first that arrives on it.
    fn announce(&mut self, from: usize, number: u64) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.announced || stream.opener != from {
            return;
        }
        stream.announced = true;
        let side = &mut self.sides[1 - from];
        if stream.uni { side.opened_uni.push_back(number) } else { side.opened_bi.push_back(number) }
    }
}

/// Keeps both sides alive, or finds that one is not there any more.
fn tend(wire: &Arc<Wire>) {
    let mut wanted = false;
    for side in [DIALLER, ACCEPTOR] {
        let (me, peer, runs, silent, peer_runs, established) = {
            let state = wire.state.lock();
            let (own, other) = (&state.sides[side], &state.sides[1 - side]);
            let runs = own.runs() && own.closed.is_none() && (side == DIALLER || state.offered);
            let silent = clock::now_us().saturating_sub(own.heard_us) > IDLE_US_MAX;
            let peer_runs = other.runs() && other.closed.is_none();
            (own.host, other.host, runs, silent, peer_runs, state.established)
        };
        if !runs {
            continue;
        }
        wanted = true;
        if hosts::is_frozen(me) {
            continue;
        }
        if silent {
            wire.end(side, ConnectionError::TimedOut);
            continue;
        }
        if !established || !links::is_open(me, peer) {
            continue;
        }
        if peer_runs {
            wire.state.lock().sides[1 - side].hear();
            wire.flush(side);
            if !hosts::is_frozen(peer) && links::is_open(peer, me) {
                wire.state.lock().sides[side].hear();
            }
        } else if hosts::is_alive(peer) && !hosts::is_frozen(peer) {
            wire.reset_later(side, peer, me);
        }
    }
    if wanted {
        let wire = Arc::clone(wire);
        clock::after(KEEP_ALIVE_US, move || tend(&wire));
    }
}
