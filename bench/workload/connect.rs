//! Many clients that connect and then do nothing: how fast they come in, and what each costs in memory.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connect_each;
use crate::args::ConnectArgs;
use crate::error::BenchError;
use crate::report::Report;
use crate::scrape::Page;
use crate::server::{Target, Usage};

/// How long a page takes, from the connection to its last byte.
async fn scrape(target: &Target, pages: usize, report: &mut Report) -> Result<(), BenchError> {
    let Some(first) = target.endpoints.first() else { return Ok(()) };
    let (mut took, mut bytes) = (Vec::with_capacity(pages), 0);
    for _ in 0..pages {
        let begin = Instant::now();
        bytes = Page::of(&first.url).await?.bytes();
        took.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    report.figure("metrics page, median", took[pages / 2], "ms");
    report.figure("metrics page, longest", took[pages - 1], "ms");
    report.figure("metrics page", bytes as f64 / 1024.0, "KiB");
    Ok(())
}

pub(super) async fn run(arguments: ConnectArgs) -> Result<Report, BenchError> {
    let target = Target::open(&arguments.target).await?;
    let mut report = Report::new(
        &arguments.target.label,
        format!("connect: {} clients over {} nodes", arguments.clients, target.endpoints.len()),
    );
    // One client first: what the server sets up once is not a client's memory.
    connect_each(&target.endpoints, target.endpoints.len(), 1, |_, client| async { Ok(client) }).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (servers_before, own_before) = (target.usage()?, Usage::own()?);

    let closed = Rc::new(Cell::new(0_u64));
    let begin = Instant::now();
    connect_each(&target.endpoints, arguments.clients, arguments.concurrency, |_, mut client| {
        let closed = closed.clone();
        async move {
            // From now on it only answers pings.
            tokio::task::spawn_local(async move {
                while client.receive(|_, _| Ok(())).await.is_ok() {}
                closed.set(closed.get() + 1)
            });
            Ok(())
        }
    })
    .await?;
    let seconds = begin.elapsed().as_secs_f64();
    let (servers_connected, own_connected) = (target.usage()?, Usage::own()?);
    tokio::time::sleep(Duration::from_secs(arguments.hold)).await;

    if arguments.scrapes > 0 {
        scrape(&target, arguments.scrapes, &mut report).await?;
    }
    report.figure("connects", arguments.clients as f64 / seconds, "/s");
    report.usage(servers_before.clone().zip(servers_connected), (own_before, own_connected));
    if let Some((before, after)) = servers_before.zip(target.usage()?) {
        let grown = after.resident.saturating_sub(before.resident) as f64;
        report.figure("resident before", before.resident as f64 / f64::from(1 << 20), "MiB, all nodes");
        report.figure("resident after", after.resident as f64 / f64::from(1 << 20), "MiB, all nodes");
        report.figure("resident per idle client", grown / arguments.clients as f64 / 1024.0, "KiB, all nodes");
        for (index, bytes) in after.each_since(&before).enumerate() {
            report.figure(&format!("… of it on node {}", index + 1), bytes / arguments.clients as f64 / 1024.0, "KiB");
        }
    }
    if closed.get() > 0 {
        report.broken.push(format!("{} clients were disconnected while idle", closed.get()));
    }
    target.close().await?;
    Ok(report)
}
