//! Runs seeds and says what broke, with the command that shows it again.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use vedfolnir_sim::{Bug, Options, catch_panics, run};

/// Attacks the replicated core with seeded faults.
#[derive(Parser)]
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
    /// A planted bug to look for: then a run without a finding is the failure.
    #[arg(long)]
    bug: Option<Bug>,
    /// Every seed twice, and both must be the same.
    #[arg(long)]
    twice: bool,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if std::env::var_os("SIM_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_env("SIM_LOG");
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    } else {
        catch_panics();
    }
    let began = Instant::now();
    let (mut simulated, mut failures, mut entries, mut delivered) = (0.0, 0u64, 0, 0);
    let last = arguments.start + arguments.seeds;
    for seed in arguments.start..last {
        let options = Options { seed, seconds: arguments.seconds, bug: arguments.bug };
        let report = run(options);
        simulated += report.seconds;
        entries += report.entries;
        delivered += report.counts.delivered;
        if arguments.twice {
            let again = run(options);
            if again.trace != report.trace {
                println!("seed {seed}: two runs differ: {:?} and {:?}", report.trace, again.trace);
                return ExitCode::FAILURE;
            }
        }
        if !report.violations.is_empty() {
            failures += 1;
            for line in &report.lines {
                println!("    {line}");
            }
            for violation in &report.violations {
                println!("seed {seed}: {}: {}", violation.invariant, violation.what);
            }
            let bug = arguments.bug.map(|bug| format!(" BUG={}", bug.name())).unwrap_or_default();
            println!("again: make sim START={seed} SEEDS=1 SECONDS={}{bug}", arguments.seconds);
            if !arguments.keep_going {
                break;
            }
        }
        let done = seed + 1 - arguments.start;
        if done.is_multiple_of(50) || seed + 1 == last {
            let elapsed = began.elapsed().as_secs_f64();
            println!(
                "{done} seeds up to {seed}: {failures} failed, {simulated:.0} simulated s in {elapsed:.1} s \
                 ({:.1} seeds/s), {entries} entries, {delivered} deliveries",
                done as f64 / elapsed
            );
        }
    }
    let found = failures > 0;
    if found == arguments.bug.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
