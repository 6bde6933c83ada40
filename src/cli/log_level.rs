//! `vedfolnir log-level`: which levels a node logs, and others from now on.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use vedfolnir::admin::{LevelBody, LevelsView};

use super::door::Door;
use super::{Failure, out, runtime};

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(crate) struct LogLevelArgs {
    /// connection, message, security, performance, error or system; all: those without a level of their own
    #[arg(value_name = "CATEGORY", requires = "level")]
    category: Option<String>,
    /// Its least level from now on, until the configuration is read again: DEBUG, INFO, WARNING, ERROR or CRITICAL
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    #[command(flatten)]
    door: Door,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: LogLevelArgs) -> Result<(), Failure> {
    runtime::block_on(Some(1), async move {
        let body = match (arguments.category, arguments.level) {
            (Some(category), Some(level)) => {
                Some(LevelBody { category: Some(category).filter(|name| name != "all"), level })
            }
            _ => None,
        };
        let view: LevelsView = match &body {
            Some(body) => arguments.door.put("/log-level", body, TIMEOUT).await?,
            None => arguments.door.get("/log-level", TIMEOUT).await?,
        };
        out::stdout(&if arguments.json {
            let text = serde_json::to_string(&view).map_err(|error| Failure::other(error.to_string()))?;
            format!("{text}\n")
        } else {
            render(&view)
        });
        Ok(())
    })
}

fn render(view: &LevelsView) -> String {
    let mut text = match &view.filter {
        Some(filter) => format!("all          {filter} (WEBSOCKET_LOG_FILTER)\n"),
        None => format!("all          {}\n", view.level),
    };
    for own in view.categories.iter().filter(|category| category.own || category.level == "off") {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<12} {}", own.category, own.level);
    }
    text
}
