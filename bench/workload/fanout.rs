//! One publisher, one room, many subscribers over all nodes; the oracle judges what they received.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};
use vedfolnir_chaos::client::{Client, Endpoint, LinkError, Message, is_refused, packet};
use vedfolnir_chaos::{History, Membership, MessageId, Outcome, Publish, Reception, check_delivery};

use super::{Clock, DRAIN_TIMEOUT, HANDSHAKES_MAX, connect_each, stamp, stamped};
use crate::args::FanoutArgs;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::Target;

const ROOM: &str = "bench";

struct Shared {
    clock: Rc<Clock>,
    latency: RefCell<Histogram>,
    ack_latency: RefCell<Histogram>,
    delivered: Cell<u64>,
    /// By sequence: subscribers that have not received it yet.
    missing: RefCell<Vec<u32>>,
    /// Messages that all subscribers have received.
    complete: Cell<u64>,
    progress: Notify,
    disconnected: RefCell<Vec<String>>,
    publishes: RefCell<Vec<Publish>>,
    acked: Cell<u64>,
    refused: Cell<u64>,
}

pub(super) async fn run(arguments: FanoutArgs) -> Result<Report, BenchError> {
    let target = Target::open(&arguments.target).await?;
    let load = match arguments.rate {
        Some(rate) => format!("{rate} publishes/s"),
        None => format!("saturated with {} publishes in flight", arguments.inflight),
    };
    let kind = if arguments.volatile { "volatile" } else { "durable" };
    let mut report = Report::new(
        &arguments.target.label,
        format!(
            "{kind} fan-out of {} bytes to {} subscribers over {} nodes, {load}",
            arguments.payload,
            arguments.clients,
            target.endpoints.len()
        ),
    );
    let publisher_at = match &arguments.publish_to {
        Some(url) => Endpoint::parse(url)?,
        None => target.endpoints[0].clone(),
    };
    let shared = Rc::new(Shared {
        clock: Clock::new(),
        latency: RefCell::default(),
        ack_latency: RefCell::default(),
        delivered: Cell::new(0),
        missing: RefCell::default(),
        complete: Cell::new(0),
        progress: Notify::new(),
        disconnected: RefCell::default(),
        publishes: RefCell::default(),
        acked: Cell::new(0),
        refused: Cell::new(0),
    });
    let received = connect_each(&target.endpoints, arguments.clients, HANDSHAKES_MAX, |_, mut client| {
        let shared = shared.clone();
        async move {
            client.join(ROOM).await?;
            let deliveries = Rc::new(RefCell::new(Vec::new()));
            let kept = deliveries.clone();
            tokio::task::spawn_local(async move {
                if let Err(error) = subscribe(client, &shared, &kept).await {
                    shared.disconnected.borrow_mut().push(error.to_string());
                    shared.progress.notify_one();
                }
            });
            Ok(deliveries)
        }
    })
    .await?;
    let joined_at = shared.clock.now();
    let client = Client::connect(&publisher_at)
        .await
        .map_err(|source| BenchError::Connect { url: publisher_at.url.clone(), source })?;

    shared.clock.begin(arguments.span);
    let publisher = tokio::task::spawn_local({
        let shared = shared.clone();
        let event = if arguments.volatile { "publish_volatile" } else { "publish" };
        let (rate, inflight) = (arguments.rate, arguments.inflight as u64);
        let subscribers = arguments.clients as u32;
        let payload = arguments.payload;
        async move {
            let mut publisher = Publisher { client, event, payload, subscribers, shared };
            match rate {
                Some(rate) => publisher.at_a_rate(Duration::from_secs_f64(1.0 / rate)).await?,
                None => publisher.saturating(inflight).await?,
            }
            publisher.drain().await
        }
    });
    shared.clock.watch(&target, &mut report).await?;
    match timeout(DRAIN_TIMEOUT * 2, publisher).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => report.broken.push(format!("the publisher was disconnected: {error}")),
        Ok(Err(error)) => return Err(BenchError::Other(error.to_string())),
        Err(_) => report.broken.push("the publisher got no answer".to_owned()),
    }

    let seconds = arguments.span.seconds;
    report.figures.insert(
        0,
        crate::report::Figure {
            name: "deliveries".to_owned(),
            value: shared.delivered.get() as f64 / seconds,
            unit: "/s".to_owned(),
        },
    );
    report.latencies("publish → delivery", &shared.latency.borrow());
    report.figure("publishes", shared.ack_latency.borrow().count() as f64 / seconds, "/s");
    report.latencies("publish → ack", &shared.ack_latency.borrow());
    if shared.refused.get() > 0 {
        report.broken.push(format!("{} publishes were refused", shared.refused.get()));
    }
    let disconnected = shared.disconnected.take();
    if let Some(first) = disconnected.first() {
        report.broken.push(format!("{} subscribers were disconnected: {first}", disconnected.len()));
    }
    let history = History {
        publishes: shared.publishes.take(),
        receptions: received
            .iter()
            .map(|deliveries| Reception {
                memberships: vec![Membership { room: 0, joined_at, left_at: None }],
                deliveries: deliveries.take(),
            })
            .collect(),
    };
    report.verdict(&check_delivery(&history), !arguments.volatile);
    target.close().await?;
    Ok(report)
}

async fn subscribe(mut client: Client, shared: &Shared, deliveries: &RefCell<Vec<MessageId>>) -> Result<(), LinkError> {
    loop {
        client
            .receive(|message, _| {
                let Message::Event(mut args) = message else { return Ok(()) };
                let now = shared.clock.now();
                let (_, sequence, payload) = (args.next(), args.next(), args.next());
                let (Some(sequence), Some(sent)) = (sequence.and_then(packet::number), payload.and_then(stamp)) else {
                    return Err(LinkError::Protocol(String::from_utf8_lossy(args.text()).into_owned()));
                };
                deliveries.borrow_mut().push(MessageId { publisher: 0, sequence });
                if shared.clock.is_measured(now) {
                    shared.delivered.set(shared.delivered.get() + 1);
                    if shared.clock.is_measured(sent) {
                        shared.latency.borrow_mut().record(now - sent);
                    }
                }
                // A duplicate may count here in another's place: the oracle finds it, this only paces the publisher.
                if let Some(missing) = shared.missing.borrow_mut().get_mut(sequence as usize) {
                    *missing = missing.saturating_sub(1);
                    if *missing == 0 {
                        shared.complete.set(shared.complete.get() + 1);
                        shared.progress.notify_one();
                    }
                }
                Ok(())
            })
            .await?;
    }
}

struct Publisher {
    client: Client,
    event: &'static str,
    payload: usize,
    subscribers: u32,
    shared: Rc<Shared>,
}

impl Publisher {
    fn publish(&mut self) {
        let now = self.shared.clock.now();
        let payload = self.payload;
        let mut publishes = self.shared.publishes.borrow_mut();
        // The publisher connects for nothing else: ids of acks and sequences are the same.
        let sequence = self.client.queue(self.event, |out| {
            out.extend_from_slice(format!(",\"{ROOM}\",\"m\",{},", publishes.len()).as_bytes());
            stamped(out, now, payload);
        });
        let id = MessageId { publisher: 0, sequence };
        publishes.push(Publish { id, room: 0, invoked_at: now, outcome: Outcome::Unknown });
        self.shared.missing.borrow_mut().push(self.subscribers);
    }

    fn published(&self) -> u64 {
        self.shared.publishes.borrow().len() as u64
    }

    /// Publishes that are acknowledged and received by all.
    fn done(&self) -> u64 {
        self.shared.acked.get().min(self.shared.complete.get())
    }

    async fn receive(&mut self) -> Result<(), LinkError> {
        let shared = &self.shared;
        self.client
            .receive(|message, _| {
                let Message::Ack(id, args) = message else { return Ok(()) };
                let now = shared.clock.now();
                shared.acked.set(shared.acked.get() + 1);
                let mut publishes = shared.publishes.borrow_mut();
                let Some(publish) = publishes.get_mut(id as usize) else {
                    return Err(LinkError::Protocol(format!("an ack for {id}, which was not sent")));
                };
                if is_refused(args) {
                    // Refused for want of a quorum may still be committed later.
                    shared.refused.set(shared.refused.get() + 1);
                } else {
                    publish.outcome = Outcome::Ok { at: now };
                    if shared.clock.is_measured(now) {
                        shared.ack_latency.borrow_mut().record(now - publish.invoked_at);
                    }
                }
                Ok(())
            })
            .await
    }

    /// Waits for an ack or for a message that all have received.
    async fn progress(&mut self) -> Result<(), LinkError> {
        let shared = self.shared.clone();
        tokio::select! {
            received = self.receive() => received,
            () = shared.progress.notified() => Ok(()),
        }
    }

    async fn saturating(&mut self, inflight: u64) -> Result<(), LinkError> {
        while !self.shared.clock.is_over() {
            while self.published() - self.done() < inflight {
                self.publish();
            }
            self.progress().await?;
        }
        Ok(())
    }

    async fn at_a_rate(&mut self, period: Duration) -> Result<(), LinkError> {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !self.shared.clock.is_over() {
            tokio::select! {
                _ = ticks.tick() => {
                    self.publish();
                    self.client.link.flush().await?;
                }
                received = self.receive() => received?,
            }
        }
        Ok(())
    }

    /// Until all is acknowledged and received, or nothing more comes.
    async fn drain(&mut self) -> Result<(), LinkError> {
        while self.done() < self.published() {
            match timeout(DRAIN_TIMEOUT, self.progress()).await {
                Ok(progress) => progress?,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}
