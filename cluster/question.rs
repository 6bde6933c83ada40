//! What the application of one node asks of another node: to hand an event to its clients and gather what they acknowledge,
//! or to take an event itself. Answered within a time or not at all, past the log.
//!
//! A question is one request on the lane of the services. A release from before this refuses its kind, and one that does not
//! know this question refuses its body: either is a node that does not answer, as one that is down or overloaded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vedfolnir_state::{NodeId, Payload, Record};

use crate::handle::{Cluster, Inner};
use crate::network::{Lane, PeerIdentity};
use crate::peer_service::PeerUnreachable;
use crate::remove;
use crate::wire::{self, kind};

/// Bytes of a question as it travels.
pub const QUESTION_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer as it travels.
pub const ANSWER_BYTES_MAX: usize = 12 << 20;
/// Questions of other nodes that a node answers at once; one more is refused.
pub const QUESTIONS_MAX: usize = 256;
/// How much longer than the time in a question its answer may travel.
pub const ANSWER_GRACE: Duration = Duration::from_millis(500);

/// A question to another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Hand this to those of your clients that it addresses, and say what they acknowledge it with.
    Clients {
        /// The event, and whom it is for.
        record: Record,
        /// How long they have, in milliseconds.
        within_ms: u32,
    },
    /// An event for your application.
    Application {
        /// The event.
        event: Payload,
        /// How long it has, in milliseconds; `None`: nobody waits for what it says.
        within_ms: Option<u32>,
    },
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// What the clients said.
    Clients {
        /// By `socket.id`: the arguments of the ack, a JSON array.
        acks: Vec<(Arc<str>, Payload)>,
        /// Those that did not acknowledge.
        silent: Vec<Arc<str>>,
    },
    /// What the application said, if it said something: the arguments of its ack, a JSON array.
    Application(Option<Payload>),
    /// There is no answer; why, in one line.
    Refused(String),
}

impl Cluster {
    /// Asks another node's service. `within`: how long it has for the answer, which then may travel [`ANSWER_GRACE`] longer.
    ///
    /// # Errors
    /// [`PeerUnreachable`]: no member, not reached, too late, of a release that does not know the question, busy, or the
    /// question or its answer are larger than may travel.
    pub async fn ask(
        &self,
        node: NodeId,
        question: &EncodedQuestion,
        within: Duration,
    ) -> Result<Answer, PeerUnreachable> {
        let unreachable = |reason: String| PeerUnreachable { node, reason };
        let members = self.inner.other_members();
        let Some((_, addr)) = members.into_iter().find(|(id, _)| *id == node) else {
            return Err(unreachable("it is no member of the cluster".to_owned()));
        };
        let peer = self.inner.endpoint.peer_on(Lane::Service, &addr, Some(node));
        let answer = peer.request(kind::QUESTION, question.0.clone(), within + ANSWER_GRACE).await;
        let answer = answer.map_err(|error| unreachable(error.to_string()))?;
        match wire::decode("answer", &answer) {
            Ok(Answer::Refused(reason)) => Err(unreachable(reason)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }

    /// The other members that the cluster does not hold to be down.
    #[must_use]
    pub fn live_peers(&self) -> Vec<NodeId> {
        let live = self.read(|state| state.live_incarnations());
        let own = self.inner.local.node_id();
        live.into_iter().map(|incarnation| incarnation.node).filter(|node| *node != own).collect()
    }
}

/// A question as it travels, for any number of nodes.
#[derive(Clone, Debug)]
pub struct EncodedQuestion(Bytes);

impl Question {
    /// `None`: it is larger than [`QUESTION_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Option<EncodedQuestion> {
        let body = wire::encode("question", self).ok()?;
        (body.len() <= QUESTION_BYTES_MAX).then_some(EncodedQuestion(body))
    }
}

/// Answers a peer.
pub(crate) async fn answer(node: &Inner, from: &PeerIdentity, body: &[u8]) -> Result<Bytes, String> {
    if !remove::is_member(node, from.node_id) {
        return Err(format!("node {:016x} is no member", from.node_id));
    }
    if body.len() > QUESTION_BYTES_MAX {
        return Err(format!("a question of {} bytes; at most {QUESTION_BYTES_MAX} are accepted", body.len()));
    }
    let question: Question = wire::decode("question", body).map_err(|error| error.to_string())?;
    let Some(service) = node.peer_service.get() else { return Err("this node has no service yet".to_owned()) };
    let Ok(_place) = node.questions.try_acquire() else {
        return Err(format!("{QUESTIONS_MAX} questions are being answered already"));
    };
    let answer = service.answer(from.node_id, question).await;
    let body = wire::encode("answer", &answer).map_err(|error| error.to_string())?;
    if body.len() > ANSWER_BYTES_MAX {
        return Err(format!("an answer of {} bytes; at most {ANSWER_BYTES_MAX} travel", body.len()));
    }
    Ok(body)
}
