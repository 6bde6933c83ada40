//! The harness without the program: `cargo run -p vedfolnir-chaos --example chaos -- run kill-leader --bin PATH`.
#![allow(missing_docs)]

use std::process::ExitCode;

use clap::Parser;
use vedfolnir_chaos::cli::{self, Verb};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Arguments::parse().verb).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}
