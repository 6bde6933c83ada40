//! The load generator: one thread, one process, thousands of clients of its own, and a judge for what they received.
//!
//! It runs on one core beside the servers' core, so the client side is as thin as it can be: one task per connection,
//! one read buffer for all of them, frames parsed where they lie.

// As in the program that is measured: `commands` runs its nodes in children of this one, and what the state weighs in
// `state` is what it weighs there.
#[path = "../src/allocator.rs"]
mod allocator;
mod args;
mod child;
mod error;
mod histogram;
mod report;
mod scrape;
mod server;
mod summary;
mod workload;

use clap::Parser;

use self::args::{Cli, Verb};
use self::error::BenchError;
use self::report::Report;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::from(2),
        Err(error) => {
            eprintln!("vedfolnir-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Whether what was measured may be believed: every promise that the workload checks was kept.
fn run(cli: Cli) -> Result<bool, BenchError> {
    if let Verb::Child(arguments) = &cli.verb {
        return child::run(arguments).map(|()| true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let json = cli.json;
    let report: Report = match cli.verb {
        Verb::Table(arguments) => {
            print!("{}", summary::table(&arguments.files)?);
            return Ok(true);
        }
        verb => {
            // Every client is a file descriptor.
            rlimit::increase_nofile_limit(u64::MAX)?;
            local.block_on(&runtime, workload::run(verb))?
        }
    };
    if json {
        println!("{}", report.json());
        eprint!("{}", report.text());
    } else {
        print!("{}", report.text());
    }
    Ok(report.is_clean())
}
