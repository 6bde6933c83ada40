//! `vedfolnir status`: the cluster as one of its nodes sees it.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use vedfolnir::admin::{self, ScheduleView, StatusView, Target};
use vedfolnir::security::secret::Secret;

use super::door::{self, Door};
use super::members::vital;
use super::{Failure, out, runtime};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Another node's applied position is a courtesy: not worth a longer wait.
const PEER_TIMEOUT: Duration = Duration::from_millis(700);

const HEAD: [&str; 14] = [
    "NODE",
    "ROLE",
    "LIVE",
    "STANDING",
    "SESSIONS",
    "APPLIED",
    "LAST CONTACT",
    "CPU",
    "MEMORY",
    "RESPONSE",
    "ERRORS",
    "CLIENTS",
    "URL",
    "CLUSTER",
];

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    door: Door,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: StatusArgs) -> Result<(), Failure> {
    let targets = arguments.door.targets()?;
    let token = arguments.door.token()?;
    runtime::block_on(Some(1), async move {
        let body = ask(&targets, token.as_ref()).await?;
        if arguments.json {
            out::stdout(&format!("{}\n", String::from_utf8_lossy(&body)));
        } else {
            let view = serde_json::from_slice(&body)
                .map_err(|error| Failure::other(format!("the node's answer is not understood: {error}")))?;
            let applied = applied(&view, token.as_ref()).await;
            out::stdout(&render(&view, &applied));
        }
        Ok(())
    })
}

/// The first node that answers.
async fn ask(targets: &[Target], token: Option<&Secret>) -> Result<Vec<u8>, Failure> {
    let mut last = Failure::other("there is no node to ask");
    for target in targets {
        match admin::get(target, token, "/status", TIMEOUT).await {
            Ok((status, body)) if status.is_success() => return Ok(body.to_vec()),
            Ok((status, body)) => {
                let reason = door::reason(status.as_u16(), &body);
                let what = if status.is_server_error() { "has no status yet" } else { "does not answer" };
                last = Failure::other(format!("the node at {target} {what}: {reason}"));
            }
            Err(error) => last = Failure::other(error.to_string()),
        }
    }
    Err(last)
}

/// What each member has applied: the asked one said so, the others are asked at their own doors where those can be
/// reached from here.
async fn applied(view: &StatusView, token: Option<&Secret>) -> Vec<Option<u64>> {
    futures_util::future::join_all(view.nodes.iter().map(|node| async move {
        if node.id == view.node_id {
            return Some(view.applied_index);
        }
        let target: Target = node.admin_url.parse().ok()?;
        let (_, body) = admin::get(&target, token, "/status", PEER_TIMEOUT).await.ok()?;
        let peer: StatusView = serde_json::from_slice(&body).ok()?;
        // Another cluster's node may have the same loopback address on another host.
        (peer.node_id == node.id).then_some(peer.applied_index)
    }))
    .await
}

/// How old what a lost quorum could be brought back from is.
fn schedule(backups: &ScheduleView) -> String {
    let mut text = String::new();
    let every = backups.interval.map_or_else(|| "when asked for".to_owned(), |seconds| format!("every {seconds} s"));
    let newest = backups.newest.as_deref().unwrap_or("none that this node knows of");
    let error = backups.last_error.as_ref().map_or_else(String::new, |error| format!("; the last one failed: {error}"));
    let _ = writeln!(text, "backups            {every}, into {}; newest {newest}{error}", backups.location);
    if let Some(archive) = &backups.archive {
        let upto = match (archive.raft_index, &archive.until) {
            (Some(index), Some(until)) => format!("up to {index}, applied at {until}"),
            (Some(index), None) => format!("up to {index}"),
            (None, _) => "nothing by this node yet".to_owned(),
        };
        let gaps = if archive.gaps > 0 { format!(", {} gaps", archive.gaps) } else { String::new() };
        let error = archive.error.as_ref().map_or_else(String::new, |error| format!("; not now: {error}"));
        let _ = writeln!(text, "archived log       every {} s, {upto}{gaps}{error}", archive.interval);
    }
    text
}

fn render(view: &StatusView, applied: &[Option<u64>]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "cluster            {}", view.cluster_id);
    let _ = writeln!(text, "seen by            {} ({})", view.node_id, view.server_id);
    let _ = match &view.reason {
        None => writeln!(text, "ready              yes"),
        Some(reason) => writeln!(text, "ready              no: {reason}"),
    };
    let _ = writeln!(text, "leader             {} (term {})", view.leader.as_deref().unwrap_or("unknown"), view.term);
    let _ = writeln!(text, "failure tolerance: {}", view.failure_tolerance);
    let formats = view.nodes.iter().map(|node| node.format.map_or_else(|| "?".to_owned(), |format| format.to_string()));
    let formats = formats.collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "format             {} (its members speak up to {formats})", view.format);
    let _ = writeln!(
        text,
        "log                committed {}, applied {}, snapshot {}",
        view.committed_index, view.applied_index, view.snapshot_index
    );
    let _ = writeln!(
        text,
        "sessions           {} connected, {} inside their recovery window",
        view.sessions_connected, view.sessions_disconnected
    );
    if let Some(backups) = &view.backups {
        text.push_str(&schedule(backups));
    }
    for alert in &view.alerts {
        let member = alert.node.as_deref().unwrap_or("");
        let told = if alert.told { "" } else { " (the receiver has not taken it yet)" };
        let _ = writeln!(text, "alert              {} {member} since {}{told}", alert.alert, alert.since);
    }
    let mut rows = vec![HEAD.map(String::from)];
    for (node, applied) in view.nodes.iter().zip(applied) {
        rows.push([
            node.id.clone(),
            node.role.clone(),
            if node.live { "yes" } else { "no" }.to_owned(),
            node.standing.clone().unwrap_or_else(|| "-".to_owned()),
            node.sessions.to_string(),
            applied.map_or_else(|| "-".to_owned(), |index| index.to_string()),
            node.last_contact_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
            vital(node, |vitals| Some(format!("{:.0} %", vitals.cpu_percent))),
            vital(node, |vitals| Some(format!("{} MB", vitals.memory_bytes / 1_000_000))),
            vital(node, |vitals| Some(format!("{:.1} ms", vitals.response_ms?))),
            vital(node, |vitals| Some(format!("{:.1} %", 100.0 * vitals.error_rate?))),
            vital(node, |vitals| Some(vitals.connections.to_string())),
            node.url.clone(),
            node.cluster_addr.clone(),
        ]);
    }
    text.push('\n');
    text.push_str(&super::dev::table(&rows));
    text
}
