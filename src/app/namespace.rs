//! A namespace: who may connect, and what its events do.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use vedfolnir_protocol::CloseReason;

use super::args::Args;
use super::dynamic::Live;
use super::extract::FromArgs;
use super::handshake::{ConnectAccept, ConnectRefusal, Handshake};
use super::pattern::NamespaceParams;
use super::reply::Reply;
use super::socket::Socket;

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;
type ConnectFuture = Pin<Box<dyn Future<Output = Result<ConnectAccept, ConnectRefusal>> + Send>>;
type CheckFuture = Pin<Box<dyn Future<Output = Result<(), ConnectRefusal>> + Send>>;
pub(crate) type HookFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = Box<dyn Fn(Socket, Args) -> HandlerFuture + Send + Sync>;
type ConnectHandler = Box<dyn Fn(Handshake) -> ConnectFuture + Send + Sync>;
type Check = Box<dyn Fn(Handshake) -> CheckFuture + Send + Sync>;
type ConnectedHook = Box<dyn Fn(Socket) -> HookFuture + Send + Sync>;
type DisconnectHook = Box<dyn Fn(Socket, CloseReason) -> HookFuture + Send + Sync>;

/// A namespace: a name, and what clients find under it.
pub struct Namespace {
    name: Arc<str>,
    params: NamespaceParams,
    behaviour: Arc<Behaviour>,
    /// Where a dynamic one is forgotten with its last client.
    live: Option<Arc<Live>>,
}

/// What happens in a namespace, or in all those of a pattern.
pub(super) struct Behaviour {
    recovery: bool,
    checks: Vec<Check>,
    connect: Option<ConnectHandler>,
    connected: Option<ConnectedHook>,
    disconnected: Option<DisconnectHook>,
    handlers: HashMap<Box<str>, Handler>,
    fallback: Option<Handler>,
}

/// Builds a namespace, or all those of a pattern.
#[derive(Debug)]
pub struct NamespaceBuilder {
    behaviour: Behaviour,
}

impl NamespaceBuilder {
    pub(super) fn new() -> Self {
        let behaviour = Behaviour {
            recovery: true,
            checks: Vec::new(),
            connect: None,
            connected: None,
            disconnected: None,
            handlers: HashMap::new(),
            fallback: None,
        };
        Self { behaviour }
    }

    /// Whether clients can resume (connection state recovery): on by default. It adds an offset as one more argument to
    /// every event without an ack. A client that says `recovery=false` in its query has neither.
    #[must_use]
    pub fn recovery(mut self, on: bool) -> Self {
        self.behaviour.recovery = on;
        self
    }

    /// One more thing that a CONNECT has to pass, also when a client resumes, before [`NamespaceBuilder::on_connect`] is asked.
    /// They run in the order in which they were added; the first refusal stands, and is the client's `connect_error`.
    ///
    /// ```no_run
    /// use serde_json::json;
    /// use vedfolnir::app::{App, ConnectRefusal, Handshake};
    ///
    /// let app = App::builder().namespace("/admin", |ns| {
    ///     ns.check_connect(|handshake: Handshake| async move {
    ///         if handshake.request.https {
    ///             return Ok(());
    ///         }
    ///         Err(ConnectRefusal::new("only over TLS").with_data(&json!({"code": "https_required"})))
    ///     })
    /// });
    /// # drop(app.build());
    /// ```
    #[must_use]
    pub fn check_connect<F, R>(mut self, check: F) -> Self
    where
        F: Fn(Handshake) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), ConnectRefusal>> + Send + 'static,
    {
        self.behaviour.checks.push(Box::new(move |handshake| Box::pin(check(handshake))));
        self
    }

    /// Decides about a CONNECT, also when a client resumes: it runs before anything is committed. Without it everybody
    /// may connect, as nobody in particular.
    #[must_use]
    pub fn on_connect<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Handshake) -> R + Send + Sync + 'static,
        R: Future<Output = Result<ConnectAccept, ConnectRefusal>> + Send + 'static,
    {
        self.behaviour.connect = Some(Box::new(move |handshake| Box::pin(handler(handshake))));
        self
    }

    /// What is done once a client is in the namespace, also when it has resumed ([`Socket::recovered`]). It runs up to its
    /// first wait before the client's first event is looked at.
    #[must_use]
    pub fn on_connected<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Socket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.behaviour.connected = Some(Box::new(move |socket| Box::pin(handler(socket))));
        self
    }

    /// What is done once a client's connection is gone, or it has left the namespace: with the reason, in a task of its own,
    /// so that it runs to its end, unless the process ends first.
    ///
    /// It is about this connection on this node. The client may come back and go on with its session, which is the same
    /// then; and a node that dies calls nothing. What has to happen exactly once when a session ends is for
    /// [`ServerHandle::events`](super::ServerHandle::events). What the handler proposes before it first waits is still the
    /// session's; later emits of one that has ended are refused ([`EmitError::StaleSession`](super::EmitError::StaleSession)), and
    /// all of one that the server has ended ([`CloseReason::ServerNamespaceDisconnect`]): it is over by then. What has to be
    /// said in any case is for [`ServerHandle::of`](super::ServerHandle::of).
    #[must_use]
    pub fn on_disconnect<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Socket, CloseReason) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.behaviour.disconnected = Some(Box::new(move |socket, reason| Box::pin(handler(socket, reason))));
        self
    }

    /// Handles an event, with its arguments as they came ([`Args`]) or as a tuple; see [`FromArgs`]. The handler runs up to
    /// its first wait before the client's next event is looked at.
    #[must_use]
    pub fn on<A, F, R, O>(mut self, event: &str, handler: F) -> Self
    where
        A: FromArgs,
        F: Fn(Socket, A) -> R + Send + Sync + 'static,
        R: Future<Output = O> + Send + 'static,
        O: Into<Reply>,
    {
        self.behaviour.handlers.insert(event.into(), boxed(handler));
        self
    }

    /// Handles every event that no other handler of the namespace does; [`Args::event`] says which it is. Without it they
    /// are ignored, also if they ask for an ack.
    #[must_use]
    pub fn fallback<F, R, O>(mut self, handler: F) -> Self
    where
        F: Fn(Socket, Args) -> R + Send + Sync + 'static,
        R: Future<Output = O> + Send + 'static,
        O: Into<Reply>,
    {
        self.behaviour.fallback = Some(boxed(handler));
        self
    }

    pub(super) fn build(self) -> Arc<Behaviour> {
        Arc::new(self.behaviour)
    }
}

/// A handler that reads its arguments first.
fn boxed<A, F, R, O>(handler: F) -> Handler
where
    A: FromArgs,
    F: Fn(Socket, A) -> R + Send + Sync + 'static,
    R: Future<Output = O> + Send + 'static,
    O: Into<Reply>,
{
    Box::new(move |socket, args| match A::from_args(&args) {
        Ok(args) => {
            let future = handler(socket, args);
            Box::pin(async move { future.await.into() })
        }
        Err(refused) => {
            let reply = Reply::error("bad_request", &format!("{}: {refused}", args.event()));
            Box::pin(std::future::ready(reply))
        }
    })
}

impl Namespace {
    /// With one name.
    pub(super) fn fixed(name: &str, behaviour: Arc<Behaviour>) -> Self {
        Self { name: name.into(), params: NamespaceParams::default(), behaviour, live: None }
    }

    /// One of a pattern's; `live` is told of its end.
    pub(super) const fn dynamic(
        name: Arc<str>,
        params: NamespaceParams,
        behaviour: Arc<Behaviour>,
        live: Arc<Live>,
    ) -> Self {
        Self { name, params, behaviour, live: Some(live) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// What its pattern captured of the name.
    #[must_use]
    pub const fn params(&self) -> &NamespaceParams {
        &self.params
    }

    /// Whether clients can resume.
    #[must_use]
    pub fn recovery(&self) -> bool {
        self.behaviour.recovery
    }

    pub(crate) async fn connect(&self, handshake: Handshake) -> Result<ConnectAccept, ConnectRefusal> {
        for check in &self.behaviour.checks {
            check(handshake.clone()).await?;
        }
        match &self.behaviour.connect {
            Some(handler) => handler(handshake).await,
            None => Ok(ConnectAccept::default()),
        }
    }

    /// Starts what is done once a client is in; `None`: nothing.
    pub(crate) fn connected(&self, socket: Socket) -> Option<HookFuture> {
        Some(self.behaviour.connected.as_ref()?(socket))
    }

    /// Starts what is done once a client is gone; `None`: nothing.
    pub(crate) fn disconnected(&self, socket: Socket, reason: CloseReason) -> Option<HookFuture> {
        Some(self.behaviour.disconnected.as_ref()?(socket, reason))
    }

    /// Whether anybody handles an event.
    pub(crate) fn handles(&self, event: &str) -> bool {
        self.behaviour.fallback.is_some() || self.behaviour.handlers.contains_key(event)
    }

    /// Starts the handler of an event; `None`: nobody handles it.
    pub(crate) fn handle(&self, event: &str, socket: Socket, args: Args) -> Option<HandlerFuture> {
        let handler = self.behaviour.handlers.get(event).or(self.behaviour.fallback.as_ref())?;
        Some(handler(socket, args))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.ended(&self.name);
        }
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<&str> = self.handlers.keys().map(AsRef::as_ref).collect();
        f.debug_struct("Behaviour").field("events", &events).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
