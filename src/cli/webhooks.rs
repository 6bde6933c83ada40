//! `vedfolnir webhooks`: how far the receiver was told, what was given up, telling it again.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use vedfolnir::admin::{LettersBody, LettersDropped, WebhooksView};
use vedfolnir::observability::rfc3339_ms;
use vedfolnir::webhooks::{DeadLetter, DeadLetterPage, Replayed};

use super::door::Door;
use super::{Failure, out, runtime};

/// A replay of many takes a while; the node ends each request before that.
const TIMEOUT: Duration = Duration::from_secs(40);

#[derive(Subcommand, Debug)]
pub(crate) enum WebhooksVerb {
    /// Show how far the receiver was told, and whether it takes what it is told
    Status(PlainArgs),
    /// Messages that were given up: show them, tell them again, drop them
    #[command(subcommand)]
    DeadLetters(LettersVerb),
}

#[derive(Subcommand, Debug)]
pub(crate) enum LettersVerb {
    /// Show them all, the oldest first
    List(PlainArgs),
    /// Show one of them, as it was sent, as JSON
    Show(OneArgs),
    /// Tell the receiver again, in their order up to the first that it does not take: exit code 0 if it took all
    Replay(SomeArgs),
    /// Take them off the list: the receiver is never told
    Drop(SomeArgs),
}

#[derive(Args, Debug)]
pub(crate) struct PlainArgs {
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// The event's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    door: Door,
}

#[derive(Args, Debug)]
pub(crate) struct SomeArgs {
    /// The event's id
    #[arg(value_name = "ID", required_unless_present = "all")]
    id: Option<String>,
    /// All of them
    #[arg(long, conflicts_with = "id")]
    all: bool,
    #[command(flatten)]
    door: Door,
}

pub(crate) fn run(verb: WebhooksVerb) -> Result<(), Failure> {
    runtime::block_on(Some(1), async move {
        match verb {
            WebhooksVerb::Status(arguments) => status(&arguments).await,
            WebhooksVerb::DeadLetters(LettersVerb::List(arguments)) => list(&arguments).await,
            WebhooksVerb::DeadLetters(LettersVerb::Show(arguments)) => show(&arguments).await,
            WebhooksVerb::DeadLetters(LettersVerb::Replay(arguments)) => replay(&arguments).await,
            WebhooksVerb::DeadLetters(LettersVerb::Drop(arguments)) => drop_letters(&arguments).await,
        }
    })
}

fn json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::other(error.to_string()))?;
    out::stdout(&format!("{text}\n"));
    Ok(())
}

async fn status(arguments: &PlainArgs) -> Result<(), Failure> {
    let view: WebhooksView = arguments.door.get("/webhooks", TIMEOUT).await?;
    if arguments.json {
        return json(&view);
    }
    let health = match &view.last_error {
        Some(error) => format!("failing: {} attempts in a row, {error}", view.failed_in_a_row),
        None if view.leads => "no failure".to_owned(),
        None => "told by the leader, which is another node".to_owned(),
    };
    let rows = [
        ("receiver", view.receiver),
        ("told", view.types.join(", ")),
        ("health", health),
        ("settled up to", view.after.unwrap_or_else(|| "nothing yet".to_owned())),
        ("events behind", view.events_behind.to_string()),
        ("waiting", view.pending.to_string()),
        ("dead letters", format!("{}, and {} dropped", view.dead_letters, view.dead_letters_dropped)),
        ("holes", view.lost.to_string()),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<15}{value}");
    }
    out::stdout(&text);
    Ok(())
}

async fn list(arguments: &PlainArgs) -> Result<(), Failure> {
    let mut all = DeadLetterPage::default();
    loop {
        // Ids are hexadecimal digits, dots and a dash.
        let path = all.next.take().map_or_else(String::new, |after| format!("?after={after}"));
        let page: DeadLetterPage = arguments.door.get(&format!("/webhooks/dead-letters{path}"), TIMEOUT).await?;
        all.letters.extend(page.letters);
        match page.next {
            Some(next) => all.next = Some(next),
            None => break,
        }
    }
    if arguments.json {
        return json(&all);
    }
    let mut text = String::new();
    for DeadLetter { id, r#type, attempts, last_error, given_up_unix_ms, .. } in &all.letters {
        let at = rfc3339_ms(*given_up_unix_ms);
        let _ = writeln!(text, "{id}  {type:<20}  given up {at} after {attempts} attempts: {last_error}");
    }
    if all.letters.is_empty() {
        text.push_str("there are no dead letters\n");
    }
    out::stdout(&text);
    Ok(())
}

async fn show(arguments: &OneArgs) -> Result<(), Failure> {
    let letter: DeadLetter = arguments.door.get(&format!("/webhooks/dead-letters/{}", arguments.id), TIMEOUT).await?;
    json(&letter)
}

async fn replay(arguments: &SomeArgs) -> Result<(), Failure> {
    let body = LettersBody { id: arguments.id.clone() };
    loop {
        let done: Replayed = arguments.door.change("/webhooks/dead-letters/replay", &body, TIMEOUT).await?;
        for id in &done.taken {
            out::stdout(&format!("{id} taken\n"));
        }
        if let Some(id) = done.not_taken {
            let reason = done.error.unwrap_or_default();
            return Err(Failure::other(format!("{id} is not taken: {reason}; it stays, and what is behind it")));
        }
        if !done.more {
            return Ok(());
        }
    }
}

async fn drop_letters(arguments: &SomeArgs) -> Result<(), Failure> {
    let body = LettersBody { id: arguments.id.clone() };
    let done: LettersDropped = arguments.door.change("/webhooks/dead-letters/drop", &body, TIMEOUT).await?;
    for id in done.dropped {
        out::stdout(&format!("{id} dropped\n"));
    }
    Ok(())
}
