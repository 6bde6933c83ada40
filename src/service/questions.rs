//! Questions to the whole cluster: an event whose acks come from clients of all nodes, or an event for their applications.
//! The side that asks, and the side that answers; what travels is in [`vedfolnir_cluster::question`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use vedfolnir_cluster::question::{Answer, EncodedQuestion, Question};
use vedfolnir_cluster::state::{NodeId, Payload, Record};

use super::Inner;
use super::session::SessionSocket;
use crate::app::{Args, EventPayload, Reply, ServerHandle, ServerSide, ask};

/// What one node's application may ask of all nodes at once; more is refused.
pub(crate) const ASKING_MAX: usize = 256;
/// Events of other nodes that this node's application handles at once; more are refused.
pub(crate) const HANDLED_MAX: usize = 256;
/// Clients of one node that one event may wait for.
pub(crate) const CLIENTS_MAX: usize = 10_000;
/// Bytes of what the clients of one node acknowledge one event with, together.
pub(crate) const ACKS_BYTES_MAX: usize = 8 << 20;
/// The longest time that an answer may take.
pub(crate) const WITHIN_MAX: Duration = Duration::from_secs(600);
/// An event that nobody waits for reaches its nodes within this time, or does not.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// What the clients of a node say.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    pub(crate) acks: Vec<(Arc<str>, Args)>,
    /// Those that did not acknowledge.
    pub(crate) silent: Vec<Arc<str>>,
}

/// More clients than may be asked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) usize);

/// The clients of this node that an event addresses, if they are few enough to be asked.
pub(crate) fn addressed(service: &Inner, record: &Record) -> Result<Vec<Arc<SessionSocket>>, TooMany> {
    let mut sockets = Vec::new();
    service.hub.read().visit(record, |socket| sockets.push(Arc::clone(socket)));
    if sockets.len() > CLIENTS_MAX {
        return Err(TooMany(sockets.len()));
    }
    Ok(sockets)
}

/// Hands them an event, and gathers what they acknowledge.
pub(crate) async fn ask_clients(sockets: Vec<Arc<SessionSocket>>, event: &Payload, within: Duration) -> Acks {
    let waiting = sockets.iter().map(|socket| async move {
        let payload = EventPayload::checked(event.clone());
        (Arc::clone(&socket.sid), ask(socket, Ok(payload), within).await)
    });
    let mut waiting: FuturesUnordered<_> = waiting.collect();
    let mut gathered = Acks::default();
    let mut bytes = 0;
    while let Some((sid, answered)) = waiting.next().await {
        match answered {
            Ok(args) if bytes + args.size() <= ACKS_BYTES_MAX => {
                bytes += args.size();
                gathered.acks.push((sid, args));
            }
            Ok(_) | Err(_) => gathered.silent.push(sid),
        }
    }
    gathered
}

/// Asks all other nodes that the cluster does not hold to be down: what they say, and who does not.
pub(crate) async fn ask_nodes(
    service: &Inner,
    question: &EncodedQuestion,
    within: Duration,
) -> (Vec<(NodeId, Answer)>, Vec<NodeId>) {
    let asked = service.cluster.live_peers().into_iter().map(|node| async move {
        match service.cluster.ask(node, question, within).await {
            Ok(answer) => Ok((node, answer)),
            Err(error) => {
                tracing::debug!(%error, "a node did not answer the application");
                Err(node)
            }
        }
    });
    let (mut answers, mut silent) = (Vec::new(), Vec::new());
    for answered in join_all(asked).await {
        match answered {
            Ok(answer) => answers.push(answer),
            Err(node) => silent.push(node),
        }
    }
    (answers, silent)
}

/// Tells all other nodes, in a task of its own; nobody waits for what they say. False: as much is under way as may.
pub(crate) fn tell_nodes(service: &Arc<Inner>, question: EncodedQuestion) -> bool {
    let Ok(place) = Arc::clone(&service.asking).try_acquire_owned() else { return false };
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let _place = place;
        ask_nodes(&service, &question, TOLD_WITHIN).await;
    });
    true
}

/// How long a question says that its answer may take.
pub(crate) fn millis(within: Duration) -> u32 {
    u32::try_from(within.min(WITHIN_MAX).as_millis()).unwrap_or(u32::MAX)
}

// ---- the side that answers ----

pub(crate) async fn answer(service: &Arc<Inner>, from: NodeId, question: Question) -> Answer {
    let time = |within_ms: u32| Duration::from_millis(within_ms.into()).min(WITHIN_MAX);
    match question {
        Question::Clients { record, within_ms } => match addressed(service, &record) {
            Ok(sockets) => {
                let Acks { acks, silent } = ask_clients(sockets, &record.payload, time(within_ms)).await;
                let acks = acks.into_iter().map(|(sid, args)| (sid, args.into_payload())).collect();
                Answer::Clients { acks, silent }
            }
            Err(TooMany(clients)) => {
                Answer::Refused(format!("it has {clients} clients that it addresses; at most {CLIENTS_MAX} are asked"))
            }
        },
        Question::Application { event, within_ms } => {
            let Ok(place) = Arc::clone(&service.handling).try_acquire_owned() else {
                return Answer::Refused(format!("its application handles {HANDLED_MAX} events of other nodes already"));
            };
            let args = Args::new(event.text, event.attachments);
            let side = ServerSide::new(ServerHandle::new(Arc::clone(service)), from);
            let Some(handling) = service.app.server_side(side, args) else { return Answer::Application(None) };
            match within_ms {
                Some(within_ms) => match tokio::time::timeout(time(within_ms), handling).await {
                    Ok(reply) => Answer::Application(payload(reply)),
                    Err(_) => Answer::Refused("its application took too long".to_owned()),
                },
                None => {
                    tokio::spawn(async move {
                        let _place = place;
                        // Whoever told it does not wait.
                        let _ = tokio::time::timeout(WITHIN_MAX, handling).await;
                    });
                    Answer::Application(None)
                }
            }
        }
    }
}

fn payload(reply: Reply) -> Option<Payload> {
    // No client has asked: there is none to be disconnected.
    let Reply { args, attachments, .. } = reply;
    Some(Payload { text: args?, attachments })
}

/// What a client or an application answered on another node.
pub(crate) fn args_of(ack: Payload) -> Args {
    let Payload { text, attachments } = ack;
    Args::of_ack(if text.is_empty() { Bytes::from_static(b"[]") } else { text }, attachments)
}
