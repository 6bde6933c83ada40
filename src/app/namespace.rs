//! A namespace: who may connect, and what its events do.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::args::Args;
use super::handshake::{ConnectAccept, ConnectRefusal, Handshake};
use super::reply::Reply;
use super::socket::Socket;

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;
type ConnectFuture = Pin<Box<dyn Future<Output = Result<ConnectAccept, ConnectRefusal>> + Send>>;
type Handler = Box<dyn Fn(Socket, Args) -> HandlerFuture + Send + Sync>;
type ConnectHandler = Box<dyn Fn(Handshake) -> ConnectFuture + Send + Sync>;

/// A namespace and its handlers.
pub struct Namespace {
    name: std::sync::Arc<str>,
    recovery: bool,
    connect: Option<ConnectHandler>,
    handlers: HashMap<Box<str>, Handler>,
}

/// Builds a [`Namespace`].
#[derive(Debug)]
pub struct NamespaceBuilder {
    namespace: Namespace,
}

impl NamespaceBuilder {
    pub(crate) fn new(name: &str) -> Self {
        let namespace = Namespace { name: name.into(), recovery: true, connect: None, handlers: HashMap::new() };
        Self { namespace }
    }

    /// Whether clients can resume (connection state recovery): on by default. It adds an offset as one more argument to
    /// every event without an ack.
    #[must_use]
    pub fn recovery(mut self, on: bool) -> Self {
        self.namespace.recovery = on;
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
        self.namespace.connect = Some(Box::new(move |handshake| Box::pin(handler(handshake))));
        self
    }

    /// Handles an event. The handler runs up to its first wait before the client's next event is looked at.
    #[must_use]
    pub fn on<F, R, O>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(Socket, Args) -> R + Send + Sync + 'static,
        R: Future<Output = O> + Send + 'static,
        O: Into<Reply>,
    {
        let handler: Handler = Box::new(move |socket, args| {
            let future = handler(socket, args);
            Box::pin(async move { future.await.into() })
        });
        self.namespace.handlers.insert(event.into(), handler);
        self
    }

    pub(crate) fn build(self) -> Namespace {
        self.namespace
    }
}

impl Namespace {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> &std::sync::Arc<str> {
        &self.name
    }

    /// Whether clients can resume.
    #[must_use]
    pub const fn recovery(&self) -> bool {
        self.recovery
    }

    pub(crate) async fn connect(&self, handshake: Handshake) -> Result<ConnectAccept, ConnectRefusal> {
        match &self.connect {
            Some(handler) => handler(handshake).await,
            None => Ok(ConnectAccept::default()),
        }
    }

    /// Whether anybody handles an event.
    pub(crate) fn handles(&self, event: &str) -> bool {
        self.handlers.contains_key(event)
    }

    /// Starts the handler of an event; `None`: nobody handles it.
    pub(crate) fn handle(&self, event: &str, socket: Socket, args: Args) -> Option<HandlerFuture> {
        Some(self.handlers.get(event)?(socket, args))
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<&str> = self.handlers.keys().map(AsRef::as_ref).collect();
        f.debug_struct("Namespace").field("name", &self.name).field("events", &events).finish_non_exhaustive()
    }
}
