//! SIGTERM, or kill -9, of the leader under clients of the other nodes that publish one message after the other: how long no
//! publish was acknowledged.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use vedfolnir_chaos::client::{Client, Endpoint, LinkError, Message, is_refused};

use super::{Clock, DRAIN_TIMEOUT, HANDSHAKES_MAX, connect_each, stamped};
use crate::args::{HandoverArgs, LeaderEnd};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::{Cluster, kill, terminate};

const ROOM: &str = "bench";
const PAYLOAD_BYTES: usize = 64;
/// Publishing goes on this long before the signal and after it.
const STEADY: Duration = Duration::from_secs(3);

struct Shared {
    clock: Rc<Clock>,
    stopping: Cell<bool>,
    refused: Cell<u64>,
}

/// Sums over all cycles.
#[derive(Default)]
struct Totals {
    /// Of each client the longest time from one ack to the next, in the time before the signal and in the time after it.
    before: Histogram,
    after: Histogram,
    acked: u64,
    broken: Vec<String>,
}

pub(super) async fn run(arguments: HandoverArgs) -> Result<Report, BenchError> {
    let how = match arguments.end {
        LeaderEnd::Term => "SIGTERM",
        LeaderEnd::Kill => "kill -9",
    };
    let mut report = Report::new(
        &arguments.label,
        format!(
            "{how} of the leader of {} nodes, {} times, {} clients of the others that publish one after the other",
            arguments.nodes, arguments.cycles, arguments.clients
        ),
    );
    let mut totals = Totals::default();
    for _ in 0..arguments.cycles {
        cycle(&arguments, &mut totals).await?;
    }
    report.latencies("no ack, before", &totals.before);
    report.latencies("no ack, around the end", &totals.after);
    report.figure("acknowledged", totals.acked as f64, "publishes");
    report.broken.append(&mut totals.broken);
    Ok(report)
}

async fn cycle(arguments: &HandoverArgs, totals: &mut Totals) -> Result<(), BenchError> {
    let cluster = Cluster::start(&arguments.bin, arguments.nodes, arguments.server_core).await?;
    let leader = cluster.leader(&arguments.bin).await?;
    let others = cluster.nodes.iter().filter(|node| node.pid != leader);
    let others = others.map(|node| Endpoint::parse(&node.url)).collect::<Result<Vec<_>, _>>()?;
    if others.is_empty() {
        return Err(BenchError::Other(format!("--nodes {}: nobody is left without the leader", arguments.nodes)));
    }
    let shared = Rc::new(Shared { clock: Clock::new(), stopping: Cell::new(false), refused: Cell::new(0) });
    let publishers = connect_each(&others, arguments.clients, HANDSHAKES_MAX, |_, client| {
        let shared = Rc::clone(&shared);
        async move { Ok(tokio::task::spawn_local(publish(client, shared))) }
    })
    .await?;

    sleep(STEADY).await;
    let signalled = match arguments.end {
        LeaderEnd::Term => terminate(leader).await?,
        LeaderEnd::Kill => kill(leader).await?,
    };
    let signalled = shared.clock.at(signalled);
    sleep(STEADY).await;
    shared.stopping.set(true);
    for publisher in publishers {
        match timeout(DRAIN_TIMEOUT, publisher).await {
            Ok(Ok(Ok(acks))) => add(totals, &acks, signalled),
            Ok(Ok(Err(error))) => totals.broken.push(format!("a client of another node was disconnected: {error}")),
            Ok(Err(error)) => return Err(BenchError::Other(error.to_string())),
            Err(_) => totals.broken.push("a publish got no answer".to_owned()),
        }
    }
    if shared.refused.get() > 0 {
        totals.broken.push(format!("{} publishes were refused", shared.refused.get()));
    }
    cluster.stop().await
}

/// The longest pause between two acks that ended before the signal, and the longest of those that ended after it.
fn add(totals: &mut Totals, acks: &[u64], signalled: u64) {
    let (mut before, mut after) = (0, 0);
    for (from, to) in acks.iter().zip(acks.iter().skip(1)) {
        let longest = if *to < signalled { &mut before } else { &mut after };
        *longest = (*longest).max(to - from);
    }
    totals.before.record(before);
    totals.after.record(after);
    totals.acked += acks.len().saturating_sub(1) as u64;
}

/// When the first publish was made and each was acknowledged.
async fn publish(mut client: Client, shared: Rc<Shared>) -> Result<Vec<u64>, LinkError> {
    let mut acks = vec![shared.clock.now()];
    while !shared.stopping.get() {
        let now = shared.clock.now();
        client.queue("publish", |out| {
            out.extend_from_slice(format!(",\"{ROOM}\",\"m\",").as_bytes());
            stamped(out, now, PAYLOAD_BYTES);
        });
        let mut answered = false;
        while !answered {
            client
                .receive(|message, _| {
                    if let Message::Ack(_, args) = message {
                        answered = true;
                        shared.refused.set(shared.refused.get() + u64::from(is_refused(args)));
                    }
                    Ok(())
                })
                .await?;
        }
        acks.push(shared.clock.now());
    }
    Ok(acks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_spans_the_signal_is_one_after_it() {
        let mut totals = Totals::default();
        add(&mut totals, &[0, 10, 15, 45, 50], 20);
        assert_eq!((totals.before.max(), totals.after.max(), totals.acked), (10, 30, 4));
    }
}
