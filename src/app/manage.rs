//! Sessions that are changed from outside, on whichever node their clients are: they enter rooms, leave them, or end.
//!
//! ```no_run
//! # use vedfolnir::app::{EmitError, ServerHandle};
//! # async fn example(server: ServerHandle) -> Result<(), EmitError> {
//! let Some(root) = server.of("/") else { return Ok(()) };
//! // Whoever watches the order also hears of its refund, from here on:
//! let joined = root.clone().to("order:42").sockets_join(["refund:42"]).await?;
//! println!("{} sessions", joined.sessions);
//! // All of a user's clients are signed out, those too that are just reconnecting:
//! root.to_user("ada").disconnect_sockets().await?;
//! # Ok(()) }
//! ```

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use vedfolnir_cluster::state::{Audience, Change, Command, Manage, Response, Whom, limits};

use super::emit::{EmitError, Emitter, may_name};
use crate::service;

/// What became of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// How many sessions are now as was wanted, those that were so before included.
    pub sessions: u64,
    /// How many are in as many rooms as a session can be, and were left as they are.
    pub refused: u64,
}

/// A change of sessions, made when it is awaited.
///
/// It is committed like an emit, so what is emitted after it finds the sessions changed. Whom it concerns is found where it
/// stands in the order, whatever this node has seen so far. Sessions inside their recovery window are concerned too: a client
/// that comes back finds itself in the room, with what was said there since, or finds its session ended.
///
/// Many sessions are changed in steps, each committed by itself, of at most 1000 sessions and 8192 sessions times rooms. If
/// one fails, those before it are made; it is safe to ask for all of it again.
#[must_use = "nothing is changed until it is awaited"]
pub struct Managing {
    service: Arc<service::Inner>,
    planned: Result<Planned, EmitError>,
}

struct Planned {
    namespace: Arc<str>,
    whom: Whom,
    change: Change,
}

/// Changes those whom an emit would go to, on whichever node they are, and whoever asks.
impl Emitter {
    /// They enter these rooms: 1 to 64.
    ///
    /// # Errors
    /// [`EmitError::BadRequest`] for rooms that cannot be, or too many, [`EmitError::OldFormat`] while not all nodes are
    /// upgraded, and those of any commit.
    pub fn sockets_join<R: Into<Arc<str>>>(self, rooms: impl IntoIterator<Item = R>) -> Managing {
        self.manage(Change::Join(rooms.into_iter().map(Into::into).collect()))
    }

    /// They leave these rooms, 1 to 64, if they are in them. No client leaves the room that it is by its own id.
    ///
    /// # Errors
    /// As for [`Emitter::sockets_join`].
    pub fn sockets_leave<R: Into<Arc<str>>>(self, rooms: impl IntoIterator<Item = R>) -> Managing {
        self.manage(Change::Leave(rooms.into_iter().map(Into::into).collect()))
    }

    /// Their sessions end: their clients are told `io server disconnect`, and do not come back by themselves. One that is just
    /// not connected cannot be told: when it comes back, it begins anew.
    ///
    /// # Errors
    /// As for [`Emitter::sockets_join`].
    pub fn disconnect_sockets(self) -> Managing {
        self.manage(Change::Disconnect)
    }

    fn manage(self, change: Change) -> Managing {
        let (service, audience) = self.into_audience();
        let planned = audience.and_then(|Audience { namespace, rooms, except }| {
            for (what, names) in [("rooms", &rooms), ("exceptions", &except)] {
                if names.len() > limits::PRESENCE_ROOMS_MAX {
                    let max = limits::PRESENCE_ROOMS_MAX;
                    return Err(EmitError::BadRequest(format!("{} {what}; accepted: at most {max}", names.len())));
                }
            }
            let whom = Whom::Members { rooms, except, after: None };
            Ok(Planned { namespace, whom, change })
        });
        Managing::of(service, planned)
    }
}

/// A client on whichever node it is, known by its `socket.id`.
#[derive(Clone)]
pub struct RemoteSocket {
    service: Arc<service::Inner>,
    namespace: Arc<str>,
    sid: Arc<str>,
}

/// What is done concerns this client alone, and nobody else who may be in the room of its id. [`Managed::sessions`] is 0 if
/// there is no such client (any more).
impl RemoteSocket {
    pub(crate) fn new(service: &Arc<service::Inner>, namespace: Arc<str>, sid: Arc<str>) -> Self {
        Self { service: Arc::clone(service), namespace, sid }
    }

    /// See [`Emitter::sockets_join`].
    pub fn join<R: Into<Arc<str>>>(&self, rooms: impl IntoIterator<Item = R>) -> Managing {
        self.manage(Change::Join(rooms.into_iter().map(Into::into).collect()))
    }

    /// See [`Emitter::sockets_leave`].
    pub fn leave<R: Into<Arc<str>>>(&self, rooms: impl IntoIterator<Item = R>) -> Managing {
        self.manage(Change::Leave(rooms.into_iter().map(Into::into).collect()))
    }

    /// See [`Emitter::disconnect_sockets`].
    pub fn disconnect(&self) -> Managing {
        self.manage(Change::Disconnect)
    }

    fn manage(&self, change: Change) -> Managing {
        let whom = Whom::Session(Arc::clone(&self.sid));
        let planned = Planned { namespace: Arc::clone(&self.namespace), whom, change };
        Managing::of(Arc::clone(&self.service), Ok(planned))
    }
}

impl Managing {
    fn of(service: Arc<service::Inner>, planned: Result<Planned, EmitError>) -> Self {
        let planned = planned.and_then(|planned| judge(&planned.change).map(|()| planned));
        Self { service, planned }
    }

    async fn make(self) -> Result<Managed, EmitError> {
        let Self { service, planned } = self;
        let Planned { namespace, mut whom, change } = planned?;
        let timeout = service.config.publish_timeout;
        let mut made = Managed::default();
        loop {
            let manage = Manage { namespace: Arc::clone(&namespace), whom: whom.clone(), change: change.clone() };
            let ticket = service.cluster.propose(Command::Manage(manage))?;
            let response = tokio::time::timeout(timeout, ticket).await.map_err(|_| EmitError::NoQuorum(timeout))??;
            let next = match response {
                Response::Managed { sessions, refused, next } => {
                    made.sessions += sessions;
                    made.refused += refused;
                    next
                }
                Response::Refused(refusal) => return Err(refusal.into()),
                // No other response belongs to this command.
                _ => return Err(EmitError::StaleSession),
            };
            match &mut whom {
                Whom::Members { after, .. } if next.is_some() => *after = next,
                Whom::Members { .. } | Whom::Session(_) => break,
            }
        }
        // In force on this node: volatile events look at the hub, which follows the replica.
        let applied = service.cluster.read(|state| state.applied().index);
        service.progress.reached(applied).await;
        Ok(made)
    }
}

/// What the state would refuse anyway, with words for it.
fn judge(change: &Change) -> Result<(), EmitError> {
    let (Change::Join(rooms) | Change::Leave(rooms)) = change else { return Ok(()) };
    if rooms.is_empty() || rooms.len() > limits::MANAGE_ROOMS_MAX {
        let reason = format!("{} rooms; accepted: 1 to {} at once", rooms.len(), limits::MANAGE_ROOMS_MAX);
        return Err(EmitError::BadRequest(reason));
    }
    for room in rooms {
        may_name(room)?;
        if room.is_empty() || room.len() > limits::NAME_BYTES_MAX {
            let reason = format!("a room of {} bytes; accepted: 1 to {} bytes", room.len(), limits::NAME_BYTES_MAX);
            return Err(EmitError::BadRequest(reason));
        }
    }
    Ok(())
}

impl IntoFuture for Managing {
    type Output = Result<Managed, EmitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

impl fmt::Debug for Managing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = self.planned.as_ref().map(|planned| &planned.change);
        f.debug_struct("Managing").field("change", &change).finish_non_exhaustive()
    }
}

impl fmt::Debug for RemoteSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSocket")
            .field("namespace", &self.namespace)
            .field("sid", &self.sid)
            .finish_non_exhaustive()
    }
}
