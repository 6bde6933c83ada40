//! Runs seeds and says what broke, with the command that shows it again.
//!
//! Each seed is a process of its own: it begins from nothing, so that a seed is the same alone and among a thousand.

mod sweep;

use std::process::ExitCode;

use clap::Parser;
use vedfolnir_sim::{Bug, Options, Report, run};

/// Attacks the replicated core with seeded faults.
#[derive(Clone, Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Simulated seconds of faults for each seed.
    #[arg(long, default_value_t = 25)]
    seconds: u64,
    /// A planted bug to look for: then it is the failure if no seed finds it.
    #[arg(long, value_parser = simulated)]
    bug: Option<Bug>,
    /// Every seed twice, and both must be the same.
    #[arg(long)]
    twice: bool,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Seeds that run at once; 0: as many as there are processors.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Runs this one seed in this process and prints its report; what the others are run by.
    #[arg(long, hide = true)]
    alone: Option<u64>,
}

/// A bug that the simulator has, by its name.
fn simulated(name: &str) -> Result<Bug, String> {
    let bug: Bug = name.parse()?;
    if bug.is_simulated() { Ok(bug) } else { Err(format!("it is on none of the floors that are simulated: {bug}")) }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.alone {
        Some(seed) => alone(&arguments, seed),
        None => sweep::run(&arguments),
    }
}

/// One seed, on a thread that has done nothing before.
fn alone(arguments: &Arguments, seed: u64) -> ExitCode {
    let limit = sweep::SEED_PROCESSOR_SECONDS_MAX;
    if let Err(error) = rlimit::setrlimit(rlimit::Resource::CPU, limit, limit) {
        println!("! harness no limit on the processor time: {error}");
        return ExitCode::FAILURE;
    }
    if std::env::var_os("SIM_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_env("SIM_LOG");
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    let options = Options { seed, seconds: arguments.seconds, bug: arguments.bug };
    match std::thread::Builder::new().spawn(move || run(options)).map(std::thread::JoinHandle::join) {
        Ok(Ok(report)) => print(&report),
        Ok(Err(_)) => println!("! harness the simulation panicked"),
        Err(error) => println!("! harness no thread: {error}"),
    }
    ExitCode::SUCCESS
}

fn print(report: &Report) {
    for line in &report.lines {
        println!("| {line}");
    }
    for violation in &report.violations {
        println!("! {} {}", violation.invariant, violation.what);
    }
    let (hash, notes) = report.trace;
    let (counts, simulated_ms) = (report.counts, (report.seconds * 1_000.0) as u64);
    println!("= {hash:016x} {notes} {simulated_ms} {} {}", report.entries, counts.delivered);
}
