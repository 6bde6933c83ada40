//! Commit latency with and without a snapshot under way: publish → ack, while each node says when it builds one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, timeout};
use vedfolnir_chaos::client::{Client, Endpoint, LinkError, Message, is_refused};

use super::Large;
use super::disks::Disks;
use super::fill::room_of;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::scrape::Page;
use crate::workload::DRAIN_TIMEOUT;
use crate::workload::state::Random;

/// How often each node is asked whether it builds a snapshot.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// What a snapshot leaves behind (the log's purge, the memory it gives back) counts as its own for so long.
const AFTERMATH: Duration = Duration::from_secs(1);
/// Publishes of one client that are not answered; one more is counted as skipped.
const UNANSWERED_MAX: usize = 65_536;

/// How publishes are sent.
#[derive(Clone, Copy)]
pub(super) enum Load {
    /// So many per second, of one client on each node together.
    Rate(f64),
    /// So many clients, one publish under way each.
    Saturated(usize),
}

/// A publish: when it was sent and when it was acknowledged, nanoseconds since the origin.
type Sample = (u64, u64);

/// A time in which a node built a snapshot, and whether it led.
#[derive(Clone, Copy)]
struct Building {
    from: u64,
    until: u64,
    leads: bool,
}

struct Shared {
    origin: Instant,
    stop: Cell<bool>,
    samples: RefCell<Vec<Sample>>,
    refused: Cell<u64>,
    skipped: Cell<u64>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// A load that goes on until it is ended.
pub(super) struct Publishing {
    shared: Rc<Shared>,
    tasks: Vec<tokio::task::JoinHandle<Result<(), LinkError>>>,
}

impl Publishing {
    /// Begins; `endpoints`: where the clients are.
    pub(super) async fn begin(endpoints: &[Endpoint], load: Load, rooms: usize, seed: u64) -> Result<Self, BenchError> {
        let shared = Rc::new(Shared {
            origin: Instant::now(),
            stop: Cell::new(false),
            samples: RefCell::default(),
            refused: Cell::new(0),
            skipped: Cell::new(0),
        });
        let (clients, period) = match load {
            Load::Rate(rate) => {
                (endpoints.len(), Some(Duration::from_secs_f64(endpoints.len() as f64 / rate.max(0.001))))
            }
            Load::Saturated(clients) => (clients, None),
        };
        let mut tasks = Vec::new();
        for index in 0..clients {
            let client = Client::connect(&endpoints[index % endpoints.len()]).await?;
            let publisher =
                Publisher { client, random: Random(seed + index as u64), rooms, sent: Vec::new(), answered: 0 };
            tasks.push(tokio::task::spawn_local(publisher.run(period, Rc::clone(&shared))));
        }
        Ok(Self { shared, tasks })
    }

    pub(super) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Ends; what was acknowledged, and what is not as it should be.
    pub(super) async fn end(self, report: &mut Report) -> Result<Vec<Sample>, BenchError> {
        self.shared.stop.set(true);
        for task in self.tasks {
            match timeout(DRAIN_TIMEOUT, task).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => report.broken.push(format!("a publisher was disconnected: {error}")),
                Ok(Err(error)) => return Err(BenchError::Other(error.to_string())),
                Err(_) => report.broken.push("a publisher got no answer".to_owned()),
            }
        }
        if self.shared.refused.get() + self.shared.skipped.get() > 0 {
            let (refused, skipped) = (self.shared.refused.get(), self.shared.skipped.get());
            report.broken.push(format!("{refused} publishes were refused, {skipped} not sent"));
        }
        Ok(self.shared.samples.take())
    }
}

struct Publisher {
    client: Client,
    random: Random,
    rooms: usize,
    /// When each was sent; ids are dense.
    sent: Vec<u64>,
    answered: usize,
}

impl Publisher {
    fn send(&mut self, at: u64) {
        let room = room_of(0, self.random.below(self.rooms));
        self.client.queue("publish", |out| {
            out.extend_from_slice(format!(",\"{room}\",\"m\",0,\"{}\"", "x".repeat(64)).as_bytes());
        });
        self.sent.push(at);
    }

    async fn receive(&mut self, shared: &Shared) -> Result<(), LinkError> {
        let Self { client, sent, answered, .. } = self;
        client
            .receive(|message, _| {
                if let Message::Ack(id, args) = message {
                    *answered += 1;
                    if is_refused(args) {
                        shared.refused.set(shared.refused.get() + 1);
                    } else if let Some(at) = sent.get(id as usize) {
                        shared.samples.borrow_mut().push((*at, shared.now()));
                    }
                }
                Ok(())
            })
            .await
    }

    /// With a period, a publish counts from when it was due, so that a stall is not hidden by what was not sent in it.
    async fn run(mut self, period: Option<Duration>, shared: Rc<Shared>) -> Result<(), LinkError> {
        let mut ticks = period.map(interval);
        if let Some(ticks) = &mut ticks {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        }
        while !shared.stop.get() || self.answered < self.sent.len() {
            match &mut ticks {
                Some(ticks) if !shared.stop.get() => {
                    tokio::select! {
                        due = ticks.tick() => {
                            let at = due.into_std().saturating_duration_since(shared.origin).as_nanos() as u64;
                            if self.sent.len() - self.answered < UNANSWERED_MAX {
                                self.send(at);
                                self.client.link.flush().await?;
                            } else {
                                shared.skipped.set(shared.skipped.get() + 1);
                            }
                        }
                        received = self.receive(&shared) => received?,
                    }
                }
                Some(_) => self.receive(&shared).await?,
                None => {
                    if self.answered == self.sent.len() {
                        self.send(shared.now());
                    }
                    self.receive(&shared).await?;
                }
            }
        }
        Ok(())
    }
}

impl Large<'_> {
    /// Publishes for a while and splits what was measured by whether a snapshot was under way.
    pub(super) async fn measure_latency(&self, load: Load, report: &mut Report) -> Result<(), BenchError> {
        let name = match load {
            Load::Rate(rate) => format!("at {rate}/s"),
            Load::Saturated(clients) => format!("{clients} at once"),
        };
        let publishing = Publishing::begin(&self.endpoints, load, self.arguments.sessions, self.arguments.seed).await?;
        let until = Instant::now() + Duration::from_secs_f64(self.arguments.seconds);
        let mut watch = Watch::new(self.cluster.nodes.len());
        let mut disks = Disks::new(self.cluster.nodes.len());
        while Instant::now() < until {
            for (index, node) in self.cluster.nodes.iter().enumerate() {
                let asked_at = publishing.now();
                let page = Page::of(&node.url).await?;
                let building = page.value("vedfolnir_snapshots_building")? > 0.0;
                watch.saw(index, building, page.value("vedfolnir_raft_is_leader")? > 0.0, asked_at, publishing.now());
                disks.saw(index, &page, asked_at, publishing.now())?;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let seconds = publishing.now() as f64 / 1e9;
        let samples = publishing.end(report).await?;
        let mut buildings = watch.end((seconds * 1e9) as u64);
        let longest = buildings.iter().map(|building| building.until - building.from).max().unwrap_or(0);
        buildings.iter_mut().for_each(|building| building.until += AFTERMATH.as_nanos() as u64);
        report.figure(&format!("{name}: committed"), samples.len() as f64 / seconds, "/s");
        let led = buildings.iter().filter(|building| building.leads).count();
        report.figure(&format!("{name}: snapshots"), buildings.len() as f64, &format!("of them {led} on the leader"));
        report.figure(&format!("{name}: longest snapshot"), longest as f64 / 1e6, "ms");
        classes(&name, &samples, &buildings, report);
        let (pause, (sent, acked)) = longest_pause(&samples, &buildings);
        report.figure(&format!("{name}: longest pause of a snapshot"), pause, "ms");
        report.figure(&format!("{name}: its commit, publish to ack"), acked.saturating_sub(sent) as f64 / 1e6, "ms");
        let (at_least, at_most) = disks.longest_of_majority(sent, acked);
        let unit = format!("ms, at most {at_most}");
        report.figure(&format!("{name}: longest synced write of a majority meanwhile"), at_least, &unit);
        let is_snapshot = |from, until| buildings.iter().any(|building| from < building.until && until > building.from);
        disks.tell(&name, is_snapshot, report);
        self.say(&format!("publishing {name}: {} samples, {} snapshots", samples.len(), buildings.len()));
        if buildings.is_empty() {
            report.broken.push(format!("{name}: no snapshot was built: raise --seconds or lower --snapshot-entries"));
        }
        Ok(())
    }
}

fn classes(name: &str, samples: &[Sample], buildings: &[Building], report: &mut Report) {
    let (mut none, mut followers, mut leader) = (Histogram::default(), Histogram::default(), Histogram::default());
    for &(sent, acked) in samples {
        let mut under_way = buildings.iter().filter(|building| sent < building.until && acked > building.from);
        let class = match under_way.next() {
            None => &mut none,
            Some(first) if first.leads || under_way.any(|building| building.leads) => &mut leader,
            Some(_) => &mut followers,
        };
        class.record(acked.saturating_sub(sent));
    }
    for (class, histogram) in [("no snapshot", &none), ("on followers only", &followers), ("on the leader", &leader)] {
        if histogram.count() == 0 {
            continue;
        }
        report.figure(&format!("{name}, {class}: commits"), histogram.count() as f64, "");
        report.percentiles(&format!("{name}, {class}:"), histogram);
    }
}

/// By how much the slowest commit of a snapshot's time is slower than the slowest of an equal time without one just before
/// it; the largest of all snapshots, milliseconds, and that commit. Those without such a time before them are compared with
/// the median.
fn longest_pause(samples: &[Sample], buildings: &[Building]) -> (f64, Sample) {
    let took = |(sent, acked): Sample| acked.saturating_sub(sent);
    let slowest = |from: u64, until: u64| {
        let inside = samples.iter().filter(|(sent, acked)| *sent < until && *acked > from);
        inside.copied().max_by_key(|sample| took(*sample)).unwrap_or_default()
    };
    let mut all = Histogram::default();
    samples.iter().for_each(|sample| all.record(took(*sample)));
    let pauses = buildings.iter().map(|building| {
        let before = building.from.saturating_sub(building.until - building.from);
        let is_free = !buildings.iter().any(|other| other.from < building.from && other.until > before);
        let usual = if is_free && before > 0 { took(slowest(before, building.from)) } else { all.quantile(0.5) };
        let commit = slowest(building.from, building.until);
        (took(commit).saturating_sub(usual), commit)
    });
    let (pause, commit) = pauses.max().unwrap_or_default();
    (pause as f64 / 1e6, commit)
}

/// When which node was seen building; a time begins before the look that first saw it and ends after the first that did not.
struct Watch {
    nodes: Vec<(u64, Option<Building>)>,
    done: Vec<Building>,
}

impl Watch {
    fn new(nodes: usize) -> Self {
        Self { nodes: vec![(0, None); nodes], done: Vec::new() }
    }

    fn saw(&mut self, node: usize, building: bool, leads: bool, asked_at: u64, now: u64) {
        let (last, open) = &mut self.nodes[node];
        match (building, open.take()) {
            (true, None) => *open = Some(Building { from: *last, until: now, leads }),
            (true, Some(known)) => *open = Some(Building { until: now, leads: known.leads || leads, ..known }),
            (false, Some(known)) => self.done.push(Building { until: now, ..known }),
            (false, None) => {}
        }
        *last = asked_at;
    }

    fn end(mut self, now: u64) -> Vec<Building> {
        self.done.extend(self.nodes.iter().filter_map(|(_, open)| open.map(|known| Building { until: now, ..known })));
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn building(from: u64, until: u64) -> Building {
        Building { from, until, leads: false }
    }

    #[test]
    fn a_pause_is_what_a_snapshot_adds() {
        let samples = [(0, 10), (100, 130), (190, 195), (210, 5_000_210)];
        let buildings = [building(200, 300)];
        // Slowest before: 30; slowest during: five million.
        let (pause, commit) = longest_pause(&samples, &buildings);
        assert!((pause - 4.999_97).abs() < 1e-9, "{pause}");
        assert_eq!(commit, samples[3]);
        assert_eq!(longest_pause(&samples[..3], &buildings).0, 0.0);
        assert_eq!(longest_pause(&samples, &[]).0, 0.0);
    }

    #[test]
    fn a_snapshot_lasts_from_before_it_was_seen_until_after() {
        let mut watch = Watch::new(1);
        watch.saw(0, false, false, 100, 101);
        watch.saw(0, true, true, 200, 201);
        watch.saw(0, true, false, 300, 301);
        watch.saw(0, false, false, 400, 401);
        watch.saw(0, true, false, 500, 501);
        let seen: Vec<_> = watch.end(900).iter().map(|seen| (seen.from, seen.until, seen.leads)).collect();
        assert_eq!(seen, [(100, 401, true), (400, 900, false)]);
    }

    #[test]
    fn commits_are_split_by_what_was_under_way() {
        let mut report = Report::new("", String::new());
        let buildings = [building(100, 200), Building { leads: true, ..building(150, 160) }];
        classes("x", &[(0, 50), (90, 110), (155, 156), (210, 220)], &buildings, &mut report);
        let count = |name: &str| report.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value);
        assert_eq!(count("x, no snapshot: commits"), Some(2.0));
        assert_eq!(count("x, on followers only: commits"), Some(1.0));
        assert_eq!(count("x, on the leader: commits"), Some(1.0));
    }
}
