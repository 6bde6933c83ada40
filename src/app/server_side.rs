//! Events from application to application: what one node tells or asks the same application on the other nodes.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vedfolnir_cluster::question::{Answer, EncodedQuestion, QUESTION_BYTES_MAX, Question};
use vedfolnir_cluster::state::NodeId;

use super::AppBuilder;
use super::args::Args;
use super::ask::ACK_TIMEOUT;
use super::emit::EmitError;
use super::extract::FromArgs;
use super::namespace::HandlerFuture;
use super::payload::EventPayload;
use super::reply::Reply;
use super::server::{ServerHandle, node_name};
use crate::service::{self, questions};

pub(super) type ServerSideHandler = Box<dyn Fn(ServerSide, Args) -> HandlerFuture + Send + Sync>;

/// Where an event of another node's application is handled.
#[derive(Clone, Debug)]
pub struct ServerSide {
    server: ServerHandle,
    from: NodeId,
}

impl ServerSide {
    pub(crate) const fn new(server: ServerHandle, from: NodeId) -> Self {
        Self { server, from }
    }

    /// This node.
    #[must_use]
    pub const fn server(&self) -> &ServerHandle {
        &self.server
    }

    /// The node that emitted it, 16 hexadecimal digits.
    #[must_use]
    pub fn from_node(&self) -> String {
        node_name(self.from)
    }
}

/// What the applications on the other nodes answered.
#[derive(Clone, Debug, Default)]
pub struct ServerSideAcks {
    /// By node (16 hexadecimal digits): the arguments of its answer.
    pub acks: Vec<(String, Args)>,
    /// The nodes that did not answer: too late, not reached, overloaded, of a release that does not know this, or without a
    /// handler that says something.
    pub silent: Vec<String>,
}

impl ServerSideAcks {
    /// Whether all nodes answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.silent.is_empty()
    }
}

/// An event that the applications on the other nodes are to answer; sent when it is awaited. Volatile.
#[must_use = "nothing is sent until it is awaited"]
pub struct ServerSideEmit {
    service: Arc<service::Inner>,
    payload: Result<EventPayload, EmitError>,
    timeout: Duration,
}

impl AppBuilder {
    /// Handles an event that this application emits on another node with [`ServerHandle::server_side_emit`]; the arguments as
    /// for events of clients ([`FromArgs`]). What it says is the answer, where one is waited for.
    ///
    /// ```no_run
    /// use vedfolnir::app::{App, Reply, ServerSide};
    ///
    /// let app = App::builder().on_server_side("clients", |here: ServerSide, (namespace,): (String,)| async move {
    ///     match here.server().presence(namespace).count().await {
    ///         Ok(count) => Reply::json(&count.sessions),
    ///         Err(error) => error.into(),
    ///     }
    /// });
    /// # drop(app.build());
    /// ```
    #[must_use]
    pub fn on_server_side<A, F, R, O>(mut self, event: &str, handler: F) -> Self
    where
        A: FromArgs,
        F: Fn(ServerSide, A) -> R + Send + Sync + 'static,
        R: Future<Output = O> + Send + 'static,
        O: Into<Reply>,
    {
        let handler: ServerSideHandler = Box::new(move |side, args| match A::from_args(&args) {
            Ok(args) => {
                let future = handler(side, args);
                Box::pin(async move { future.await.into() })
            }
            Err(refused) => {
                let reply = Reply::error("bad_request", &format!("{}: {refused}", args.event()));
                Box::pin(std::future::ready(reply))
            }
        });
        self.server_side.insert(event.into(), handler);
        self
    }
}

impl ServerHandle {
    /// Tells the applications on the other nodes something ([`AppBuilder::on_server_side`]); this node's own is not told.
    ///
    /// It is volatile: a node that is down, cut off or overloaded does not hear it, and no order is promised among several.
    /// What every node must know belongs into the store or is a durable emit.
    ///
    /// # Errors
    /// [`EmitError::BadRequest`] for a reserved name, what JSON cannot express, or more than 1 MiB;
    /// [`EmitError::Overloaded`] if 256 such things are under way.
    pub fn server_side_emit<T: Serialize>(&self, event: &str, args: &[T]) -> Result<(), EmitError> {
        let question = encode(EventPayload::new(event, args)?, None)?;
        if questions::tell_nodes(self.service(), question) { Ok(()) } else { Err(EmitError::Overloaded) }
    }

    /// Asks the applications on the other nodes something, and gathers what they answer, within [`ACK_TIMEOUT`] unless
    /// [`ServerSideEmit::timeout`] says otherwise. As volatile as [`ServerHandle::server_side_emit`], but says who did not
    /// answer. Nodes that the cluster has declared down are not asked.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use vedfolnir::app::{EmitError, ServerHandle};
    ///
    /// # async fn example(server: ServerHandle) -> Result<(), EmitError> {
    /// let answers = server.server_side_emit_with_acks("clients", &["/"]).timeout(Duration::from_secs(2)).await?;
    /// for (node, answer) in &answers.acks {
    ///     println!("{node}: {:?}", answer.get::<u64>(0));
    /// }
    /// println!("no answer from {:?}", answers.silent);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When awaited, as [`ServerHandle::server_side_emit`].
    pub fn server_side_emit_with_acks<T: Serialize>(&self, event: &str, args: &[T]) -> ServerSideEmit {
        ServerSideEmit {
            service: Arc::clone(self.service()),
            payload: EventPayload::new(event, args),
            timeout: ACK_TIMEOUT,
        }
    }
}

fn encode(payload: EventPayload, within: Option<Duration>) -> Result<EncodedQuestion, EmitError> {
    let question = Question::Application { event: payload.into_payload(), within_ms: within.map(questions::millis) };
    question.encode().ok_or_else(|| {
        EmitError::BadRequest(format!("the event has more than {QUESTION_BYTES_MAX} bytes, which travel at most"))
    })
}

impl ServerSideEmit {
    /// How long they may take, from when this is awaited; ten minutes at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(questions::WITHIN_MAX);
        self
    }

    async fn gather(self) -> Result<ServerSideAcks, EmitError> {
        let Self { service, payload, timeout } = self;
        let question = encode(payload?, Some(timeout))?;
        let _place = service.asking.try_acquire().map_err(|_| EmitError::Overloaded)?;
        let (answers, silent) = questions::ask_nodes(&service, &question, timeout).await;
        let mut all = ServerSideAcks { acks: Vec::new(), silent: silent.into_iter().map(node_name).collect() };
        for (node, answer) in answers {
            match answer {
                Answer::Application(Some(ack)) => all.acks.push((node_name(node), questions::args_of(ack))),
                Answer::Application(None) | Answer::Clients { .. } | Answer::Refused(_) => {
                    all.silent.push(node_name(node));
                }
            }
        }
        Ok(all)
    }
}

impl IntoFuture for ServerSideEmit {
    type Output = Result<ServerSideAcks, EmitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.gather())
    }
}

impl fmt::Debug for ServerSideEmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSideEmit").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
