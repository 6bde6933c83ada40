//! Events that the clients of all nodes acknowledge: asked on the connections that stand, gathered within a time.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vedfolnir_cluster::question::{Answer, QUESTION_BYTES_MAX, Question};
use vedfolnir_cluster::state::Record;

use super::args::Args;
use super::ask::ACK_TIMEOUT;
use super::emit::{EmitError, Emitter, Volatile};
use super::payload::EventPayload;
use super::server::node_name;
use crate::service::questions::{self, Acks, CLIENTS_MAX, TooMany};

/// What came back of an event that clients of all nodes were to acknowledge.
#[derive(Clone, Debug, Default)]
pub struct BroadcastAcks {
    /// The clients that acknowledged, by `socket.id`, with the arguments of their acks.
    pub acks: Vec<(Arc<str>, Args)>,
    /// The clients that did not: too late, gone meanwhile, or with too much waiting to be written to them. Also those whose
    /// acks were too large: those of one node's clients have at most 8 MiB together.
    pub silent: Vec<Arc<str>>,
    /// The nodes (16 hexadecimal digits) that did not answer. Their clients may have got the event.
    pub silent_nodes: Vec<String>,
}

impl BroadcastAcks {
    /// Whether everybody acknowledged.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.silent.is_empty() && self.silent_nodes.is_empty()
    }
}

/// An event that clients of all nodes are to acknowledge; sent when it is awaited. Volatile.
#[must_use = "nothing is sent until it is awaited"]
pub struct BroadcastWithAcks {
    to: Volatile,
    payload: Result<EventPayload, EmitError>,
    timeout: Duration,
}

impl Emitter {
    /// Asks all clients that it addresses, on all nodes, something that each acknowledges with `callback(…)`: what
    /// socket.io's `timeout(…).emit(…, (error, answers) => …)` does.
    ///
    /// It is volatile, whatever [`Emitter::emit`] is: it is for the connections that stand now, has no offset, is not
    /// replayed to a client that resumes, and no order towards durable emits is promised. It answers as soon as everybody has,
    /// and at the latest half a second after the time-out, for answers on their way from other nodes. A node that is down or
    /// of a release that does not know this is told of among [`BroadcastAcks::silent_nodes`]; one that the cluster has
    /// declared down has no clients, and is not asked.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use vedfolnir::app::{EmitError, ServerHandle};
    ///
    /// # async fn example(server: ServerHandle) -> Result<(), EmitError> {
    /// let Some(root) = server.of("/") else { return Ok(()) };
    /// let votes = root.to("jury").emit_with_acks("vote", &["for or against?"]).timeout(Duration::from_secs(30)).await?;
    /// for (sid, answer) in &votes.acks {
    ///     println!("{sid}: {}", answer.get::<String>(0).unwrap_or_default());
    /// }
    /// println!("{} did not vote", votes.silent.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When awaited: [`EmitError::BadRequest`] if clients would not accept the event, or it has more than 1 MiB;
    /// [`EmitError::LimitExceeded`] if more than 10,000 clients of this node would have to answer;
    /// [`EmitError::Overloaded`] if this node asks 256 such things already. Nothing was sent then.
    pub fn emit_with_acks<T: Serialize>(self, event: &str, args: &[T]) -> BroadcastWithAcks {
        self.volatile().emit_with_acks(event, args)
    }

    /// Asks with a checked event, attachments among them, like [`Emitter::emit_with_acks`].
    pub fn emit_payload_with_acks(self, payload: EventPayload) -> BroadcastWithAcks {
        self.volatile().emit_payload_with_acks(payload)
    }
}

impl Volatile {
    /// As [`Emitter::emit_with_acks`]; behind [`Volatile::local`] only the clients of this node are asked.
    pub fn emit_with_acks<T: Serialize>(self, event: &str, args: &[T]) -> BroadcastWithAcks {
        BroadcastWithAcks { to: self, payload: EventPayload::new(event, args), timeout: ACK_TIMEOUT }
    }

    /// As [`Emitter::emit_payload_with_acks`].
    pub fn emit_payload_with_acks(self, payload: EventPayload) -> BroadcastWithAcks {
        BroadcastWithAcks { to: self, payload: Ok(payload), timeout: ACK_TIMEOUT }
    }
}

impl BroadcastWithAcks {
    /// How long the clients may take, from when this is awaited; [`ACK_TIMEOUT`] unless said, ten minutes at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(questions::WITHIN_MAX);
        self
    }

    async fn gather(self) -> Result<BroadcastAcks, EmitError> {
        let Self { to, payload, timeout } = self;
        let is_local = to.is_local();
        let (service, record) = to.addressed(payload?)?;
        let question = Question::Clients { record: Record::clone(&record), within_ms: questions::millis(timeout) };
        let question = question.encode().ok_or_else(|| {
            EmitError::BadRequest(format!(
                "the event has more than {QUESTION_BYTES_MAX} bytes, which an event with acks has at most"
            ))
        })?;
        let _place = service.asking.try_acquire().map_err(|_| EmitError::Overloaded)?;
        let sockets = questions::addressed(&service, &record).map_err(|TooMany(clients)| {
            tracing::debug!(clients, CLIENTS_MAX, "an event with acks was for too many clients");
            EmitError::LimitExceeded
        })?;
        let here = questions::ask_clients(sockets, &record.payload, timeout);
        let (here, (answers, silent_nodes)) = if is_local {
            (here.await, (Vec::new(), Vec::new()))
        } else {
            tokio::join!(here, questions::ask_nodes(&service, &question, timeout))
        };
        let Acks { acks, silent } = here;
        let mut all = BroadcastAcks { acks, silent, silent_nodes: silent_nodes.into_iter().map(node_name).collect() };
        for (node, answer) in answers {
            match answer {
                Answer::Clients { acks, silent } => {
                    all.acks.extend(acks.into_iter().map(|(sid, ack)| (sid, questions::args_of(ack))));
                    all.silent.extend(silent);
                }
                Answer::Application(_) | Answer::Refused(_) => all.silent_nodes.push(node_name(node)),
            }
        }
        Ok(all)
    }
}

impl IntoFuture for BroadcastWithAcks {
    type Output = Result<BroadcastAcks, EmitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.gather())
    }
}

impl fmt::Debug for BroadcastWithAcks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastWithAcks").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
