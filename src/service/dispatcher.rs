//! Effects become deliveries: takes the cluster's notices in order and never waits for a socket.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use vedfolnir_cluster::Notice;
use vedfolnir_cluster::state::{Effect, EffectAt, EndReason, Incarnation, LogPosition, Record, TraceContext};
use vedfolnir_protocol::{EncodedEvent, encode_offset};

use super::Inner;
use super::link::CloseCause;
use super::session::{SessionSocket, encode_record};
use super::stats::ServiceStats;

/// Takes notices until the cluster floor ends.
pub(crate) async fn run(service: Arc<Inner>, mut notices: mpsc::Receiver<Notice>) {
    let mut dispatcher = Dispatcher { own: service.cluster.incarnation(), service };
    while let Some(notice) = notices.recv().await {
        dispatcher.handle(notice);
        // A long run of notices must not keep this thread from the connections.
        tokio::task::consume_budget().await;
    }
    // Nothing more will be ordered: nobody may wait for it.
    dispatcher.service.progress.complete(u64::MAX);
}

struct Dispatcher {
    service: Arc<Inner>,
    /// This node's life at this place in the order.
    own: Incarnation,
}

impl Dispatcher {
    fn handle(&mut self, notice: Notice) {
        match notice {
            Notice::Applied { index, effects, handed } => {
                self.service.progress.begin(index);
                for effect in effects {
                    self.carry_out(effect, handed);
                }
                self.complete(index);
            }
            Notice::Resync { applied } => self.resync(applied),
            Notice::Volatile(record) => deliver_volatile(&self.service, &record),
            Notice::Reincarnated(own) => self.own = own,
        }
    }

    /// Whether an owner is this node's present life (or one that it has just begun). Older lives come up while a
    /// restarted node catches up; their sockets are long gone.
    fn is_own(&self, owner: Incarnation) -> bool {
        owner.node == self.own.node && owner.generation >= self.own.generation
    }

    fn carry_out(&self, EffectAt { position, effect }: EffectAt, handed: Option<Instant>) {
        let service = &self.service;
        match effect {
            Effect::Deliver { record, trace } => {
                service.trace_commit(trace, handed, position);
                self.deliver(position, &record, trace);
            }
            Effect::Opened(opened) if self.is_own(opened.owner) => {
                #[cfg(feature = "planted-bugs")]
                let opened = super::planted::opened(opened);
                service.hub.write().opened(opened.pid, opened.epoch, &opened.namespace, &opened.rooms);
            }
            #[cfg(feature = "planted-bugs")]
            Effect::Fenced { .. } if super::planted::is_fence_forgotten() => {}
            Effect::Fenced { pid, owner, epoch } if self.is_own(owner) => {
                let socket = service.hub.write().remove(pid, epoch);
                if socket.is_some() {
                    ServiceStats::one(&service.stats.fenced_total);
                }
                close(socket, CloseCause::Fenced);
            }
            Effect::Joined { pid, room } => service.hub.write().joined(pid, &room),
            Effect::Left { pid, room } => service.hub.write().left(pid, &room),
            Effect::Disconnected { pid, epoch } => {
                let socket = service.hub.write().remove(pid, epoch);
                close(socket, CloseCause::Fenced);
            }
            Effect::Ended { pid, epoch, reason } => {
                let socket = service.hub.write().remove(pid, epoch);
                match (socket, reason) {
                    // What its own connection ends is out of the hub before it is proposed: it was somebody else.
                    (Some(socket), EndReason::Closed) => socket.dismiss(),
                    (socket, _) => close(socket, CloseCause::Fenced),
                }
            }
            Effect::NodeDown { incarnation } if self.is_own(incarnation) => {
                if !service.is_draining() {
                    tracing::warn!(%incarnation, "the cluster declared this node down; its clients are let go");
                }
                let sockets = service.hub.write().clear();
                for link in service.registry.all() {
                    link.close(CloseCause::NodeDown);
                }
                for socket in sockets {
                    close(Some(socket), CloseCause::NodeDown);
                }
            }
            Effect::Opened(_) | Effect::Fenced { .. } | Effect::NodeUp { .. } | Effect::NodeDown { .. } => {}
            // Whoever follows events reads them from the replica, by a cursor of its own.
            Effect::Event(_) => {}
        }
    }

    fn deliver(&self, position: LogPosition, record: &Arc<Record>, trace: Option<TraceContext>) {
        let mut delivery = self.service.trace_delivery(trace, position);
        // Without an offset, and with it.
        let mut encoded: [Option<Arc<EncodedEvent>>; 2] = [None, None];
        let mut sockets = 0;
        self.service.hub.read().visit(record, |socket| {
            let recovers = socket.recovers();
            let event = encoded[usize::from(recovers)].get_or_insert_with(|| {
                let history = self.service.history_id();
                let offset = recovers.then(|| encode_offset(history, position.index, position.ordinal));
                Arc::new(encode_record(record, offset.as_deref()))
            });
            let watcher = delivery.as_mut().and_then(|delivery| delivery.to(socket));
            socket.push_live(position, event, watcher);
            sockets += 1;
        });
        if let Some(delivery) = delivery {
            delivery.end(sockets);
        }
        self.service.stats.distributions.fan_out.observe(sockets);
    }

    fn complete(&self, index: u64) {
        let gone = self.service.hub.write().complete(index);
        for socket in gone {
            close(Some(socket), CloseCause::Fenced);
        }
        self.service.progress.complete(index);
    }

    /// A snapshot replaced the state: what the skipped effects would have done is read from it.
    fn resync(&self, applied: LogPosition) {
        let service = &self.service;
        let completed = service.progress.completed();
        service.progress.begin(applied.index);
        let sockets = service.hub.read().sockets();
        let mut lost = Vec::new();
        {
            // Openings up to `applied` are all in the state: early sockets are judged by it too.
            let mut hub = service.hub.write();
            hub.clear();
            for socket in sockets {
                let rooms = service.owned_rooms(socket.pid, socket.epoch, self.own);
                match rooms {
                    Some(rooms) => {
                        let namespace = Arc::from(socket.namespace.name());
                        hub.opened(socket.pid, socket.epoch, &namespace, &rooms);
                        hub.attach(&socket, applied.index);
                        socket.outbox.catch_up(completed);
                        socket.link.wake();
                    }
                    None => lost.push(socket),
                }
            }
        }
        tracing::info!(%applied, lost = lost.len(), "rebuilt the local rooms after a snapshot");
        let closed = match lost.is_empty() {
            true => BTreeSet::new(),
            false => {
                service.cluster.read(|state| state.closed_among(lost.iter().map(|socket| name_of(socket)).collect()))
            }
        };
        for socket in lost {
            if closed.contains(&name_of(&socket)) {
                socket.dismiss();
            } else {
                close(Some(socket), CloseCause::Fenced);
            }
        }
        service.forget_history_id();
        self.complete(applied.index);
    }
}

/// Its namespace and sid.
fn name_of(socket: &SessionSocket) -> (Arc<str>, Arc<str>) {
    (Arc::clone(socket.namespace.shared_name()), Arc::clone(&socket.sid))
}

fn close(socket: Option<Arc<SessionSocket>>, cause: CloseCause) {
    if let Some(socket) = socket {
        socket.close();
        socket.link.close(cause);
    }
}

/// Hands a volatile event to the local members it addresses.
pub(crate) fn deliver_volatile(service: &Inner, record: &Record) {
    service.hub.read().visit(record, |socket| socket.push_volatile(record));
}
