//! WebSockets that pass through this node to the owner of their session: they end with it, so a drain moves them, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use slab::Slab;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::state::NodeId;
use vedfolnir_protocol::EngineSid;

use super::{Inner, forward};

/// All of this node.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    open: Mutex<Slab<Arc<Tunnel>>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Tunnel {
    owner: NodeId,
    sid: EngineSid,
    leaving: AtomicBool,
    closed: CancellationToken,
}

/// A tunnel's place among them, as long as it is open.
pub(super) struct Place {
    service: Arc<Inner>,
    key: usize,
    pub(super) tunnel: Arc<Tunnel>,
}

impl Tunnels {
    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Tunnel>> {
        self.open.lock().iter().map(|(_, tunnel)| Arc::clone(tunnel)).collect()
    }
}

impl Tunnel {
    /// Opens one to the session's owner.
    pub(super) fn open(service: &Arc<Inner>, owner: NodeId, sid: EngineSid) -> Place {
        let tunnel = Arc::new(Self { owner, sid, leaving: AtomicBool::new(false), closed: CancellationToken::new() });
        let key = service.tunnels.open.lock().insert(Arc::clone(&tunnel));
        Place { service: Arc::clone(service), key, tunnel }
    }

    /// Whether the owner was asked to let the session go.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Asks the owner to let the session go: only it knows what is still to be answered.
    pub(crate) fn leave(&self, service: &Arc<Inner>) {
        if self.leaving.swap(true, Ordering::AcqRel) {
            return;
        }
        let (service, owner, sid) = (Arc::clone(service), self.owner, self.sid);
        // An owner that does not answer has no say: the tunnel is closed a little later.
        tokio::spawn(async move { forward::ask_to_leave(&service, owner, &sid).await });
    }

    /// Ends it. The client comes back, and its session is still there.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Resolves when it is to end.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.tunnels.open.lock().remove(self.key);
    }
}
