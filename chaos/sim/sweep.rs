//! Many seeds, each in a process of its own, several at once; progress, findings and the command to see one again.

use std::collections::VecDeque;
use std::io::Read;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::Arguments;

/// A seed takes a second of processor time, more where something is planted; one that takes this much never ends.
pub(crate) const SEED_PROCESSOR_SECONDS_MAX: u64 = 40;
/// However busy the machine is, a seed has come to its end by then.
const SEED_TIMEOUT: Duration = Duration::from_secs(1_200);
/// How often it is looked who has come to an end.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Seeds between two lines of progress.
const PROGRESS_EVERY: u64 = 50;

/// What a seed's process said.
#[derive(Clone, Debug, Default)]
struct Finding {
    lines: Vec<String>,
    violations: Vec<String>,
    /// Hash and number of everything that happened.
    trace: String,
    simulated_ms: u64,
    entries: u64,
    delivered: u64,
}

impl Finding {
    fn read(output: &str) -> Self {
        let mut finding = Self::default();
        let mut ended = false;
        for line in output.lines() {
            match line.split_once(' ') {
                Some(("|", line)) => finding.lines.push(line.to_owned()),
                Some(("!", line)) => finding.violations.push(line.to_owned()),
                Some(("=", figures)) => {
                    let figures: Vec<&str> = figures.split(' ').collect();
                    let number = |at: usize| figures.get(at).and_then(|figure| figure.parse().ok()).unwrap_or_default();
                    finding.trace = figures.iter().take(2).copied().collect::<Vec<_>>().join(" ");
                    (finding.simulated_ms, finding.entries, finding.delivered) = (number(2), number(3), number(4));
                    ended = true;
                }
                _ => {}
            }
        }
        if !ended && finding.violations.is_empty() {
            let reason = "I8 the seed came to no end (does a task run without a pause?), or its process died";
            finding.violations.push(reason.to_owned());
        }
        finding
    }
}

/// A seed's process.
struct Running {
    seed: u64,
    child: Child,
    output: std::thread::JoinHandle<String>,
    since: Instant,
}

impl Running {
    fn start(arguments: &Arguments, seed: u64) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--alone").arg(seed.to_string()).arg("--seconds").arg(arguments.seconds.to_string());
        if let Some(bug) = arguments.bug {
            command.arg("--bug").arg(bug.name());
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut stdout = child.stdout.take();
        let output = std::thread::spawn(move || {
            let mut text = String::new();
            if let Some(stdout) = &mut stdout {
                // What cannot be read is missing in the report, which says so.
                let _ = stdout.read_to_string(&mut text);
            }
            text
        });
        Ok(Self { seed, child, output, since: Instant::now() })
    }

    /// Whether it has come to its end, by itself or because it took too long.
    fn is_over(&mut self) -> bool {
        let hangs = self.since.elapsed() > SEED_TIMEOUT;
        if hangs {
            // One that ended meanwhile needs no end.
            let _ = self.child.kill();
        }
        hangs || !matches!(self.child.try_wait(), Ok(None))
    }

    fn finish(mut self) -> Finding {
        // It is over: nothing is waited for.
        let _ = self.child.wait();
        Finding::read(&self.output.join().unwrap_or_default())
    }
}

/// Everything so far.
struct Sweep<'a> {
    arguments: &'a Arguments,
    began: Instant,
    done: u64,
    failed: u64,
    simulated_ms: u64,
    entries: u64,
    delivered: u64,
}

/// Runs them all.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let jobs = match arguments.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let mut sweep =
        Sweep { arguments, began: Instant::now(), done: 0, failed: 0, simulated_ms: 0, entries: 0, delivered: 0 };
    let last = arguments.start + arguments.seeds;
    let mut seeds = arguments.start..last;
    let mut running: VecDeque<(Running, Option<Running>)> = VecDeque::new();
    let mut stopped = false;
    loop {
        while running.len() < jobs && !stopped {
            let Some(seed) = seeds.next() else { break };
            let again = || arguments.twice.then(|| Running::start(arguments, seed)).transpose();
            match Running::start(arguments, seed).and_then(|first| Ok((first, again()?))) {
                Ok(pair) => running.push_back(pair),
                Err(error) => {
                    println!("seed {seed}: no process: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        // In their order, so that what is printed does not depend on who was faster.
        let Some((first, again)) = running.front_mut() else { break };
        if !first.is_over() || again.as_mut().is_some_and(|again| !again.is_over()) {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        if let Some((first, again)) = running.pop_front() {
            let seed = first.seed;
            let (finding, again) = (first.finish(), again.map(Running::finish));
            let failed = sweep.judge(seed, finding, again);
            sweep.progress(seed, seed + 1 == last);
            stopped |= failed && !arguments.keep_going;
        }
    }
    let found = sweep.failed > 0;
    if found == arguments.bug.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Sweep<'_> {
    /// Says what broke; whether anything did.
    fn judge(&mut self, seed: u64, mut finding: Finding, again: Option<Finding>) -> bool {
        self.done += 1;
        self.simulated_ms += finding.simulated_ms;
        self.entries += finding.entries;
        self.delivered += finding.delivered;
        if let Some(again) = again.filter(|again| again.trace != finding.trace) {
            finding.violations.push(format!("harness two runs differ: {} and {}", finding.trace, again.trace));
        }
        if finding.violations.is_empty() {
            return false;
        }
        self.failed += 1;
        if self.arguments.bug.is_some() {
            println!("seed {seed} finds it: {}", finding.violations.concat());
            return true;
        }
        for line in &finding.lines {
            println!("    {line}");
        }
        for violation in &finding.violations {
            println!("seed {seed}: {violation}");
        }
        let (seconds, left) = (self.arguments.seconds, self.arguments.start + self.arguments.seeds - seed - 1);
        println!("again:  make sim START={seed} SEEDS=1 SECONDS={seconds}");
        println!("onward: make sim START={} SEEDS={left} SECONDS={seconds}", seed + 1);
        true
    }

    fn progress(&self, seed: u64, last: bool) {
        if self.done.is_multiple_of(PROGRESS_EVERY) || last {
            let took = self.began.elapsed().as_secs_f64();
            println!(
                "{} seeds up to {seed}: {} failed, {} simulated s in {took:.1} s ({:.1} seeds/s), {} entries, {} \
                 deliveries",
                self.done,
                self.failed,
                self.simulated_ms / 1_000,
                self.done as f64 / took,
                self.entries,
                self.delivered
            );
        }
    }
}
