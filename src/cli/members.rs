//! `vedfolnir members`, `remove`, `leave` and `transfer-leadership`: who is in the cluster, and changing it.

use std::time::Duration;

use clap::Args;
use vedfolnir::admin::{self, Members, NodeView, RemoveBody, TransferBody};
use vedfolnir::service::Vitals;

use super::door::{self, Door};
use super::{Failure, out, runtime};

/// The leader may have to be elected first.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Clients are let go first, at the node's pace: as long as its time-out can be, and some more.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(660);

#[derive(Args, Debug)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    door: Door,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// The node: its id, a unique prefix of it, or one of its addresses
    #[arg(value_name = "NODE")]
    node: String,
    /// Remove it also when it is alive; never when the rest would be no healthy majority
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    door: Door,
}

#[derive(Args, Debug)]
pub(crate) struct LeaveArgs {
    #[command(flatten)]
    door: Door,
}

#[derive(Args, Debug)]
pub(crate) struct TransferArgs {
    /// The voter that shall lead: its id, a unique prefix of it, or one of its addresses [default: any other voter]
    #[arg(value_name = "NODE")]
    node: Option<String>,
    #[command(flatten)]
    door: Door,
}

pub(crate) fn members(arguments: MembersArgs) -> Result<(), Failure> {
    let targets = arguments.door.targets()?;
    let token = arguments.door.token()?;
    runtime::block_on(Some(1), async move {
        let mut last = Failure::other("there is no node to ask");
        for target in &targets {
            match admin::get(target, token.as_ref(), "/members", TIMEOUT).await {
                Ok((status, body)) if status.is_success() => {
                    if arguments.json {
                        out::stdout(&format!("{}\n", String::from_utf8_lossy(&body)));
                        return Ok(());
                    }
                    let view = serde_json::from_slice(&body)
                        .map_err(|error| Failure::other(format!("the node's answer is not understood: {error}")))?;
                    out::stdout(&render(&view));
                    return Ok(());
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

/// One of a member's figures, if there is one.
pub(super) fn vital(node: &NodeView, of: impl FnOnce(&Vitals) -> Option<String>) -> String {
    node.vitals.as_ref().and_then(of).unwrap_or_else(|| "-".to_owned())
}

fn render(view: &Members<NodeView>) -> String {
    let mut rows = vec![
        [
            "NODE",
            "ROLE",
            "LIVE",
            "CLUSTER",
            "URL",
            "ADMIN",
            "MATCHED",
            "LAST CONTACT",
            "VERSION",
            "FORMAT",
            "CPU",
            "MEMORY",
            "RESPONSE",
            "ERRORS",
            "CLIENTS",
        ]
        .map(String::from),
    ];
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for node in &view.members {
        rows.push([
            node.id.clone(),
            node.role.clone(),
            if node.live { "yes" } else { "no" }.to_owned(),
            node.cluster_addr.clone(),
            or_dash(&node.url),
            or_dash(&node.admin_url),
            node.matched_index.map_or_else(|| "-".to_owned(), |index| index.to_string()),
            node.last_contact_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
            or_dash(&node.version),
            node.format.map_or_else(|| "-".to_owned(), |format| format.to_string()),
            vital(node, |vitals| Some(format!("{:.0} %", vitals.cpu_percent))),
            vital(node, |vitals| Some(format!("{} MB", vitals.memory_bytes / 1_000_000))),
            vital(node, |vitals| Some(format!("{:.1} ms", vitals.response_ms?))),
            vital(node, |vitals| Some(format!("{:.1} %", 100.0 * vitals.error_rate?))),
            vital(node, |vitals| Some(vitals.connections.to_string())),
        ]);
    }
    super::dev::table(&rows)
}

pub(crate) fn remove(arguments: RemoveArgs) -> Result<(), Failure> {
    runtime::block_on(Some(1), async move {
        let body = RemoveBody { node: arguments.node, force: arguments.force };
        let done = arguments.door.post_any("/members/remove", &body, TIMEOUT).await?;
        out::stdout(&format!("node {} was removed from the cluster\n", done.removed.unwrap_or_default()));
        Ok(())
    })
}

pub(crate) fn leave(arguments: LeaveArgs) -> Result<(), Failure> {
    runtime::block_on(Some(1), async move {
        let done = arguments.door.post("/leave", &serde_json::json!({}), LEAVE_TIMEOUT).await?;
        out::stdout(&format!("node {} left the cluster and ends\n", done.removed.unwrap_or_default()));
        Ok(())
    })
}

pub(crate) fn transfer(arguments: TransferArgs) -> Result<(), Failure> {
    runtime::block_on(Some(1), async move {
        let body = TransferBody { node: arguments.node };
        let done = arguments.door.post_any("/leadership/transfer", &body, TIMEOUT).await?;
        out::stdout(&format!("node {} leads\n", done.leader.unwrap_or_default()));
        Ok(())
    })
}
