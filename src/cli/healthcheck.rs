//! `vedfolnir healthcheck`: one probe of a node on this machine, for a container's or a supervisor's check: exit code 0 or 1.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use vedfolnir::admin;

use super::door::Door;
use super::{Failure, out, runtime};

#[derive(Args, Debug)]
pub(crate) struct HealthcheckArgs {
    #[command(flatten)]
    door: Door,
    /// What is asked
    #[arg(long, value_enum, default_value = "ready")]
    probe: Probe,
    /// An answer that takes longer is none, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

/// A probe.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Probe {
    /// Can it be given clients?
    Ready,
    /// Does it turn?
    Live,
    /// Could it serve at any time since it started?
    Startup,
}

impl Probe {
    const fn path(self) -> &'static str {
        match self {
            Self::Ready => "/websocket/health/ready",
            Self::Live => "/websocket/health/live",
            Self::Startup => "/websocket/health/startup",
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    reason: Option<String>,
}

pub(crate) fn run(arguments: HealthcheckArgs) -> Result<(), Failure> {
    let targets = arguments.door.targets()?;
    let token = arguments.door.token()?;
    runtime::block_on(Some(1), async move {
        let mut last = Failure::other("there is no node to ask");
        for target in &targets {
            let timeout = Duration::from_secs(arguments.timeout);
            match admin::get(target, token.as_ref(), arguments.probe.path(), timeout).await {
                Ok((status, _)) if status.is_success() => {
                    out::stdout("ok\n");
                    return Ok(());
                }
                Ok((status, body)) => {
                    let reason = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| answer.reason);
                    let reason = reason.unwrap_or_else(|| format!("it answers {}", status.as_u16()));
                    last = Failure::other(format!("the node at {target}: {reason}"));
                }
                Err(error) => last = Failure::other(error.to_string()),
            }
        }
        Err(last)
    })
}
