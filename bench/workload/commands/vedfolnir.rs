//! The commands on Vedfolnir's cluster floor: three children of this program, each a node with its share of proposers.

use std::path::Path;
use std::time::Duration;

use super::{free_addresses, report, share, watch};
use crate::args::CommandsArgs;
use crate::child::{Child, Go, MemberOrders, MemberReady, MemberResult, Orders};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::Processes;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Beyond the span.
const RESULT_SLACK: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: &CommandsArgs, dir: &Path) -> Result<Report, BenchError> {
    let addresses = free_addresses(arguments.nodes)?;
    let mut children = Vec::new();
    for (index, bind) in addresses.iter().enumerate() {
        let orders = MemberOrders {
            dir: dir.join(format!("node-{index}")),
            bind: *bind,
            bootstrap: addresses.iter().filter(|other| *other != bind).map(ToString::to_string).collect(),
            nodes: arguments.nodes,
        };
        children.push(Child::start(&Orders::Member(orders), arguments.place.server_core)?);
    }
    let mut leader = 0;
    for (index, child) in children.iter_mut().enumerate() {
        let ready: MemberReady = child.told("a node that serves", READY_TIMEOUT).await?;
        if ready.leads {
            leader = index;
        }
    }
    let mut first = 0;
    for (index, child) in children.iter_mut().enumerate() {
        let proposers = share(arguments.proposers, arguments.nodes, index, leader);
        let span = arguments.span;
        let go = Go { first, proposers, payload: arguments.payload, warm_up: span.warm_up, seconds: span.seconds };
        child.tell(&go).await?;
        first += proposers;
    }
    let processes = Processes::new(children.iter().filter_map(Child::pid).collect());
    let busy = watch(&processes, arguments.span).await?;
    let mut latency = Histogram::default();
    let mut broken = Vec::new();
    let mut leader_changes = 0;
    for child in &mut children {
        let result: MemberResult = child.told("a node's result", RESULT_SLACK).await?;
        latency.merge(&result.latency);
        broken.extend(result.failed.map(|reason| format!("a command was not committed: {reason}")));
        leader_changes = leader_changes.max(result.leader_changes);
    }
    for child in children {
        child.end().await?;
    }
    let mut report = report(arguments, "vedfolnir", &latency);
    report.figure("leader changes", leader_changes as f64, "");
    busy.tell(&mut report);
    report.broken = broken;
    Ok(report)
}
