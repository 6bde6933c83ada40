//! `vedfolnir start`: one node until it is told to stop.

use std::fmt::Write as _;

use tokio::signal::unix::Signal;
use vedfolnir::config::{self, Loaded, Severity};
use vedfolnir::observability::{self, log};
use vedfolnir::server::{Reloader, Server, StartReport};

use super::notify::Supervisor;
use super::settings::SettingsArgs;
use super::signal::StopSignals;
use super::{Failure, out, runtime, signal};

pub(crate) fn run(settings: &SettingsArgs) -> Result<(), Failure> {
    let mut loaded = config::load(&settings.inputs())?;
    let server_id = loaded.config.node.server_id.get_or_insert_with(observability::server_id).clone();
    log::init(&loaded.config.log, &server_id).map_err(|error| Failure::configuration(format!("the log: {error}")))?;
    tracing::info!(event_type = "starting", version = env!("CARGO_PKG_VERSION"), "vedfolnir starts");
    for doubt in &loaded.doubts {
        match doubt.severity {
            Severity::Note => tracing::info!(event_type = "configuration", "configuration: {doubt}"),
            _ => tracing::warn!(event_type = "configuration", "configuration: {doubt}"),
        }
    }
    let ended = runtime::block_on(loaded.config.node.worker_threads, serve(loaded, settings.clone()));
    log::stop();
    ended
}

/// Signals that are still to come until a stop that was asked for is made at once.
struct Impatience {
    signals: StopSignals,
    further: u32,
}

impl Impatience {
    /// The last of them.
    async fn over(&mut self) -> &'static str {
        for _ in 1..self.further {
            self.signals.next().await;
        }
        self.signals.next().await
    }
}

async fn serve(loaded: Loaded, settings: SettingsArgs) -> Result<(), Failure> {
    let exit_with_stdin = settings.exit_with_stdin;
    // Before anything else: from here on a SIGHUP is a wish, not the end.
    let hang_ups = signal::hang_ups()?;
    let mut signals = signal::StopSignals::install()?;
    let stdin_closed = signal::stdin_closed(exit_with_stdin);
    tokio::pin!(stdin_closed);
    let mut asked = Box::pin(async {
        // A supervisor that closes the input sends a signal as well, before or after it, and means one thing by both.
        let (reason, further) = tokio::select! {
            name = signals.next() => (name, 1),
            () = &mut stdin_closed => ("the end of standard input", 2),
        };
        (reason, Impatience { signals, further })
    });
    let server = tokio::select! {
        started = Server::builder(loaded.config.clone()).start() => started?,
        (reason, _) = &mut asked => {
            tracing::info!(reason, "stopped before the node was a member of its cluster");
            return Ok(());
        }
    };
    log::set_node(&server.report().node_id);
    let block = start_block(server.report());
    let ready = server.ready();
    let supervisor = &Supervisor::of_this_process();
    // Within this time the process is gone, whatever hangs.
    let stop = loaded.config.node.stop;
    let limit = stop.delay + stop.timeout;
    let reloads = reload_at(hang_ups, server.reloader(), loaded, settings, supervisor);
    let (stopping, stopped) = tokio::sync::oneshot::channel::<Impatience>();
    let run = server.run_until(async move {
        let (reason, impatience) = asked.await;
        tracing::info!(event_type = "stopping", reason, "shutting down");
        supervisor.stopping();
        let _ = stopping.send(impatience);
    });
    let overdue = async move {
        let Ok(mut impatience) = stopped.await else { return std::future::pending().await };
        tokio::select! {
            () = tokio::time::sleep(limit) => tracing::warn!(?limit, "the shutdown hangs: ending without it"),
            name = impatience.over() => tracing::warn!(reason = name, "asked a second time: ending at once"),
        }
    };
    let announced = async move {
        ready.await;
        tracing::info!(event_type = "ready", "the node serves");
        supervisor.ready();
        out::stdout(&block);
        std::future::pending::<()>().await
    };
    tokio::select! {
        () = announced => Ok(()),
        () = reloads => Ok(()),
        () = supervisor.keep_alive() => Ok(()),
        ended = run => ended.map_err(Failure::from),
        () = overdue => Ok(()),
    }
}

/// At each SIGHUP reads everything again and puts in force what may change; never ends.
async fn reload_at(
    mut hang_ups: Signal,
    reloader: Reloader,
    mut loaded: Loaded,
    settings: SettingsArgs,
    supervisor: &Supervisor,
) {
    loop {
        if hang_ups.recv().await.is_none() {
            return std::future::pending().await;
        }
        supervisor.reloading();
        let (reading, certificates) = (settings.clone(), reloader.clone());
        // Both read files.
        let read = tokio::task::spawn_blocking(move || {
            certificates.reload_certificates();
            config::load(&reading.inputs())
        });
        let read = read.await;
        // After the files were looked at, so that both do not meet.
        log::reopen_files();
        match read {
            Ok(Ok(new)) => {
                reloader.apply(&new.config);
                log::change(&new.config.log);
                for name in loaded.needs_restart(&new) {
                    tracing::warn!(setting = name, "changed, and needs a restart; the old value stays in force");
                }
                tracing::info!(
                    event_type = "configuration_reloaded",
                    "the configuration was read again and is in force"
                );
                loaded = loaded.with_reloaded(new);
            }
            Ok(Err(refused)) => {
                for problem in refused.problems {
                    tracing::error!(event_type = "configuration_refused", "configuration: {problem}");
                }
                tracing::error!("the new configuration is refused; the old one stays in force");
            }
            Err(error) => tracing::error!(%error, "the configuration could not be read again"),
        }
        supervisor.reloaded();
    }
}

fn start_block(report: &StartReport) -> String {
    let mut block = format!("\nvedfolnir {} is ready: {}\n\n", env!("CARGO_PKG_VERSION"), report.start);
    let rows = [
        ("Socket.IO", report.url.clone()),
        ("over TLS", report.tls_url.clone().unwrap_or_else(|| "off".to_owned())),
        ("health", report.health_url.clone().unwrap_or_else(|| "off".to_owned())),
        ("metrics", report.metrics_url.clone().unwrap_or_else(|| "off".to_owned())),
        ("admin", report.admin_url.clone()),
        ("HTTP API", report.api_url.as_ref().map_or_else(|| "off".to_owned(), |url| format!("{url}/api/v1"))),
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
