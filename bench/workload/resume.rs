//! kill -9 of the node that the clients are on, while two others go on publishing.
//!
//! ```text
//!  kill ──detect──► the client sees its connection end ──reconnect──► CONNECT reply with the same pid ──replay──► it has
//!                                                                     what was acknowledged up to that reply
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use vedfolnir_chaos::client::{Client, Endpoint, LinkError, Message, Session, is_refused, packet};
use vedfolnir_chaos::{History, Membership, MessageId, Outcome, Publish, Reception, Verdict, check_delivery};

use super::{Clock, DRAIN_TIMEOUT, HANDSHAKES_MAX, connect_each, stamped};
use crate::args::ResumeArgs;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::{Cluster, kill};

const ROOM: &str = "bench";
const PAYLOAD_BYTES: usize = 64;
/// Publishing goes on this long before the kill and after the last client is back.
const STEADY: Duration = Duration::from_secs(2);
/// A client that is not back after this long is not coming.
const RESUME_TIMEOUT: Duration = Duration::from_secs(30);
/// Between attempts that fail at once, so that a refusing node is not hammered.
const RETRY_PAUSE: Duration = Duration::from_millis(5);
/// A message's number on the wire: the publisher above, its sequence below.
const SEQUENCE_BITS: u32 = 40;

#[derive(Default)]
struct Times {
    total: Histogram,
    detect: Histogram,
    reconnect: Histogram,
    replay: Histogram,
}

struct Shared {
    clock: Rc<Clock>,
    killed_at: Cell<Option<u64>>,
    stopping: Cell<bool>,
    times: RefCell<Times>,
    /// By publisher: how many of its messages are acknowledged, which is in order.
    acked: RefCell<Vec<u64>>,
    publishes: RefCell<Vec<Publish>>,
    refused: Cell<u64>,
    back: Cell<usize>,
    recovered: Cell<usize>,
    attempts: Cell<u64>,
    trouble: RefCell<Vec<String>>,
}

/// Sums over all cycles.
#[derive(Default)]
struct Totals {
    times: Times,
    clients: usize,
    recovered: usize,
    attempts: u64,
    verdict: Verdict,
    broken: Vec<String>,
}

pub(super) async fn run(arguments: ResumeArgs) -> Result<Report, BenchError> {
    let role = if arguments.leader { "the leader" } else { "a follower" };
    let mut report = Report::new(
        &arguments.label,
        format!(
            "kill -9 of {role}, {} clients on it, {} publishes/s on {} nodes, {} kills",
            arguments.clients, arguments.rate, arguments.nodes, arguments.cycles
        ),
    );
    let mut totals = Totals::default();
    for _ in 0..arguments.cycles {
        cycle(&arguments, &mut totals).await?;
    }
    report.figure("recovered", totals.recovered as f64, &format!("of {} clients", totals.clients));
    report.latencies("kill → resumed", &totals.times.total);
    report.latencies("… detect", &totals.times.detect);
    report.latencies("… reconnect", &totals.times.reconnect);
    report.latencies("replay", &totals.times.replay);
    report.figure("attempts", totals.attempts as f64 / totals.clients.max(1) as f64, "per client");
    report.verdict(&totals.verdict, true);
    if totals.recovered < totals.clients {
        report.broken.push(format!("{} clients were not recovered", totals.clients - totals.recovered));
    }
    report.broken.append(&mut totals.broken);
    Ok(report)
}

async fn cycle(arguments: &ResumeArgs, totals: &mut Totals) -> Result<(), BenchError> {
    let cluster = Cluster::start(&arguments.bin, arguments.nodes, arguments.server_core).await?;
    let leader = cluster.leader(&arguments.bin).await?;
    let (mut survivors, mut victim) = (Vec::new(), None);
    for node in &cluster.nodes {
        if victim.is_none() && (node.pid == leader) == arguments.leader {
            victim = Some(node);
        } else {
            survivors.push(Endpoint::parse(&node.url)?);
        }
    }
    let (Some(victim), false) = (victim, survivors.is_empty()) else {
        return Err(BenchError::Other(format!("--nodes {}: no node to kill or none left", arguments.nodes)));
    };
    let shared = Rc::new(Shared {
        clock: Clock::new(),
        killed_at: Cell::new(None),
        stopping: Cell::new(false),
        times: RefCell::default(),
        acked: RefCell::new(vec![0; survivors.len()]),
        publishes: RefCell::default(),
        refused: Cell::new(0),
        back: Cell::new(0),
        recovered: Cell::new(0),
        attempts: Cell::new(0),
        trouble: RefCell::default(),
    });
    let home = Endpoint::parse(&victim.url)?;
    let survivors = Rc::new(survivors);
    let delay = Duration::from_millis(arguments.delay_ms);
    let subscribers = connect_each(&[home], arguments.clients, HANDSHAKES_MAX, |index, mut client| {
        let (shared, survivors) = (shared.clone(), survivors.clone());
        async move {
            client.join(ROOM).await?;
            let joined_at = shared.clock.now();
            let publishers = survivors.len();
            let mut subscriber = Subscriber {
                index,
                survivors,
                delay,
                receptions: vec![reception(joined_at)],
                session: client.session.clone(),
                seen: vec![0; publishers],
                shared,
            };
            Ok(tokio::task::spawn_local(async move {
                subscriber.live(client).await;
                subscriber
            }))
        }
    })
    .await?;
    let mut publishers = Vec::new();
    for (number, endpoint) in survivors.iter().enumerate() {
        let client = Client::connect(endpoint).await?;
        let period = Duration::from_secs_f64(survivors.len() as f64 / arguments.rate);
        let shared = shared.clone();
        publishers.push(tokio::task::spawn_local(publisher(client, number, period, shared)));
    }

    sleep(STEADY).await;
    shared.killed_at.set(Some(shared.clock.now()));
    kill(victim.pid).await?;
    let all_back = async {
        while shared.back.get() < arguments.clients {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(RESUME_TIMEOUT, all_back).await.is_err() {
        let missing = arguments.clients - shared.back.get();
        totals.broken.push(format!("{missing} clients were not served within {} s", RESUME_TIMEOUT.as_secs()));
    }
    sleep(STEADY).await;
    shared.stopping.set(true);
    for publisher in publishers {
        match timeout(DRAIN_TIMEOUT, publisher).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => totals.broken.push(format!("a publisher on a survivor was disconnected: {error}")),
            Ok(Err(error)) => return Err(BenchError::Other(error.to_string())),
            Err(_) => totals.broken.push("a publisher got no answer".to_owned()),
        }
    }
    let mut history = History { publishes: shared.publishes.take(), receptions: Vec::new() };
    for subscriber in subscribers {
        // It ends when it has what was acknowledged; what is missing then is lost.
        match timeout(DRAIN_TIMEOUT, subscriber).await {
            Ok(Ok(subscriber)) => history.receptions.extend(subscriber.receptions),
            Ok(Err(error)) => return Err(BenchError::Other(error.to_string())),
            Err(_) => totals.broken.push("a client never received the last acknowledged message".to_owned()),
        }
    }
    add(totals, arguments.clients, &shared, &check_delivery(&history));
    cluster.stop().await
}

fn add(totals: &mut Totals, clients: usize, shared: &Shared, verdict: &Verdict) {
    let times = shared.times.take();
    totals.times.total.merge(&times.total);
    totals.times.detect.merge(&times.detect);
    totals.times.reconnect.merge(&times.reconnect);
    totals.times.replay.merge(&times.replay);
    totals.clients += clients;
    totals.recovered += shared.recovered.get();
    totals.attempts += shared.attempts.get();
    let sum = &mut totals.verdict;
    sum.owed += verdict.owed;
    sum.delivered += verdict.delivered;
    sum.lost += verdict.lost;
    sum.duplicated += verdict.duplicated;
    sum.out_of_order += verdict.out_of_order;
    sum.phantom += verdict.phantom;
    sum.examples.extend(verdict.examples.iter().cloned());
    totals.broken.append(&mut shared.trouble.borrow_mut());
    if shared.refused.get() > 0 {
        totals.broken.push(format!("{} publishes on survivors were refused", shared.refused.get()));
    }
}

fn reception(joined_at: u64) -> Reception {
    Reception { memberships: vec![Membership { room: 0, joined_at, left_at: None }], deliveries: Vec::new() }
}

/// A client, over all its connections. It knows what a stock client knows: pid, offset, and what its listeners saw.
struct Subscriber {
    index: usize,
    survivors: Rc<Vec<Endpoint>>,
    delay: Duration,
    /// One for each session; a resumed session stays the same one.
    receptions: Vec<Reception>,
    session: Session,
    /// By publisher: how many of its messages it has.
    seen: Vec<u64>,
    shared: Rc<Shared>,
}

impl Subscriber {
    fn take(&mut self, message: Message<'_>) {
        let Message::Event(mut args) = message else { return };
        let Some(number) = args.nth(1).and_then(packet::number) else { return };
        let (publisher, sequence) = (number >> SEQUENCE_BITS, number & ((1 << SEQUENCE_BITS) - 1));
        if let Some(reception) = self.receptions.last_mut() {
            reception.deliveries.push(MessageId { publisher: publisher as u32, sequence });
        }
        if let Some(seen) = self.seen.get_mut(publisher as usize) {
            *seen = (*seen).max(sequence + 1);
        }
        if let Some(offset) = args.last().and_then(packet::string) {
            self.session.offset = Some(String::from_utf8_lossy(offset).into_owned());
        }
    }

    fn has(&self, acked: &[u64]) -> bool {
        self.seen.iter().zip(acked).all(|(seen, acked)| seen >= acked)
    }

    async fn receive(&mut self, client: &mut Client) -> Result<(), LinkError> {
        client
            .receive(|message, _| {
                self.take(message);
                Ok(())
            })
            .await
    }

    async fn live(&mut self, mut client: Client) {
        let shared = self.shared.clone();
        while self.receive(&mut client).await.is_ok() {}
        drop(client);
        let lost_at = shared.clock.now();
        let Some(killed_at) = shared.killed_at.get() else {
            shared.trouble.borrow_mut().push(format!("client {} was disconnected before the kill", self.index));
            return;
        };
        sleep(self.delay).await;
        let mut client = self.reconnect(killed_at, lost_at).await;
        let target = shared.acked.borrow().clone();
        let replay_from = shared.clock.now();
        while !self.has(&target) {
            if let Err(error) = self.receive(&mut client).await {
                shared.trouble.borrow_mut().push(format!("client {}: {error} while replaying", self.index));
                return;
            }
        }
        shared.times.borrow_mut().replay.record(shared.clock.now() - replay_from);
        shared.back.set(shared.back.get() + 1);
        // A message may come behind the last acknowledged one, so listen a little longer than needed.
        while !(shared.stopping.get() && self.has(&shared.acked.borrow())) {
            let received = tokio::select! {
                received = self.receive(&mut client) => received,
                () = sleep(Duration::from_millis(200)) => Ok(()),
            };
            if let Err(error) = received {
                shared.trouble.borrow_mut().push(format!("client {} was disconnected again: {error}", self.index));
                return;
            }
        }
        while let Ok(Ok(())) = timeout(Duration::from_millis(500), self.receive(&mut client)).await {}
    }

    /// At once and again, from one survivor to the next, until one serves it.
    async fn reconnect(&mut self, killed_at: u64, lost_at: u64) -> Client {
        let (shared, survivors) = (self.shared.clone(), self.survivors.clone());
        let mut attempt = self.index;
        loop {
            shared.attempts.set(shared.attempts.get() + 1);
            let session = self.session.clone();
            let endpoint = &survivors[attempt % survivors.len()];
            attempt += 1;
            let resumed = Client::resume(endpoint, &session, |message| self.take(message)).await;
            let Ok(mut client) = resumed else {
                sleep(RETRY_PAUSE).await;
                continue;
            };
            let connected_at = shared.clock.now();
            if client.session.pid == session.pid && client.session.sid == session.sid {
                shared.recovered.set(shared.recovered.get() + 1);
                let mut times = shared.times.borrow_mut();
                times.total.record(connected_at - killed_at);
                times.detect.record(lost_at.saturating_sub(killed_at));
                times.reconnect.record(connected_at - lost_at);
            } else {
                // A new session, honestly said: it starts from nothing.
                if let Some(reception) = self.receptions.last_mut() {
                    reception.memberships.iter_mut().for_each(|membership| membership.left_at = Some(lost_at));
                }
                if client.join(ROOM).await.is_err() {
                    continue;
                }
                self.receptions.push(reception(shared.clock.now()));
                self.session = client.session.clone();
                self.seen.clone_from(&shared.acked.borrow());
            }
            return client;
        }
    }
}

async fn publisher(mut client: Client, number: usize, period: Duration, shared: Rc<Shared>) -> Result<(), LinkError> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sent, mut answered) = (Vec::new(), 0);
    while !shared.stopping.get() || answered < sent.len() {
        let received = tokio::select! {
            _ = ticks.tick(), if !shared.stopping.get() => {
                let now = shared.clock.now();
                let sequence = client.queue("publish", |out| {
                    let key = (number as u64) << SEQUENCE_BITS | sent.len() as u64;
                    out.extend_from_slice(format!(",\"{ROOM}\",\"m\",{key},").as_bytes());
                    stamped(out, now, PAYLOAD_BYTES);
                });
                let mut publishes = shared.publishes.borrow_mut();
                sent.push(publishes.len());
                let id = MessageId { publisher: number as u32, sequence };
                publishes.push(Publish { id, room: 0, invoked_at: now, outcome: Outcome::Unknown });
                Ok(())
            }
            received = client.receive(|message, _| {
                let Message::Ack(id, args) = message else { return Ok(()) };
                answered += 1;
                if is_refused(args) {
                    // It may be committed all the same.
                    shared.refused.set(shared.refused.get() + 1);
                    return Ok(());
                }
                let mut publishes = shared.publishes.borrow_mut();
                if let Some(publish) = sent.get(id as usize).and_then(|&at: &usize| publishes.get_mut(at)) {
                    publish.outcome = Outcome::Ok { at: shared.clock.now() };
                    let acked = &mut shared.acked.borrow_mut()[number];
                    *acked = (*acked).max(publish.id.sequence + 1);
                }
                Ok(())
            }) => received,
        };
        received?;
    }
    Ok(())
}
