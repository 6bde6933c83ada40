//! `vedfolnir trace`: what became of one session's messages, from the log to its transport.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use vedfolnir::LogPosition;
use vedfolnir::admin;
use vedfolnir::observability::rfc3339_ms;
use vedfolnir::service::{NodeTrace, Trace};

use super::door::{self, Door};
use super::{Failure, out, runtime};

/// A member that is gone is waited for.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    /// The session's public id, which clients know as socket.id; never its secret pid
    // Ids are base64url: one in 64 begins like an option.
    #[arg(long, value_name = "SID", allow_hyphen_values = true)]
    session: String,
    /// Look in this namespace only
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// How many of its last messages are listed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    last: u16,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

pub(crate) fn run(arguments: TraceArgs) -> Result<(), Failure> {
    let targets = arguments.door.targets()?;
    let token = arguments.door.token()?;
    let mut path = format!("/trace?session={}&last={}", encoded(&arguments.session), arguments.last);
    if let Some(namespace) = &arguments.namespace {
        let _ = write!(path, "&namespace={}", encoded(namespace));
    }
    runtime::block_on(Some(1), async move {
        let mut last = Failure::other("there is no node to ask");
        for target in &targets {
            match admin::get(target, token.as_ref(), &path, TIMEOUT).await {
                Ok((status, body)) if status.is_success() => {
                    if arguments.json {
                        out::stdout(&format!("{}\n", String::from_utf8_lossy(&body)));
                        return Ok(());
                    }
                    let trace = serde_json::from_slice(&body)
                        .map_err(|error| Failure::other(format!("the node's answer is not understood: {error}")))?;
                    out::stdout(&render(&trace));
                    return Ok(());
                }
                // Its replica has spoken; another's says the same.
                Ok((status, body)) if status.is_client_error() => {
                    return Err(Failure::other(door::reason(status.as_u16(), &body)));
                }
                Ok((status, body)) => {
                    last = Failure::other(format!("{target}: {}", door::reason(status.as_u16(), &body)));
                }
                Err(error) => last = Failure::other(error.to_string()),
            }
        }
        Err(last)
    })
}

/// A value of a query (RFC 3986, section 2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn render(trace: &Trace) -> String {
    let mut text = String::new();
    let Trace { session, committed, handed, .. } = trace;
    let of = session.user.as_ref().map_or_else(String::new, |user| format!(", of user {user}"));
    let _ = writeln!(text, "session            {} in {}{of}", session.sid, session.namespace);
    let _ = match session.recoverable_ms {
        None => writeln!(text, "state              connected to {}, its owner number {}", session.owner, session.epoch),
        Some(ms) => writeln!(
            text,
            "state              disconnected; last owner {} (number {}); it can be resumed for {} s more",
            session.owner,
            session.epoch,
            ms / 1_000
        ),
    };
    let _ = writeln!(text, "began              {}", place(session.started));
    let _ = writeln!(text, "rooms              {}", session.rooms.join(", "));
    let _ = writeln!(text, "seen by            {}, which has applied {}", trace.seen_by, trace.applied_index);
    let span = match (committed.first, committed.last) {
        (Some(first), Some(last)) => {
            format!("{}, the first at {}, the last at {}", committed.count, place(first), place(last))
        }
        _ => "nothing".to_owned(),
    };
    let _ = writeln!(text, "committed for it   {span}");
    if committed.incomplete {
        let _ = writeln!(
            text,
            "                   counted after {}: what was there before is not retained any more",
            place(committed.counted_after)
        );
    }
    let by = match &handed.by {
        Some(node) => format!("as {node} says"),
        None => "where it began: no node that answers has had it".to_owned(),
    };
    let doubt = if handed.exact { "" } else { "; its last owner does not answer, and may have handed more" };
    let _ = writeln!(text, "handed             {} up to {}, {by}{doubt}", handed.count, place(handed.up_to));
    let _ = writeln!(text, "\n{}", trace.verdict);

    if !committed.listed.is_empty() {
        let mut rows = vec![["POSITION", "EVENT", "NAMESPACE", "ROOMS", "HANDED"].map(String::from)];
        rows.extend(committed.listed.iter().map(|listed| {
            let rooms = if listed.rooms.is_empty() { "(everybody)".to_owned() } else { listed.rooms.join(", ") };
            let handed = match listed.handed {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not known",
            };
            [place(listed.position), listed.event.clone(), listed.namespace.clone(), rooms, handed.to_owned()]
        }));
        let _ = write!(text, "\n{}", super::dev::table(&rows));
    }
    let resumes = resumes(&trace.nodes);
    if resumes.len() > 1 {
        let _ = write!(text, "\n{}", super::dev::table(&resumes));
    }
    text.push('\n');
    for node in &trace.nodes {
        text.push_str(&memory(node));
    }
    text.push_str(
        "what is committed is replicated; what was handed and the resumes are in the memory of each node, and end with its \
         process; volatile events leave no trace\n",
    );
    text
}

/// A table of them, by time.
fn resumes(nodes: &[NodeTrace]) -> Vec<[String; 8]> {
    let mut resumes: Vec<_> =
        nodes.iter().flat_map(|node| node.memory.resumes.iter().map(move |resume| (resume, &node.node))).collect();
    resumes.sort_by_key(|(resume, _)| resume.at_unix_ms);
    let or_dash = |position: Option<LogPosition>| position.map_or_else(|| "-".to_owned(), place);
    let head = ["RESUMED", "NODE", "OUTCOME", "OFFSET SENT", "REPLAYED AFTER", "AT", "OWNER NUMBER", "TOOK"];
    let mut rows = vec![head.map(String::from)];
    rows.extend(resumes.into_iter().map(|(resume, node)| {
        [
            rfc3339_ms(resume.at_unix_ms),
            node.clone(),
            resume.outcome.as_str().to_owned(),
            or_dash(resume.from),
            or_dash(resume.replayed_after),
            or_dash(resume.position),
            resume.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
            format!("{} ms", resume.took_ms),
        ]
    }));
    rows
}

/// What a node has of it.
fn memory(node: &NodeTrace) -> String {
    let NodeTrace { node: id, silent, memory } = node;
    if let Some(reason) = silent {
        return format!("node {id}   does not answer ({reason}): what it knew beyond the log is not in this report\n");
    }
    let mut text = String::new();
    if let Some(socket) = &memory.socket {
        let behind = if socket.catches_up { "; it is behind and catches up from the history" } else { "" };
        let _ = writeln!(
            text,
            "node {id}   has its socket: handed up to {}, {} events and {} bytes wait{behind}",
            place(socket.handed_up_to),
            socket.waiting_events,
            socket.waiting_bytes,
        );
    }
    for gone in &memory.departures {
        let _ = writeln!(
            text,
            "node {id}   had its socket as owner number {} until {}, handed up to {}: {}",
            gone.epoch,
            rfc3339_ms(gone.at_unix_ms),
            place(gone.handed_up_to),
            gone.cause
        );
    }
    if text.is_empty() {
        let _ = writeln!(text, "node {id}   has no socket of it and remembers none");
    }
    text
}

/// A position; the end of an entry by its index alone.
fn place(position: LogPosition) -> String {
    if position == LogPosition::end_of(position.index) { position.index.to_string() } else { position.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_encoded() {
        assert_eq!(encoded("aZ09-_.~"), "aZ09-_.~");
        assert_eq!(encoded("/a b&c=ü"), "%2Fa%20b%26c%3D%C3%BC");
    }

    #[test]
    fn the_end_of_an_entry_has_no_ordinal() {
        assert_eq!(place(LogPosition::new(7, 2)), "7.2");
        assert_eq!(place(LogPosition::end_of(7)), "7");
    }
}
