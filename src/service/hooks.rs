//! What an application does when a client has come into a namespace, and when it is gone from it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;
use vedfolnir_protocol::CloseReason;

use super::driver::{Done, Session};
use super::session::SessionSocket;
use crate::app::Socket;

impl Session {
    /// The client is in the namespace, and the answer that says so is the next that it is written.
    pub(super) fn greet(&mut self, socket: &Arc<SessionSocket>) {
        let Some(mut handler) = socket.namespace.connected(Socket::new(Arc::clone(socket))) else { return };
        // The first poll, here: what it proposes before it waits stands before all that the client's events propose.
        if (&mut handler).now_or_never().is_none() {
            self.spawn_handler(
                0,
                Box::pin(async move {
                    handler.await;
                    Done::Handler(0)
                }),
            );
        }
    }
}

/// The client is gone; `release` lets its session go. What the handler proposes before it first waits stands before that in
/// the order: the session may still do it then.
pub(super) fn farewell(socket: &Arc<SessionSocket>, reason: CloseReason, release: fn(&SessionSocket)) {
    // A connection is dropped by a handler that panics, too: a second panic then would end the process.
    let begun = catch_unwind(AssertUnwindSafe(|| {
        let mut handler = socket.namespace.disconnected(Socket::new(Arc::clone(socket)), reason)?;
        (&mut handler).now_or_never().is_none().then_some(handler)
    }));
    release(socket);
    let rest = begun.unwrap_or_else(|_| {
        tracing::error!(namespace = socket.namespace.name(), "a handler of disconnects panicked");
        None
    });
    // There is no runtime only at the end of the process.
    if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
        runtime.spawn(rest);
    }
}
