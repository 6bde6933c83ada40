//! Durable commands per second: each is committed on a quorum of node processes, fsynced there, and answered.
//!
//! The same work on two engines: writing a small value under a key of a replicated key-value store. Vedfolnir's proposers
//! sit in the node processes, as its services do; etcd's are gRPC clients, as they are for everybody.

mod etcd;
mod grpc;
mod vedfolnir;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::args::{CommandsArgs, Engine, SpanArgs};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::Processes;

pub(super) async fn run(arguments: CommandsArgs) -> Result<Report, BenchError> {
    let dir = super::temporary(arguments.place.dir.as_deref())?;
    match arguments.engine {
        Engine::Vedfolnir => vedfolnir::run(&arguments, dir.path()).await,
        Engine::Etcd => etcd::run(&arguments, dir.path()).await,
    }
}

fn report(arguments: &CommandsArgs, engine: &str, latency: &Histogram) -> Report {
    let CommandsArgs { proposers, nodes, payload, span, .. } = arguments;
    let what = format!("{engine}: values of {payload} bytes, {proposers} proposers, {nodes} node processes");
    let mut report = Report::new(&arguments.place.label, what);
    report.figure("committed", latency.count() as f64 / span.seconds, "commands/s");
    report.latencies("latency", latency);
    report
}

/// Waits for the measured span to pass and says how busy the processes were in it, and how much memory they hold.
async fn watch(processes: &Processes, span: SpanArgs) -> Result<Busy, BenchError> {
    tokio::time::sleep(std::time::Duration::from_secs_f64(span.warm_up)).await;
    let (before, own_before) = (processes.usage()?, crate::server::Usage::own()?);
    tokio::time::sleep(std::time::Duration::from_secs_f64(span.seconds)).await;
    let (after, own_after) = (processes.usage()?, crate::server::Usage::own()?);
    Ok(Busy { servers: before.zip(after), own: (own_before, own_after) })
}

struct Busy {
    servers: Option<(crate::server::Usage, crate::server::Usage)>,
    own: (crate::server::Usage, crate::server::Usage),
}

impl Busy {
    fn tell(self, report: &mut Report) {
        report.usage(self.servers, self.own);
    }
}

/// How many of `all` the `index`-th of `nodes` takes; a single one goes to the leader.
fn share(all: usize, nodes: usize, index: usize, leader: usize) -> usize {
    match all {
        1 => usize::from(index == leader),
        _ => all / nodes + usize::from(index < all % nodes),
    }
}

/// Addresses that were free a moment ago, for both kinds of sockets.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, BenchError> {
    let mut held = Vec::new();
    while held.len() < count {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        if let Ok(socket) = UdpSocket::bind(listener.local_addr()?) {
            held.push((listener, socket));
        }
    }
    held.iter().map(|(listener, _)| Ok(listener.local_addr()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proposer_has_a_node() {
        for (all, shares) in [(1, [0, 1, 0]), (2, [1, 1, 0]), (16, [6, 5, 5]), (256, [86, 85, 85])] {
            assert_eq!([0, 1, 2].map(|index| share(all, 3, index, 1)), shares);
        }
    }
}
