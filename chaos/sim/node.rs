//! One node: a process on a host, with a runtime and a clock of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use vedfolnir_cluster::{Cluster, ClusterConfig, ReplicatedLimits};
use vedfolnir_sim_storage as disk;
use vedfolnir_sim_world::hosts::{self, Host};
use vedfolnir_sim_world::{clock, random, trace};

use crate::history::Recorder;
use crate::process::Process;
use crate::service::{Door, Service, dispatch, look_around, serve};
use crate::store;

/// What all nodes of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Nodes that form the cluster.
    pub(crate) founders: usize,
    pub(crate) window: Duration,
    pub(crate) history_age_max: Duration,
    pub(crate) history_bytes_max: u64,
    pub(crate) snapshot_every_entries: u64,
    pub(crate) snapshot_every_bytes: u64,
    pub(crate) node_down_after: Duration,
    pub(crate) replace_after: Duration,
}

/// One life of a node, as the outside reaches it.
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) cluster: Mutex<Option<Cluster>>,
    pub(crate) service: Mutex<Option<Arc<Service>>>,
    /// Why it stopped by itself.
    pub(crate) failure: Mutex<Option<String>>,
    /// It was told to stop and has.
    pub(crate) stopped: AtomicBool,
    pub(crate) door: Door,
}

/// See the module.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) life: Arc<Life>,
    pub(crate) restart_at_us: Option<u64>,
    process: Option<Process>,
    setup: Arc<Setup>,
    recorder: Recorder,
    /// Its clock against the world's, per mille.
    pub(crate) rate: u64,
}

/// Where a host is reached.
pub(crate) fn addr_of(host: Host) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, u8::try_from(host + 1).unwrap_or(u8::MAX)], 5001))
}

impl Node {
    pub(crate) fn new(host: Host, rate: u64, setup: Arc<Setup>, recorder: Recorder) -> Self {
        // Clocks have nothing in common.
        hosts::pass(host, random::below(1_000_000_000));
        Self { host, life: Arc::default(), restart_at_us: None, process: None, setup, recorder, rate }
    }

    /// The data directory.
    pub(crate) fn disk(&self) -> PathBuf {
        PathBuf::from(format!("/host-{}", self.host))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    fn config(&self) -> ClusterConfig {
        let setup = &self.setup;
        ClusterConfig {
            bootstrap: (0..setup.founders).map(|host| addr_of(host).to_string()).collect(),
            bootstrap_expect: (self.host < setup.founders).then_some(setup.founders),
            limits: ReplicatedLimits {
                recovery_window: setup.window,
                history_age_max: setup.history_age_max,
                history_bytes_max: setup.history_bytes_max,
            },
            node_down_after: setup.node_down_after,
            replace_after: setup.replace_after,
            snapshot_every_entries: setup.snapshot_every_entries,
            snapshot_every_bytes: setup.snapshot_every_bytes,
            ..ClusterConfig::on_loopback(self.disk(), addr_of(self.host))
        }
    }

    /// The process starts.
    pub(crate) fn start(&mut self) {
        let number = hosts::start(self.host);
        trace::tell(&format!("host {} starts its life {number}", self.host));
        self.restart_at_us = None;
        self.life = Arc::default();
        // The process' timers count from the clock of its host.
        hosts::enter(Some(self.host));
        match Process::new() {
            Ok(process) => {
                process.spawn(main(self.host, self.config(), Arc::clone(&self.life), self.recorder.clone()));
                self.process = Some(process);
            }
            Err(error) => self.recorder.violation("harness", format!("no runtime: {error}")),
        }
        hosts::enter(None);
    }

    /// The process is gone at once; with the power, nobody closes its connections.
    pub(crate) fn crash(&mut self, power: bool, restart_at_us: u64) {
        let Some(process) = self.process.take() else { return };
        trace::tell(&format!("host {} {}", self.host, if power { "loses its power" } else { "is killed" }));
        if power {
            hosts::darken(self.host)
        } else {
            hosts::kill(self.host)
        }
        hosts::enter(Some(self.host));
        let life = std::mem::take(&mut self.life);
        drop((life.cluster.lock().take(), life.service.lock().take()));
        drop(process);
        drop(life);
        hosts::enter(None);
        disk::crash(&self.disk());
        self.restart_at_us = Some(restart_at_us);
    }

    /// The disk is lost with the process; what starts in its place knows nothing.
    pub(crate) fn lose_disk(&mut self, restart_at_us: u64) {
        self.crash(true, restart_at_us);
        trace::tell(&format!("host {} loses its disk", self.host));
        disk::wipe(&self.disk());
    }

    /// An operator asks for something.
    pub(crate) fn ask<F: Future<Output = ()> + Send + 'static>(&self, ask: impl FnOnce(Cluster) -> F) {
        if let (Some(process), Some(cluster)) = (&self.process, self.life.cluster.lock().clone()) {
            process.spawn(ask(cluster));
        }
    }

    /// The process is told to stop.
    pub(crate) fn stop(&self) {
        let (Some(process), Some(cluster)) = (&self.process, self.life.cluster.lock().clone()) else { return };
        trace::tell(&format!("host {} is told to stop", self.host));
        let life = Arc::clone(&self.life);
        process.spawn(async move {
            cluster.transfer_leadership().await;
            if let Some(service) = life.service.lock().clone() {
                service.let_go();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            cluster.shutdown().await;
            life.stopped.store(true, Ordering::SeqCst);
        });
    }

    /// Its clock goes on by so much of the world's time, and its process does what there is to do then, unless it gets no
    /// processor: frozen, or held up by others.
    pub(crate) fn step(&self, world_us: u64, held_up: bool) {
        hosts::pass(self.host, world_us * self.rate / 1_000);
        let Some(process) = &self.process else { return };
        if held_up || hosts::is_frozen(self.host) {
            return;
        }
        hosts::enter(Some(self.host));
        process.step();
        hosts::enter(None);
    }
}

/// The process.
async fn main(host: Host, config: ClusterConfig, life: Arc<Life>, recorder: Recorder) {
    let (cluster, notices) = match Cluster::start(config).await {
        Ok(started) => started,
        Err(error) => {
            *life.failure.lock() = Some(error.to_string());
            return;
        }
    };
    trace::tell(&format!("host {host} is node {:016x} ({:?})", cluster.identity().node_id, cluster.identity().start));
    let service = Service::new(host, cluster.clone(), recorder.clone());
    *life.cluster.lock() = Some(cluster.clone());
    *life.service.lock() = Some(Arc::clone(&service));
    tokio::spawn(dispatch(Arc::clone(&service), notices));
    tokio::spawn(accept(Arc::clone(&service), Arc::clone(&life)));
    tokio::spawn(look_around(Arc::clone(&service)));
    tokio::spawn(store::run(cluster.clone(), recorder));
    tokio::spawn(let_go_when_isolated(service));
    let reason = cluster.failed().await;
    *life.failure.lock() = Some(reason);
}

async fn accept(service: Arc<Service>, life: Arc<Life>) {
    loop {
        let end = life.door.next().await;
        tokio::spawn(serve(Arc::clone(&service), end));
    }
}

async fn let_go_when_isolated(service: Arc<Service>) {
    let mut readiness = service.cluster.readiness();
    loop {
        if readiness.wait_for(|readiness| readiness.isolated).await.is_err() {
            return;
        }
        trace::tell(&format!("host {} is isolated and lets its clients go", service.host));
        service.let_go();
        if readiness.wait_for(|readiness| !readiness.isolated).await.is_err() {
            return;
        }
    }
}

/// The world's time in words.
pub(crate) fn seconds() -> f64 {
    clock::now_us() as f64 / 1e6
}
