//! What is shown while a run goes on: on a terminal a table that renews itself, elsewhere a line now and then.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clock::MS;
use crate::monitor::Monitor;
use crate::record::Record;
use crate::workload::Shared;
use crate::world::{TimeLine, World};

/// How often the table renews itself.
const ON_TERMINAL: Duration = Duration::from_millis(250);
/// How often a line is written elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Whoever looks on.
pub struct Eye {
    scenario: String,
    phase: Arc<Mutex<String>>,
    is_terminal: bool,
    is_quiet: bool,
}

impl Eye {
    /// Looks at one scenario; quiet: nothing is shown.
    #[must_use]
    pub fn new(scenario: &str, is_quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { scenario: scenario.to_owned(), phase: Arc::default(), is_terminal, is_quiet }
    }

    pub(crate) fn phase(&mut self, phase: &str) {
        phase.clone_into(&mut self.phase.lock());
    }

    pub(crate) fn watch(&self, world: &World, monitor: Monitor) -> Watched {
        let monitor = Arc::new(monitor);
        let view = View {
            scenario: self.scenario.clone(),
            phase: Arc::clone(&self.phase),
            monitor: Arc::clone(&monitor),
            shared: Arc::clone(world.workload.shared()),
            listeners: world.workload.listeners(),
            time_line: world.time_line.clone(),
            began: Instant::now(),
        };
        let show = match (self.is_quiet, self.is_terminal) {
            (true, _) => None,
            (false, true) => Some(tokio::spawn(table(view))),
            (false, false) => Some(tokio::spawn(lines(view))),
        };
        Watched { monitor, show, clear: self.is_terminal && !self.is_quiet }
    }
}

/// A run that is looked at.
pub struct Watched {
    monitor: Arc<Monitor>,
    show: Option<JoinHandle<()>>,
    clear: bool,
}

impl Watched {
    pub(crate) fn end(self, record: &mut Record) {
        if let Some(show) = self.show {
            show.abort();
        }
        if self.clear {
            eprint!("\r\x1b[J");
        }
        self.monitor.take(record);
    }
}

struct View {
    scenario: String,
    phase: Arc<Mutex<String>>,
    monitor: Arc<Monitor>,
    shared: Arc<Shared>,
    listeners: u64,
    time_line: TimeLine,
    began: Instant,
}

impl View {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let counters = &self.shared.counters;
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let leader = self.monitor.leader();
        let leader = leader.map_or_else(|| "none".to_owned(), |(node, term)| format!("node-{}, term {term}", node + 1));
        let faults: Vec<String> =
            self.time_line.current().into_iter().filter(|what| !what.starts_with("round ")).collect();
        let faults = if faults.is_empty() { "none".to_owned() } else { faults.join("; ") };
        let latency = self.monitor.last().map_or(0, |sample| sample.latency_p99) / MS;
        vec![
            ("phase", format!("{}, {} s", self.phase.lock(), self.began.elapsed().as_secs())),
            ("faults", faults),
            ("leader", leader),
            (
                "sessions",
                format!(
                    "{} of {} connected, {} recovered, {} not",
                    of(&counters.connected),
                    self.listeners,
                    of(&counters.recovered),
                    of(&counters.unrecovered)
                ),
            ),
            (
                "messages",
                format!(
                    "{} acknowledged (p99 {latency} ms), {} delivered",
                    of(&counters.acknowledged),
                    of(&counters.delivered)
                ),
            ),
            ("violations", format!("{} so far", of(&counters.odd))),
        ]
    }
}

async fn table(view: View) {
    loop {
        let rows = view.rows();
        let mut text = format!("\r\x1b[J{}\n", view.scenario);
        for (name, value) in &rows {
            text.push_str(&format!("  {name:<11}{value}\n"));
        }
        // Back to the first line: the next table, or the verdict, stands in its place.
        text.push_str(&format!("\x1b[{}A", rows.len() + 1));
        let _ = std::io::stderr().write_all(text.as_bytes());
        sleep(ON_TERMINAL).await;
    }
}

async fn lines(view: View) {
    loop {
        sleep(ELSEWHERE).await;
        let rows = view.rows().into_iter().map(|(name, value)| format!("{name}: {value}"));
        eprintln!("{}: {}", view.scenario, rows.collect::<Vec<_>>().join(" | "));
    }
}
