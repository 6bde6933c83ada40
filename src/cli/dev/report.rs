//! What a development cluster says of itself once it stands.

use std::io::Write;

use serde::Serialize;

use super::plan::Plan;
use super::supervisor::ReadyNode;
use crate::cli::{Failure, out};

#[derive(Serialize)]
struct Line<'a> {
    nodes: Vec<Node<'a>>,
}

#[derive(Serialize)]
struct Node<'a> {
    id: &'a str,
    role: &'a str,
    pid: u32,
    url: &'a str,
    admin_url: &'a str,
    api_url: Option<&'a str>,
    cluster_addr: &'a str,
    data_dir: String,
}

/// The one line for programs.
pub(super) fn json(nodes: &[ReadyNode]) -> Result<(), Failure> {
    let nodes = nodes
        .iter()
        .map(|node| Node {
            id: &node.id,
            role: &node.role,
            pid: node.pid,
            url: &node.url,
            admin_url: &node.admin_url,
            api_url: node.api_url.as_deref(),
            cluster_addr: &node.cluster_addr,
            data_dir: node.data_dir.display().to_string(),
        })
        .collect();
    let mut line =
        serde_json::to_string(&Line { nodes }).map_err(|error| Failure::other(format!("the JSON line: {error}")))?;
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::other(format!("standard output: {error}")))
}

/// The table for people, and what to try next.
pub(super) fn text(nodes: &[ReadyNode], plan: &Plan, temporary: bool) {
    let mut rows = vec![["NODE", "ROLE", "PID", "SOCKET.IO", "ADMIN", "HTTP API", "LOG"].map(String::from)];
    for node in nodes {
        rows.push([
            node.name.clone(),
            node.role.clone(),
            node.pid.to_string(),
            node.url.clone(),
            node.admin_url.clone(),
            node.api_url.clone().unwrap_or_default(),
            node.log.display().to_string(),
        ]);
    }
    let plural = if nodes.len() == 1 { "node is" } else { "nodes are" };
    let mut text = format!("\nvedfolnir dev: {} {plural} ready\n\n{}\nTry this next\n", nodes.len(), table(&rows));
    let mut hint = |what: &str, how: &str| text.push_str(&format!("  {what:<24}{how}\n"));
    let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else { return };
    hint("see the cluster", &format!("vedfolnir status --addr {}", last.admin_url));
    if let Some(leader) = nodes.iter().find(|node| node.role == "leader")
        && nodes.len() > 2
    {
        hint("kill the leader", &format!("kill -9 {}", leader.pid));
    }
    hint("talk to it (Node.js)", &format!("const socket = require('socket.io-client')('{}')", first.url));
    hint("", "socket.emit('join', 'lobby', console.log)");
    hint("", "socket.on('hello', console.log); socket.emit('publish', 'lobby', 'hello', 1, console.log)");
    if let Some(api) = &first.api_url {
        hint("and from a shell", &format!("vedfolnir publish --api {api} --room lobby hello 2"));
    }
    if let Some(node) = plan.nodes.last()
        && !temporary
    {
        hint("restart a killed node", &format!("vedfolnir {}", node.arguments.join(" ")));
    }
    hint("stop all", "Ctrl-C");
    if temporary {
        text.push_str(
            "\nThe data is in a temporary directory and goes with the cluster; keep it with --data-dir DIR.\n",
        );
    }
    text.push('\n');
    out::stdout(&text);
}

/// Columns as wide as their widest cell.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str("  ");
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
