//! One node: a process on a host, with a runtime and a clock of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use vedfolnir_cluster::state::{NodeInfo, planted};
use vedfolnir_cluster::{Cluster, ClusterConfig, ClusterTls, RaftTiming, ReplicatedLimits};
use vedfolnir_sim_storage as disk;
use vedfolnir_sim_world::hosts::{self, Host};
use vedfolnir_sim_world::{clock, trace};

use crate::history::Recorder;
use crate::service::{Door, Service, dispatch, serve};

/// What all nodes of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Nodes that form the cluster.
    pub(crate) founders: usize,
    pub(crate) window: Duration,
    pub(crate) history_bytes_max: u64,
    pub(crate) snapshot_every_entries: u64,
    pub(crate) node_down_after: Duration,
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
    runtime: Option<Runtime>,
    setup: Arc<Setup>,
    recorder: Recorder,
    /// Its clock against the world's, per mille.
    rate: u64,
    credit_us: u64,
    clock_ms: u64,
    was_frozen: bool,
}

/// Where a host is reached.
pub(crate) fn addr_of(host: Host) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, u8::try_from(host + 1).unwrap_or(u8::MAX)], 5001))
}

impl Node {
    pub(crate) fn new(host: Host, rate: u64, setup: Arc<Setup>, recorder: Recorder) -> Self {
        Self {
            host,
            life: Arc::default(),
            restart_at_us: None,
            runtime: None,
            setup,
            recorder,
            rate,
            credit_us: 0,
            clock_ms: 1_000 * host as u64,
            was_frozen: false,
        }
    }

    /// The data directory.
    pub(crate) fn disk(&self) -> PathBuf {
        PathBuf::from(format!("/host-{}", self.host))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.runtime.is_some()
    }

    fn config(&self) -> ClusterConfig {
        let setup = &self.setup;
        ClusterConfig {
            data_dir: self.disk(),
            bind: addr_of(self.host),
            advertise: None,
            bootstrap: (0..setup.founders).map(|host| addr_of(host).to_string()).collect(),
            bootstrap_expect: (self.host < setup.founders).then_some(setup.founders),
            tls: ClusterTls::InsecureLoopback,
            timing: RaftTiming::default(),
            limits: ReplicatedLimits {
                recovery_window: setup.window,
                history_age_max: setup.window * 3 / 2,
                history_bytes_max: setup.history_bytes_max,
            },
            node_info: NodeInfo::default(),
            voters_max: 5,
            isolation_after: Duration::from_secs(5),
            node_down_after: setup.node_down_after,
            snapshot_every_entries: setup.snapshot_every_entries,
        }
    }

    /// The process starts.
    pub(crate) fn start(&mut self) {
        let number = hosts::start(self.host);
        trace::tell(&format!("host {} starts its life {number}", self.host));
        self.restart_at_us = None;
        self.life = Arc::default();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return self.recorder.violation("harness", format!("no runtime: {error}")),
        };
        runtime.spawn(main(self.host, self.config(), Arc::clone(&self.life), self.recorder.clone()));
        self.runtime = Some(runtime);
    }

    /// The process is gone at once; with the power, nobody closes its connections.
    pub(crate) fn crash(&mut self, power: bool, restart_at_us: u64) {
        let Some(runtime) = self.runtime.take() else { return };
        trace::tell(&format!("host {} {}", self.host, if power { "loses its power" } else { "is killed" }));
        if power { hosts::darken(self.host) } else { hosts::kill(self.host) }
        hosts::enter(Some(self.host));
        let life = std::mem::take(&mut self.life);
        drop((life.cluster.lock().take(), life.service.lock().take()));
        drop(runtime);
        drop(life);
        hosts::enter(None);
        disk::crash(&self.disk());
        self.restart_at_us = Some(restart_at_us);
    }

    /// The process is told to stop.
    pub(crate) fn stop(&self) {
        let (Some(runtime), Some(cluster)) = (&self.runtime, self.life.cluster.lock().clone()) else { return };
        trace::tell(&format!("host {} is told to stop", self.host));
        let life = Arc::clone(&self.life);
        runtime.spawn(async move {
            cluster.transfer_leadership().await;
            if let Some(service) = life.service.lock().clone() {
                service.let_go();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            cluster.shutdown().await;
            life.stopped.store(true, Ordering::SeqCst);
        });
    }

    /// Lets it run for this long in the world's time, if it has a processor.
    pub(crate) fn step(&mut self, world_us: u64, held_up: bool) {
        self.credit_us += world_us * self.rate / 1_000;
        let Some(runtime) = &self.runtime else {
            self.credit_us = 0;
            return;
        };
        let frozen = hosts::is_frozen(self.host);
        if frozen || held_up {
            self.was_frozen |= frozen;
            return;
        }
        let step_ms = self.credit_us / 1_000;
        if step_ms == 0 {
            return;
        }
        self.credit_us -= step_ms * 1_000;
        self.clock_ms += step_ms;
        planted::set_own_clock_ms(self.clock_ms);
        hosts::enter(Some(self.host));
        if std::mem::take(&mut self.was_frozen) && step_ms > 1 {
            // A process that is let go again finds its clock far ahead.
            runtime.block_on(async {
                tokio::time::advance(Duration::from_millis(step_ms - 1)).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
        } else {
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(step_ms)).await });
        }
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
    let service = Service::new(host, cluster.clone(), recorder);
    *life.cluster.lock() = Some(cluster.clone());
    *life.service.lock() = Some(Arc::clone(&service));
    tokio::spawn(dispatch(Arc::clone(&service), notices));
    tokio::spawn(accept(Arc::clone(&service), Arc::clone(&life)));
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
