//! `vedfolnir`: arguments in, exit code out; everything else is in the library and in `cli`.

mod allocator;
mod cli;

use std::process::ExitCode;

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("planted bugs are for chaos tests: they are never in a release build");

fn main() -> ExitCode {
    #[cfg(feature = "planted-bugs")]
    if let Err(refusal) = vedfolnir_planted::announce() {
        return cli::Failure::configuration(refusal).report();
    }
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
