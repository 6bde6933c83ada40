//! A client: registers or resumes on any node, joins, leaves, publishes, vanishes, and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use vedfolnir_chaos::MessageId;
use vedfolnir_cluster::state::{LogPosition, PidHash};
use vedfolnir_protocol::decode_offset;
use vedfolnir_sim_world::hosts::{self, Host};
use vedfolnir_sim_world::{clock, links, random, trace};

use crate::history::Recorder;
use crate::node::Life;
use crate::pipe::{End, pair};
use crate::service::{Reply, Request, message_of, offset_of};

/// Clients live on hosts from this number on.
const FIRST_HOST: Host = 100;
/// Rooms there are.
const ROOMS: u64 = 3;
/// Each session is a publisher of its own: that of a client's number and this many times its sessions.
const PUBLISHERS_APART: u32 = 1_000;
/// An answer to CONNECT may take this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);
/// A server that says nothing for this long is gone.
const SILENCE: Duration = Duration::from_millis(2_500);
const PING_EVERY: Duration = Duration::from_millis(1_000);
/// Of a thousand resumes so many are begun at another node as well.
const GIVES_UP_PER_MILLE: u64 = 150;

/// What clients do at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Everything, vanishing included.
    Wild = 0,
    /// Everything but vanishing.
    Calm = 1,
    /// They listen.
    Quiet = 2,
    /// Each resumes once more, elsewhere.
    Resuming = 3,
}

/// What clients share.
pub(crate) struct Arena {
    pub(crate) lives: Mutex<Vec<Arc<Life>>>,
    pub(crate) phase: AtomicU8,
    pub(crate) recorder: Recorder,
    /// How long a client stays away at most, milliseconds.
    pub(crate) away_ms_max: u64,
}

impl Arena {
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Wild,
            1 => Phase::Calm,
            2 => Phase::Quiet,
            _ => Phase::Resuming,
        }
    }
}

/// The session that a client holds.
struct Held {
    pid: PidHash,
    sid: Arc<str>,
    offset: Option<String>,
}

enum Asked {
    Publish(MessageId),
    /// The room, and which of the session's memberships it is to become.
    Join(u32, usize),
    Leave,
    Data,
}

/// See the module.
pub(crate) struct Client {
    number: u32,
    arena: Arc<Arena>,
    held: Option<Held>,
    /// Sessions begun. What two sessions of one client publish has no order: the first one's may still be under way on a
    /// node that is cut off, and nothing fences a session that its client has closed.
    sessions: u32,
    sequence: u64,
    asked: BTreeMap<u64, Asked>,
    next_id: u64,
    last_host: Option<Host>,
}

/// How a conversation ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// The transport is gone.
    Gone,
    /// The client closed its session for good.
    Closed,
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl Client {
    pub(crate) fn new(number: u32, arena: Arc<Arena>) -> Self {
        Self {
            number,
            arena,
            held: None,
            sessions: 0,
            sequence: 0,
            asked: BTreeMap::new(),
            next_id: 0,
            last_host: None,
        }
    }

    fn host(&self) -> Host {
        FIRST_HOST + self.number as usize
    }

    /// For ever.
    pub(crate) async fn run(mut self) {
        hosts::start(self.host());
        loop {
            let end = self.connect().await;
            let ended = match end {
                Some(end) => self.converse(&end).await,
                None => Ended::Gone,
            };
            self.arena.recorder.0.lock().connected.remove(&self.number);
            // What was not answered may have been done or not.
            self.asked.clear();
            if ended == Ended::Closed {
                self.forget();
            }
            let away = match self.arena.phase() {
                Phase::Wild if random::chance(120) => random::between(1_000, self.arena.away_ms_max),
                _ => random::between(10, 400),
            };
            sleep(ms(away)).await;
        }
    }

    /// The session is over for the client.
    fn forget(&mut self) {
        if let Some(held) = self.held.take() {
            let now = clock::now_us();
            self.arena.recorder.reception(held.pid, |reception| {
                reception.over = true;
                for (_, _, left) in &mut reception.memberships {
                    left.get_or_insert(now);
                }
            });
        }
    }

    /// Asks some node for its session.
    async fn connect(&mut self) -> Option<End<Request, Reply>> {
        let lives = self.arena.lives.lock().clone();
        let mut choices: Vec<Host> = (0..lives.len()).collect();
        if self.arena.phase() == Phase::Resuming && lives.len() > 1 {
            choices.retain(|host| Some(*host) != self.last_host);
        }
        if self.held.is_some() && self.arena.phase() == Phase::Wild && random::chance(GIVES_UP_PER_MILLE) {
            // An attempt that it gives up at once is still under way while it asks elsewhere.
            drop(self.knock(&lives, random::pick(&choices)));
        }
        let host = random::pick(&choices);
        sleep(Duration::from_micros(links::travel_us(self.host(), host))).await;
        if !hosts::is_alive(host) {
            return None;
        }
        let near = self.knock(&lives, host);
        let Ok(Some(Reply::Connected { recovered, pid, sid })) = timeout(CONNECT_TIMEOUT, near.recv()).await else {
            return None;
        };
        trace::note("connected", &[u64::from(self.number), host as u64, u64::from(recovered)]);
        self.last_host = Some(host);
        let mut resumed = false;
        match &self.held {
            Some(held) if recovered && held.pid == pid && held.sid == sid => {
                resumed = true;
                self.arena.recorder.0.lock().counts.resumed += 1;
            }
            Some(_) if recovered => {
                self.arena.recorder.violation("I3", format!("client {} got another's session {pid:?}", self.number));
            }
            held => {
                if held.is_some() {
                    self.arena.recorder.0.lock().counts.lost += 1;
                }
                self.forget();
                self.sessions += 1;
                self.held = Some(Held { pid, sid, offset: None });
                self.arena.recorder.reception(pid, |_| ());
            }
        }
        let mut history = self.arena.recorder.0.lock();
        history.connected.insert(self.number, pid);
        if resumed && self.arena.phase() == Phase::Resuming {
            history.resumed.insert(self.number);
        }
        drop(history);
        Some(near)
    }

    /// Opens a connection to the node and asks for what it holds.
    fn knock(&self, lives: &[Arc<Life>], host: Host) -> End<Request, Reply> {
        let (near, far) = pair(self.host(), host);
        let life = Arc::clone(&lives[host]);
        clock::after(links::travel_us(self.host(), host), move || life.door.knock(far));
        let (session, offset) = match &self.held {
            Some(held) => (Some(held.pid), held.offset.clone()),
            None => (None, None),
        };
        near.send(Request::Connect { session, offset });
        near
    }

    /// Until the transport is gone.
    async fn converse(&mut self, end: &End<Request, Reply>) -> Ended {
        let stays = Instant::now() + ms(random::between(300, 9_000));
        let mut heard = Instant::now();
        let mut ping_at = Instant::now() + PING_EVERY;
        let mut act_at = Instant::now() + ms(random::between(1, 80));
        loop {
            tokio::select! {
                biased;
                reply = end.recv() => {
                    let Some(reply) = reply else { return Ended::Gone };
                    heard = Instant::now();
                    self.hear(reply);
                }
                () = sleep_until(ping_at) => {
                    end.send(Request::Ping);
                    ping_at = Instant::now() + PING_EVERY;
                }
                () = sleep_until(act_at) => {
                    act_at = Instant::now() + ms(random::between(10, 250));
                    match self.arena.phase() {
                        Phase::Wild if Instant::now() >= stays => {
                            if random::chance(100) {
                                end.send(Request::Close);
                                self.linger(end).await;
                                return Ended::Closed;
                            }
                            return Ended::Gone;
                        }
                        Phase::Wild | Phase::Calm => self.act(end),
                        Phase::Quiet => {}
                        Phase::Resuming => {
                            let resumed = self.arena.recorder.0.lock().resumed.contains(&self.number);
                            if !resumed {
                                return Ended::Gone;
                            }
                        }
                    }
                }
                () = sleep_until(heard + SILENCE) => return Ended::Gone,
            }
        }
    }

    /// The server ends the connection after a close; what still arrives is not this session's any more.
    async fn linger(&self, end: &End<Request, Reply>) {
        let _ = timeout(SILENCE, async { while end.recv().await.is_some() {} }).await;
    }

    fn ask(&mut self, asked: Asked) -> u64 {
        self.next_id += 1;
        self.asked.insert(self.next_id, asked);
        self.next_id
    }

    fn act(&mut self, end: &End<Request, Reply>) {
        let Some(held) = &self.held else { return };
        let (pid, sid) = (held.pid, Arc::clone(&held.sid));
        let room = random::below(ROOMS) as u32;
        match random::below(11) {
            10 => {
                let id = self.ask(Asked::Data);
                end.send(Request::SetData { id, data: random::bits() });
            }
            0 | 1 => {
                // Without an answer it may have taken place: a membership of which nobody knows when it began.
                let at = self.arena.recorder.reception(pid, |reception| {
                    reception.memberships.push((room, u64::MAX, None));
                    reception.memberships.len() - 1
                });
                let id = self.ask(Asked::Join(room, at));
                end.send(Request::Join { id, room });
            }
            2 => {
                let now = clock::now_us();
                self.arena.recorder.reception(pid, |reception| {
                    for (_, _, left) in reception.memberships.iter_mut().filter(|(joined, ..)| *joined == room) {
                        left.get_or_insert(now);
                    }
                });
                // A join under way is not known to end in a membership any more.
                for asked in self.asked.values_mut() {
                    if matches!(asked, Asked::Join(joined, _) if *joined == room) {
                        *asked = Asked::Leave;
                    }
                }
                let id = self.ask(Asked::Leave);
                end.send(Request::Leave { id, room });
            }
            kind => {
                self.sequence += 1;
                let publisher = self.number + self.sessions * PUBLISHERS_APART;
                let message = MessageId { publisher, sequence: self.sequence };
                let other = random::below(ROOMS) as u32;
                let (rooms, except): (Vec<u32>, Vec<Arc<str>>) = match kind {
                    3 => (Vec::new(), Vec::new()),
                    4 => (vec![room, other], vec![sid]),
                    5 | 6 => (vec![room], vec![crate::service::room_name(other)]),
                    _ => (vec![room], Vec::new()),
                };
                let plain = rooms.len() == 1 && except.is_empty();
                self.arena.recorder.sent(message, room, plain);
                let id = self.ask(Asked::Publish(message));
                end.send(Request::Publish { id, message, rooms, except });
            }
        }
    }

    fn hear(&mut self, reply: Reply) {
        match reply {
            Reply::Event(text) => self.event(&text),
            Reply::Done { id, done } => match self.asked.remove(&id) {
                Some(Asked::Publish(message)) => self.arena.recorder.published(self.number, message, done),
                Some(Asked::Join(_, at)) if done => {
                    if let Some(held) = &self.held {
                        let now = clock::now_us();
                        self.arena.recorder.reception(held.pid, |reception| reception.memberships[at].1 = now);
                    }
                }
                _ => {}
            },
            Reply::Pong | Reply::Connected { .. } => {}
        }
    }

    fn event(&mut self, text: &[u8]) {
        let Some(held) = &mut self.held else { return };
        let (Some(message), Some(offset)) = (message_of(text), offset_of(text)) else { return };
        // The history's id is checked where the offset is handed back.
        let Some((index, ordinal)) = position_of(&offset) else { return };
        let position = LogPosition::new(index, ordinal);
        trace::note("event", &[u64::from(self.number), index, u64::from(ordinal)]);
        held.offset = Some(offset);
        self.arena.recorder.reception(held.pid, |reception| reception.deliveries.push((position, message)));
        self.arena.recorder.0.lock().counts.delivered += 1;
    }
}

/// The position in an offset, whatever history it is of.
fn position_of(offset: &str) -> Option<(u64, u32)> {
    HISTORY.with(|history| decode_offset(offset, history.get()).ok())
}

thread_local! {
    static HISTORY: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// The history that offsets are of.
pub(crate) fn set_history(id: u64) {
    HISTORY.set(id);
}
