//! `vedfolnir dev`: a whole cluster of real processes on this machine, until Ctrl-C.
//!
//! ```text
//!   plan (dev.json: ports) ──► certificates ──► one child per node ──► wait until all serve ──► table or JSON
//!                                                   │ its standard input is a pipe we hold: closed → it shuts down
//! ```

mod plan;
mod ports;
mod report;
mod supervisor;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use self::plan::Plan;
use self::supervisor::Supervisor;
use super::{Failure, runtime, signal};

pub(crate) use report::table;

/// Nodes that `dev` runs at most.
const NODES_MAX: usize = 7;
/// How often new ports are chosen when another program was faster.
const PORT_ATTEMPTS_MAX: usize = 3;
/// A cluster that does not stand after this long will not.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// How many nodes, 1 to 7 [default: 3, or as many as the data directory holds]
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Keep the cluster here, and start it again from here [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Node i listens on P+10(i-1) (service), +1 (cluster), +2 (admin) and +3 (HTTP API) [default: free ports]
    #[arg(long, value_name = "P")]
    base_port: Option<u16>,
    /// One line of JSON on standard output once the cluster is ready, and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: DevArgs) -> Result<(), Failure> {
    if let Some(nodes) = arguments.nodes
        && !(1..=NODES_MAX).contains(&nodes)
    {
        return Err(Failure::configuration(format!("--nodes = {nodes} is refused: accepted: 1 to {NODES_MAX}")));
    }
    runtime::block_on(Some(1), supervise(arguments))
}

async fn supervise(arguments: DevArgs) -> Result<(), Failure> {
    let mut signals = signal::StopSignals::install()?;
    let stop = async move { signals.next().await };
    tokio::pin!(stop);
    let directory = plan::Directory::open(arguments.data_dir.as_deref())?;
    let mut attempt = 1;
    loop {
        let plan = Plan::load_or_make(directory.path(), arguments.nodes, arguments.base_port)?;
        plan.write_certificates()?;
        plan.save()?;
        let mut supervisor = Supervisor::start(&plan)?;
        let ready = tokio::select! {
            ready = supervisor.ready(READY_TIMEOUT) => ready,
            _ = &mut stop => {
                supervisor.stop().await;
                return Ok(());
            }
        };
        let nodes = match ready {
            Ok(nodes) => nodes,
            Err(failure) => {
                supervisor.stop().await;
                // Between choosing a port and using it another program may have taken it.
                if failure.port_taken && plan.is_new() && arguments.base_port.is_none() && attempt < PORT_ATTEMPTS_MAX {
                    attempt += 1;
                    plan.discard()?;
                    continue;
                }
                return Err(Failure::other(failure.line));
            }
        };
        if arguments.json {
            report::json(&nodes)?;
        } else {
            report::text(&nodes, &plan, directory.is_temporary());
        }
        // From here on a node that dies is news, not the end.
        tokio::select! {
            () = supervisor.watch() => {}
            _ = &mut stop => {}
        }
        supervisor.stop().await;
        return Ok(());
    }
}
