//! `vedfolnir start`: one node until it is told to stop.

use std::fmt::Write as _;
use std::time::Duration;

use vedfolnir::config::{Config, Settings};
use vedfolnir::observability::log;
use vedfolnir::server::{Server, StartReport};

use super::{Failure, out, runtime, signal};

/// After a stop was asked for, the process is gone within this time whatever hangs.
const STOP_TIMEOUT: Duration = Duration::from_millis(4800);

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let config = settings.validate()?;
    log::init(&config.log);
    raise_file_limit();
    runtime::block_on(config.worker_threads, serve(config, settings.exit_with_stdin))
}

async fn serve(config: Config, exit_with_stdin: bool) -> Result<(), Failure> {
    let signalled = signal::stop_signal()?;
    let asked = async move {
        tokio::select! {
            name = signalled => name,
            () = signal::stdin_closed(exit_with_stdin) => "the end of standard input",
        }
    };
    tokio::pin!(asked);
    let server = tokio::select! {
        started = Server::start(config) => started?,
        reason = &mut asked => {
            tracing::info!(reason, "stopped before the node was a member of its cluster");
            return Ok(());
        }
    };
    let block = start_block(server.report());
    let ready = server.ready();
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = server.run_until(async move {
        let reason = asked.await;
        tracing::info!(reason, "shutting down");
        let _ = stopping.send(());
    });
    let overdue = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(STOP_TIMEOUT).await,
            Err(_) => std::future::pending().await,
        }
    };
    let announced = async move {
        ready.await;
        out::stdout(&block);
        std::future::pending::<()>().await
    };
    tokio::select! {
        () = announced => Ok(()),
        ended = run => ended.map_err(Failure::from),
        () = overdue => {
            tracing::warn!(?STOP_TIMEOUT, "the shutdown hangs: ending without it");
            Ok(())
        }
    }
}

/// As many open files as the system allows: one for each client.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

fn start_block(report: &StartReport) -> String {
    let mut block = format!("\nvedfolnir {} is ready: {}\n\n", env!("CARGO_PKG_VERSION"), report.start);
    let rows = [
        ("Socket.IO", report.url.clone()),
        ("health", format!("{}/websocket/health", report.url)),
        ("metrics", format!("{}/websocket/metrics", report.url)),
        ("admin", report.admin_url.clone()),
        ("cluster", format!("{} (QUIC, UDP)", report.cluster_addr)),
        ("data directory", report.data_dir.display().to_string()),
        ("cluster id", report.cluster_id.clone()),
        ("node id", report.node_id.clone()),
        ("server id", report.server_id.clone()),
        ("relay", if report.relay { "on (join, leave, rooms, publish, publish_volatile, echo)" } else { "off" }.into()),
    ];
    for (name, value) in rows {
        let _ = writeln!(block, "  {name:<15}{value}");
    }
    for warning in &report.warnings {
        let _ = write!(block, "\n  !! INSECURE: {warning}\n");
    }
    block.push('\n');
    block
}
