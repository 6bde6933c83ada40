//! `vedfolnir drain` and `vedfolnir maintenance`: a node's clients go elsewhere, or no new ones come, while it runs on.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use vedfolnir::admin::{DrainBody, MaintenanceBody, MaintenanceView};
use vedfolnir::config::drain_rate;
use vedfolnir::service::{DrainStatus, Standing};

use super::door::Door;
use super::{Failure, out, runtime};

/// Others are asked first whether they take clients; a quorum may have to be found.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at how far a drain is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args, Debug)]
pub(crate) struct DrainArgs {
    /// How many clients go in a second, such as 500 or 500/s [default: the node's WEBSOCKET_DRAIN_RATE]
    #[arg(long, value_name = "RATE", value_parser = drain_rate)]
    rate: Option<u32>,
    /// Show how a drain is going, and change nothing
    #[arg(long, conflicts_with_all = ["rate", "stop", "force", "no_wait"])]
    status: bool,
    /// Take the node back into service
    #[arg(long, conflicts_with_all = ["rate", "force", "no_wait"])]
    stop: bool,
    /// Drain it also when no other node takes clients
    #[arg(long)]
    force: bool,
    /// Do not wait until no client is left
    #[arg(long)]
    no_wait: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wish {
    On,
    Off,
}

#[derive(Args, Debug)]
pub(crate) struct MaintenanceArgs {
    /// Whether the node is to be in maintenance; it stays so over restarts until `off`
    #[arg(required_unless_present = "status")]
    wish: Option<Wish>,
    /// Show which nodes are, and change nothing
    #[arg(long, conflicts_with_all = ["wish", "force"])]
    status: bool,
    /// Do it also when too few nodes are left to serve
    #[arg(long)]
    force: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

pub(crate) fn drain(arguments: DrainArgs) -> Result<(), Failure> {
    runtime::block_on(Some(1), async move {
        let door = &arguments.door;
        let status: DrainStatus = if arguments.status {
            door.get("/drain", TIMEOUT).await?
        } else if arguments.stop {
            door.change("/drain/stop", &serde_json::json!({}), TIMEOUT).await?
        } else {
            let body = DrainBody { rate: arguments.rate, force: arguments.force };
            let begun: DrainStatus = door.change("/drain", &body, TIMEOUT).await?;
            if arguments.no_wait { begun } else { emptied(door, begun).await? }
        };
        show(arguments.json, &status, &in_words(&status))
    })
}

/// How it is once no client is left, or the drain is over.
async fn emptied(door: &Door, mut status: DrainStatus) -> Result<DrainStatus, Failure> {
    while status.connections > 0 && status.standing == Standing::Draining {
        tokio::time::sleep(LOOK_EVERY).await;
        status = door.get("/drain", TIMEOUT).await?;
    }
    Ok(status)
}

fn in_words(status: &DrainStatus) -> String {
    let DrainStatus { standing, connections, found, rate, seconds } = *status;
    match standing {
        Standing::Draining if connections == 0 => {
            format!(
                "drained: {found} clients were let go, none is left; `vedfolnir drain --stop` takes the node back into service\n"
            )
        }
        Standing::Draining => format!("draining: {connections} of {found} clients left after {seconds} s, {rate}/s\n"),
        standing => format!("{}: {connections} clients\n", standing.as_str()),
    }
}

pub(crate) fn maintenance(arguments: MaintenanceArgs) -> Result<(), Failure> {
    runtime::block_on(Some(1), async move {
        let view: MaintenanceView = match arguments.wish {
            None => arguments.door.get("/maintenance", TIMEOUT).await?,
            Some(wish) => {
                let body = MaintenanceBody { on: wish == Wish::On, force: arguments.force };
                arguments.door.put("/maintenance", &body, TIMEOUT).await?
            }
        };
        let mut text = format!("maintenance {}\n", if view.on { "on" } else { "off" });
        for node in &view.nodes {
            let _ = writeln!(text, "{}  in maintenance since {}", node.id, node.since);
        }
        show(arguments.json, &view, &text)
    })
}

fn show(json: bool, value: &impl serde::Serialize, text: &str) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_string(value).map_err(|error| Failure::other(error.to_string()))?;
        out::stdout(&format!("{line}\n"));
    } else {
        out::stdout(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_told_in_one_line() {
        let status = DrainStatus { standing: Standing::Draining, connections: 7, found: 20, rate: 500, seconds: 3 };
        assert_eq!(in_words(&status), "draining: 7 of 20 clients left after 3 s, 500/s\n");
        assert!(in_words(&DrainStatus { connections: 0, ..status }).starts_with("drained: 20 clients were let go"));
        let serving = DrainStatus { connections: 4, ..DrainStatus::default() };
        assert_eq!(in_words(&serving), "serving: 4 clients\n");
    }
}
