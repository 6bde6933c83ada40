//! A client in a namespace, as handlers see it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vedfolnir_cluster::ProposeError;
use vedfolnir_cluster::state::{Command, Response};

use super::emit::{Emission, EmitError, Emitter, Volatile, may_name};
use super::server::ServerHandle;
use crate::security::auth::Action;
use crate::service::EPOCH_OF_NEW;
use crate::service::session::SessionSocket;
use crate::service::session_data;

/// A client in a namespace; cheap to clone. What it proposes is refused once its session has another owner.
#[derive(Clone)]
pub struct Socket {
    inner: Arc<SessionSocket>,
}

impl Socket {
    pub(crate) const fn new(inner: Arc<SessionSocket>) -> Self {
        Self { inner }
    }

    pub(crate) const fn session(&self) -> &Arc<SessionSocket> {
        &self.inner
    }

    /// The public id, also a room of its own; the same after a resume.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.inner.sid
    }

    /// The namespace's name.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.inner.namespace.name()
    }

    /// What stood in a place of the namespace's pattern; `None`: it has no such place.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.inner.namespace.params().get(name)
    }

    /// Who it authenticated as.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.inner.user.as_deref()
    }

    /// Its roles, as its token has them.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.inner.identity.as_ref().is_some_and(|identity| identity.roles().contains(role))
    }

    /// Whether the policy of the namespaces lets this client do something. Handlers that do what clients ask for should
    /// ask; what the application does by itself is its own affair.
    ///
    /// # Errors
    /// [`EmitError::Forbidden`].
    pub fn may(&self, action: Action<'_>) -> Result<(), EmitError> {
        self.inner.service.guard.may(self.namespace(), action, self.inner.identity.as_deref())
    }

    /// The application's data, as this node's replica has them: those of [`ConnectAccept::data`](super::ConnectAccept::data),
    /// or the last that [`Socket::set_data`] was told to be committed. Once the session is over, or another connection has it,
    /// those with which this connection began.
    #[must_use]
    pub fn data(&self) -> Bytes {
        let committed = self.inner.service.cluster.read(|state| state.session_data(&self.inner.pid, self.inner.epoch));
        committed.map_or_else(|| self.inner.data.clone(), |data| session_data::app(&data))
    }

    /// The application's data, of JSON; `None`: the session has none.
    ///
    /// # Errors
    /// When they do not fit `T`.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        let data = self.data();
        if data.is_empty() { Ok(None) } else { serde_json::from_slice(&data).map(Some) }
    }

    /// Replaces the application's data. They are part of the session: the client has them on whichever node it comes back, and
    /// they end with it. At most 64 KiB, with what the server notes of the client. Proposed by this very call; the future tells
    /// when it is committed and in force on this node.
    pub fn set_data(&self, data: impl Into<Bytes>) -> RoomChange {
        let (pid, epoch, app) = (self.inner.pid, self.inner.epoch, data.into());
        let known = self.inner.service.cluster.read(|state| state.session_data(&pid, epoch));
        // What the server noted when the session began stays beside them.
        let data = known.map_or_else(|| app.clone(), |known| session_data::replace_app(&known, &app));
        self.change(Command::SetData { pid, epoch, data })
    }

    /// Replaces the application's data by JSON, like [`Socket::set_data`].
    ///
    /// ```no_run
    /// use serde::{Deserialize, Serialize};
    /// use vedfolnir::app::{App, Reply, Socket};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Basket {
    ///     items: Vec<String>,
    /// }
    ///
    /// let app = App::builder().namespace("/", |ns| {
    ///     ns.on("put", |socket: Socket, (item,): (String,)| async move {
    ///         let mut basket: Basket = socket.data_as().ok().flatten().unwrap_or_default();
    ///         basket.items.push(item);
    ///         match socket.set_data_as(&basket).await {
    ///             Ok(()) => Reply::json(&basket.items.len()),
    ///             Err(error) => Reply::from(error),
    ///         }
    ///     })
    /// });
    /// # drop(app.build());
    /// ```
    pub fn set_data_as<T: Serialize + ?Sized>(&self, data: &T) -> RoomChange {
        match serde_json::to_vec(data) {
            Ok(data) => self.set_data(data),
            Err(error) => RoomChange::refused(EmitError::BadRequest(format!("JSON cannot express the data: {error}"))),
        }
    }

    /// Whether the client has come back to its session, rather than begun it.
    #[must_use]
    pub fn recovered(&self) -> bool {
        self.inner.epoch != EPOCH_OF_NEW
    }

    /// The rooms, as this node's replica has them; the socket's own id is one of them.
    #[must_use]
    pub fn rooms(&self) -> Vec<Arc<str>> {
        self.inner.service.cluster.read(|state| {
            let session = state.session(&self.inner.pid).filter(|session| session.epoch == self.inner.epoch);
            session.map(|session| session.rooms.clone()).unwrap_or_default()
        })
    }

    /// Enters a room. Proposed by this very call; the future tells when it is committed and in force on this node.
    pub fn join(&self, room: impl Into<Arc<str>>) -> RoomChange {
        let room = room.into();
        if let Err(error) = may_name(&room) {
            return RoomChange::refused(error);
        }
        self.change(Command::Join { pid: self.inner.pid, epoch: self.inner.epoch, room })
    }

    /// Leaves a room, like [`Socket::join`].
    pub fn leave(&self, room: impl Into<Arc<str>>) -> RoomChange {
        let room = room.into();
        self.change(Command::Leave { pid: self.inner.pid, epoch: self.inner.epoch, room })
    }

    /// Ends the session: the client is told `io server disconnect`, and does not come back by itself. What was emitted to it
    /// before it gets first. Proposed by this very call; the future tells when it is committed.
    ///
    /// The handler that calls it goes on, but what it proposes for this client from then on is refused
    /// ([`EmitError::StaleSession`]).
    pub fn disconnect(&self) -> RoomChange {
        self.change(Command::Close { pid: self.inner.pid, epoch: self.inner.epoch })
    }

    fn change(&self, command: Command) -> RoomChange {
        let proposed = self.inner.service.cluster.propose(command);
        let service = Arc::clone(&self.inner.service);
        RoomChange(Box::pin(async move {
            let timeout = service.config.publish_timeout;
            let response = tokio::time::timeout(timeout, proposed?).await.map_err(|_| EmitError::NoQuorum(timeout))?;
            match response {
                Ok(Response::Done) | Err(ProposeError::ResponseLost) => {
                    // The replica is at least there; volatile events look at the hub, which follows it.
                    let applied = service.cluster.read(|state| state.applied().index);
                    service.progress.reached(applied).await;
                    Ok(())
                }
                Ok(Response::Refused(refusal)) => Err(refusal.into()),
                Ok(_) => Err(EmitError::StaleSession),
                Err(error) => Err(error.into()),
            }
        }))
    }

    /// To this client only, durably: through the log, so that it survives a lost connection.
    pub fn emit<T: Serialize>(&self, event: &str, args: &[T]) -> Emission {
        self.server().to(Arc::clone(&self.inner.sid)).emit(event, args)
    }

    /// To a room of the namespace, but not to this client.
    pub fn to(&self, room: impl Into<Arc<str>>) -> Emitter {
        self.broadcast().to(room)
    }

    /// To the whole namespace, but not to this client.
    pub fn broadcast(&self) -> Emitter {
        self.server().except(Arc::clone(&self.inner.sid))
    }

    /// To the namespace, this client included: narrow it with [`Emitter::to`].
    pub fn server(&self) -> Emitter {
        Emitter::new(Arc::clone(&self.inner))
    }

    /// What the application reaches beside this client.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.inner.service))
    }

    /// To the namespace, but not to this client, without the log: narrow it with [`Volatile::to`].
    pub fn volatile(&self) -> Volatile {
        self.broadcast().volatile()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("sid", &self.inner.sid).field("namespace", &self.namespace()).finish()
    }
}

/// A change of a session on its way: of its rooms, its data, or its end. It goes on when dropped.
#[must_use = "the change goes on without being awaited, but then nobody learns whether it is committed"]
pub struct RoomChange(Pin<Box<dyn Future<Output = Result<(), EmitError>> + Send>>);

impl RoomChange {
    fn refused(error: EmitError) -> Self {
        Self(Box::pin(std::future::ready(Err(error))))
    }
}

impl Future for RoomChange {
    type Output = Result<(), EmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}
