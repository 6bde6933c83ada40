//! `vedfolnir token`: secrets that let somebody in.

use std::time::Duration;

use clap::{Args, Subcommand};
use vedfolnir::admin::TokenBody;
use vedfolnir::config::parse_duration;

use super::door::Door;
use super::{Failure, out, runtime};

const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Subcommand, Debug)]
pub(crate) enum TokenVerb {
    /// Make a token and print it; it is shown this once
    Create(CreateArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// A join token: lets one new node into the cluster
    #[arg(long, required = true)]
    join: bool,
    /// How long it is good, at most 30d
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: String,
    #[command(flatten)]
    door: Door,
}

pub(crate) fn run(TokenVerb::Create(arguments): TokenVerb) -> Result<(), Failure> {
    let ttl = parse_duration(&arguments.ttl).filter(|ttl| !ttl.is_zero()).ok_or_else(|| {
        Failure::configuration(format!(
            "--ttl = {:?} is refused: not a duration; accepted: a duration such as 300, 5m or 1h30m, at most 30d",
            arguments.ttl
        ))
    })?;
    runtime::block_on(Some(1), async move {
        let body = TokenBody { ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX) };
        let done = arguments.door.post_any("/tokens/join", &body, TIMEOUT).await?;
        out::stdout(&format!("{}\n", done.token.unwrap_or_default()));
        Ok(())
    })
}
