//! `vedfolnir chaos`: hands the arguments to the harness, and its verdict to the exit code.

use vedfolnir_chaos::cli::{self, Verb};

use super::{Failure, open_files, runtime};

pub(crate) fn run(verb: Verb) -> Result<(), Failure> {
    // A herd of clients is a herd of sockets.
    let _ = open_files::raised();
    let violations = runtime::block_on(None, async { cli::run(verb).await.map_err(|error| Failure::harness(&error)) })?;
    match violations {
        0 => Ok(()),
        1 => Err(Failure::other("1 promise was broken")),
        many => Err(Failure::other(format!("{many} promises were broken"))),
    }
}
