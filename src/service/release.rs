//! Letting sessions go: a transport that is gone becomes a committed `Disconnect`, a client's `41` a `Close`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use vedfolnir_cluster::state::{Command, Epoch, PidHash, Response};
use vedfolnir_cluster::{ProposeError, Ticket};

use super::Inner;
use super::journal::Departed;
use super::session::SessionSocket;
use crate::observability::unix_ms;

/// Between two attempts while the proposer's queue is full.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The epoch of a session that was never resumed.
pub(crate) const EPOCH_OF_NEW: Epoch = 1;

/// Disconnects and closes that are not committed yet; at most one for each session of this node.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    pending: AtomicUsize,
    settled: Notify,
}

impl Releases {
    /// Resolves when none is pending.
    pub(crate) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if self.pending.load(Ordering::Acquire) == 0 {
                return;
            }
            settled.await;
        }
    }
}

/// Counts one release for as long as it lives.
struct Pending(Arc<Inner>);

impl Pending {
    fn new(service: &Arc<Inner>) -> Self {
        service.releases.pending.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(service))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.0.releases.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.releases.settled.notify_waiters();
        }
    }
}

/// The socket's transport is gone: its session waits for the client. A namespace without recovery ends it.
pub(crate) fn disconnect(socket: &SessionSocket) {
    let waits = socket.recovers();
    #[cfg(feature = "planted-bugs")]
    let waits = super::planted::waits(waits);
    if waits {
        let (handed, cause) = (socket.outbox.handed().up_to, socket.link.close_cause());
        let departed = Departed { at_unix_ms: unix_ms(SystemTime::now()), epoch: socket.epoch, handed, cause };
        socket.service.journal.departed(socket.pid, departed);
        release(socket, Command::Disconnect { pid: socket.pid, epoch: socket.epoch });
    } else {
        end(socket);
    }
}

/// Lets go of an opening of which no client has heard.
pub(crate) fn unheard(service: &Arc<Inner>, pid: PidHash, epoch: Epoch) {
    propose(service, end_of_unheard(pid, epoch));
}

/// The same once it has its socket.
pub(crate) fn unheard_socket(socket: &SessionSocket) {
    release(socket, end_of_unheard(socket.pid, socket.epoch));
}

/// Nobody knows a new session's secret then: it has nobody to wait for, and must not count among its user's. A resumed one
/// waits for its client as it did before.
fn end_of_unheard(pid: PidHash, epoch: Epoch) -> Command {
    if epoch == EPOCH_OF_NEW { Command::Close { pid, epoch } } else { Command::Disconnect { pid, epoch } }
}

/// The client has left for good.
pub(crate) fn end(socket: &SessionSocket) {
    release(socket, Command::Close { pid: socket.pid, epoch: socket.epoch });
}

/// The application ends the session: its client is told so once that is committed.
pub(crate) fn end_from_here(socket: &SessionSocket) {
    propose(&socket.service, Command::Close { pid: socket.pid, epoch: socket.epoch });
}

/// The session was ended by the server: there is nothing to let go of.
pub(crate) const fn nothing_left(_: &SessionSocket) {}

fn release(socket: &SessionSocket, command: Command) {
    socket.close();
    let service = &socket.service;
    service.hub.write().detach(socket.pid, socket.epoch);
    propose(service, command);
}

/// Proposes until it is taken; a fenced or stopping node needs no release.
fn propose(service: &Arc<Inner>, command: Command) {
    let pending = Pending::new(service);
    let first = service.cluster.propose(command.clone());
    // The runtime is gone only when the process ends; NodeDown releases the sessions then.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let mut attempt = first;
        loop {
            match attempt {
                Ok(ticket) => {
                    // Whatever the answer: the session is released, or was by someone else.
                    let _ = ticket.await;
                    return;
                }
                Err(ProposeError::Overloaded) => tokio::time::sleep(RETRY_PAUSE).await,
                Err(_) => return,
            }
            attempt = pending.0.cluster.propose(command.clone());
        }
    });
}

/// A session that is being opened. If its connection dies meanwhile, it is released as soon as it is open.
pub(crate) struct Opening {
    service: Arc<Inner>,
    pid: PidHash,
    ticket: Option<Ticket>,
}

impl Opening {
    pub(crate) fn propose(service: &Arc<Inner>, pid: PidHash, command: Command) -> Result<Self, ProposeError> {
        let ticket = Some(service.cluster.propose(command)?);
        Ok(Self { service: Arc::clone(service), pid, ticket })
    }

    /// The response; cancelling the wait releases the session.
    pub(crate) async fn response(mut self) -> Result<Response, ProposeError> {
        let Some(ticket) = self.ticket.as_mut() else { return Err(ProposeError::ShuttingDown) };
        let response = ticket.await;
        self.ticket = None;
        if response == Err(ProposeError::ResponseLost) {
            release_if_owned(&self.service, self.pid);
        }
        response
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let (service, pid) = (Arc::clone(&self.service), self.pid);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            match ticket.await {
                Ok(Response::Registered { epoch, .. } | Response::Resumed { epoch, .. }) => {
                    unheard(&service, pid, epoch);
                }
                Err(ProposeError::ResponseLost) => release_if_owned(&service, pid),
                Ok(_) | Err(_) => {}
            }
        });
    }
}

/// The session was opened for nobody: the state says under which epoch.
fn release_if_owned(service: &Arc<Inner>, pid: PidHash) {
    let own = service.cluster.incarnation();
    let epoch = service.cluster.read(|state| {
        state.session(&pid).filter(|session| session.owner == own && session.connected).map(|session| session.epoch)
    });
    if let Some(epoch) = epoch {
        unheard(service, pid, epoch);
    }
}
