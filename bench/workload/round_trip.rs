//! Events with an ack, one client beside the other: `echo`, and `publish` to rooms that nobody is in.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use vedfolnir_chaos::client::{Client, LinkError, Message, is_refused};

use super::{Clock, DRAIN_TIMEOUT, HANDSHAKES_MAX, connect_each};
use crate::args::{EchoArgs, PublishArgs, SpanArgs, TargetArgs};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::{Options, Target};

/// Events that a client with a rate has under way at most; beyond it a send is skipped and counted.
const UNANSWERED_MAX: usize = 1024;

pub(super) async fn echo(arguments: EchoArgs) -> Result<Report, BenchError> {
    let what = format!("echo of {} bytes with ack, {}", arguments.payload, load(arguments.inflight, arguments.rate));
    let event = |_| ("echo", format!(",\"{}\"", "x".repeat(arguments.payload)));
    let plan = Plan { what, clients: arguments.clients, inflight: arguments.inflight, rate: arguments.rate };
    run(&arguments.target, &Options::default(), plan, arguments.span, event).await
}

pub(super) async fn publish(arguments: PublishArgs) -> Result<Report, BenchError> {
    let what = format!("publish of {} bytes, {}", arguments.payload, load(arguments.inflight, arguments.rate));
    let event = |client| ("publish", format!(",\"nobody-{client}\",\"m\",0,\"{}\"", "x".repeat(arguments.payload)));
    let plan = Plan { what, clients: arguments.clients, inflight: arguments.inflight, rate: arguments.rate };
    run(&arguments.target, &Options::default(), plan, arguments.span, event).await
}

pub(super) fn load(inflight: usize, rate: Option<f64>) -> String {
    match rate {
        Some(rate) => format!("{rate}/s"),
        None => format!("{inflight} in flight"),
    }
}

pub(super) struct Plan {
    pub(super) what: String,
    pub(super) clients: usize,
    pub(super) inflight: usize,
    pub(super) rate: Option<f64>,
}

struct Shared {
    clock: Rc<Clock>,
    latency: RefCell<Histogram>,
    refused: Cell<u64>,
    skipped: Cell<u64>,
    first_refusal: RefCell<Option<String>>,
}

pub(super) async fn run(
    target: &TargetArgs,
    options: &Options,
    plan: Plan,
    span: SpanArgs,
    event: impl Fn(usize) -> (&'static str, String),
) -> Result<Report, BenchError> {
    let label = target.label.clone();
    let target = Target::open_with(target, options).await?;
    let mut report =
        Report::new(&label, format!("{}, {} clients over {} nodes", plan.what, plan.clients, target.endpoints.len()));
    let clients =
        connect_each(&target.endpoints, plan.clients, HANDSHAKES_MAX, |_, client| async { Ok(client) }).await?;
    let shared = Rc::new(Shared {
        clock: Clock::new(),
        latency: RefCell::default(),
        refused: Cell::new(0),
        skipped: Cell::new(0),
        first_refusal: RefCell::default(),
    });
    shared.clock.begin(span);
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(index, client)| {
            let (shared, (name, args)) = (shared.clone(), event(index));
            let pace = plan.rate.map(|rate| {
                let period = Duration::from_secs_f64(plan.clients as f64 / rate);
                (Instant::now() + period.mul_f64(index as f64 / plan.clients as f64), period)
            });
            let inflight = plan.inflight;
            tokio::task::spawn_local(async move {
                let mut one = One { client, name, args, sent: vec![0; ring(inflight, pace.is_some())], unanswered: 0 };
                match pace {
                    None => one.as_fast_as_they_return(inflight, &shared).await,
                    Some((first, period)) => one.at_a_rate(first, period, &shared).await,
                }
            })
        })
        .collect();
    shared.clock.watch(&target, &mut report).await?;
    for task in tasks {
        match timeout(DRAIN_TIMEOUT, task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => report.broken.push(format!("a client was disconnected: {error}")),
            Ok(Err(error)) => return Err(BenchError::Other(error.to_string())),
            Err(_) => report.broken.push("a client got no answer".to_owned()),
        }
    }
    let latency = shared.latency.take();
    report.figures.insert(
        0,
        crate::report::Figure {
            name: "answered".to_owned(),
            value: latency.count() as f64 / span.seconds,
            unit: "msg/s".to_owned(),
        },
    );
    report.latencies("latency", &latency);
    if shared.refused.get() > 0 {
        let first = shared.first_refusal.take().unwrap_or_default();
        report.broken.push(format!("{} were refused, the first with {first}", shared.refused.get()));
    }
    if shared.skipped.get() > 0 {
        report
            .broken
            .push(format!("{} were not sent: the client had {UNANSWERED_MAX} under way", shared.skipped.get()));
    }
    target.close().await?;
    Ok(report)
}

/// Slots for the times at which unanswered events were sent.
fn ring(inflight: usize, paced: bool) -> usize {
    if paced { UNANSWERED_MAX } else { inflight.max(1) }.next_power_of_two()
}

/// A client. Acks come in any order, but ids are dense, and fewer are unanswered than `sent` has slots.
struct One {
    client: Client,
    name: &'static str,
    args: String,
    sent: Vec<u64>,
    unanswered: usize,
}

impl One {
    fn send(&mut self, now: u64) {
        let id = self.client.queue(self.name, |out| out.extend_from_slice(self.args.as_bytes()));
        let slot = id as usize & (self.sent.len() - 1);
        self.sent[slot] = now;
        self.unanswered += 1;
    }

    async fn receive(&mut self, shared: &Shared) -> Result<(), LinkError> {
        let Self { client, sent, unanswered, .. } = self;
        client
            .receive(|message, _| {
                if let Message::Ack(id, args) = message {
                    let now = shared.clock.now();
                    if is_refused(args) {
                        shared.refused.set(shared.refused.get() + 1);
                        shared
                            .first_refusal
                            .borrow_mut()
                            .get_or_insert_with(|| String::from_utf8_lossy(args.text()).into_owned());
                    } else if shared.clock.is_measured(now) {
                        let since = sent[id as usize & (sent.len() - 1)];
                        shared.latency.borrow_mut().record(now.saturating_sub(since));
                    }
                    *unanswered = unanswered.saturating_sub(1);
                }
                Ok(())
            })
            .await
    }

    async fn as_fast_as_they_return(&mut self, inflight: usize, shared: &Shared) -> Result<(), LinkError> {
        loop {
            let now = shared.clock.now();
            if now < shared.clock.until.get() {
                while self.unanswered < inflight {
                    self.send(now);
                }
            } else if self.unanswered == 0 {
                return Ok(());
            }
            self.receive(shared).await?;
        }
    }

    async fn at_a_rate(&mut self, first: Instant, period: Duration, shared: &Shared) -> Result<(), LinkError> {
        let mut ticks = interval_at(first, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !shared.clock.is_over() {
            tokio::select! {
                _ = ticks.tick() => {
                    if self.unanswered < UNANSWERED_MAX {
                        self.send(shared.clock.now());
                        self.client.link.flush().await?;
                    } else {
                        shared.skipped.set(shared.skipped.get() + 1);
                    }
                }
                received = self.receive(shared) => received?,
            }
        }
        while self.unanswered > 0 {
            self.receive(shared).await?;
        }
        Ok(())
    }
}
