//! The event hook: the backend says what an event does, and what the client is answered.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use vedfolnir_cluster::state::limits;

use super::hook::{Failure, Hook};
use super::queues::Queues;
use crate::api::{Fields, Made, Problem, Publish, Reader, check_names};
use crate::app::{Args, EventPayload, Reply, ServerHandle, Socket};

/// What an answer may emit.
const EMITS_MAX: usize = 1_000;

/// What the backend is asked.
#[derive(Serialize)]
struct Question<'a> {
    version: u8,
    r#type: &'static str,
    id: &'a str,
    namespace: &'a str,
    sid: &'a str,
    user: Option<&'a str>,
    data: Option<&'a RawValue>,
    event: &'a str,
    args: Vec<&'a RawValue>,
    /// In base64, as the placeholders in the arguments number them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
    wants_ack: bool,
}

/// What the backend answers, read as a whole before anything of it is done.
struct Answer {
    ack: Option<Vec<Box<RawValue>>>,
    emit: Vec<Publish>,
    join: Vec<Arc<str>>,
    leave: Vec<Arc<str>>,
    disconnect: bool,
}

/// See the module.
pub(super) struct EventHook {
    hook: Hook,
    queues: Arc<Queues>,
}

impl EventHook {
    pub(super) fn new(hook: Hook) -> Self {
        Self { hook, queues: Arc::default() }
    }

    /// Takes an event, in the order of its client's; what comes of it.
    pub(super) fn handle(
        self: &Arc<Self>,
        socket: Socket,
        args: Args,
    ) -> impl Future<Output = Reply> + Send + 'static + use<> {
        let (answer, answered) = oneshot::channel();
        let (sid, bytes, hook) = (Arc::from(socket.sid()), args.size(), Arc::clone(self));
        let work = async move {
            // Nobody waits for it if the client is gone; it is done all the same.
            let _ = answer.send(hook.reply(&socket, &args).await);
        };
        let taken = self.queues.push(sid, bytes, Box::pin(work));
        let hook = Arc::clone(self);
        async move {
            match taken {
                Ok(()) => answered.await.unwrap_or_else(|_| Reply::error("internal", "the event was not handled")),
                Err(_) => match hook.hook.counted(async { Err::<Reply, _>(Failure::Overloaded) }).await {
                    Ok(reply) => reply,
                    Err(failure) => failure.into(),
                },
            }
        }
    }

    async fn reply(&self, socket: &Socket, args: &Args) -> Reply {
        match self.hook.counted(self.ask(socket, args)).await {
            Ok(answer) => answer.carry_out(socket).await,
            Err(failure) => failure.into(),
        }
    }

    async fn ask(&self, socket: &Socket, args: &Args) -> Result<Answer, Failure> {
        let id = self.hook.id();
        let data = socket.data();
        let question = Question {
            version: 1,
            r#type: "event",
            id: &id,
            namespace: socket.namespace(),
            sid: socket.sid(),
            user: socket.user(),
            // Sessions that were begun by another application may have something else.
            data: serde_json::from_slice(&data).ok(),
            event: &args.event(),
            args: args.arguments(),
            attachments: args.attachments().iter().map(|attachment| BASE64.encode(attachment)).collect(),
            wants_ack: args.wants_ack(),
        };
        // Texts, and JSON that was read as such: nothing that JSON does not take.
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let fields = self.hook.ask(&id, body).await?;
        Ok(Answer::read(fields, socket).await?)
    }
}

impl Answer {
    async fn read(mut fields: Fields, socket: &Socket) -> Result<Self, Problem> {
        let ack = fields.optional::<Vec<Box<RawValue>>>("ack")?;
        let emit = fields.optional::<Vec<Box<RawValue>>>("emit")?.unwrap_or_default();
        let join = fields.optional::<Vec<Arc<str>>>("join")?.unwrap_or_default();
        let leave = fields.optional::<Vec<Arc<str>>>("leave")?.unwrap_or_default();
        let disconnect = fields.optional("disconnect")?.unwrap_or_default();
        fields.end()?;
        if let Some(ack) = &ack {
            // What clients accept as arguments of an event they accept as those of an ack.
            EventPayload::new("ack", ack).map_err(|error| Problem::invalid("ack", error.to_string()))?;
        }
        for (field, names) in [("join", &join), ("leave", &leave)] {
            if !names.is_empty() {
                check_names(field, names, limits::ROOMS_PER_RECORD_MAX)?;
            }
        }
        if emit.len() > EMITS_MAX {
            let detail = format!("{} emits; accepted: at most {EMITS_MAX}", emit.len());
            return Err(Problem::invalid("emit", detail));
        }
        let server = ServerHandle::new(Arc::clone(&socket.session().service));
        let mut reader = Reader::within(server, socket.namespace());
        let mut publishes = Vec::with_capacity(emit.len());
        for (index, item) in emit.iter().enumerate() {
            let publish = async { reader.publish(Fields::of(item.get().as_bytes())?, None).await };
            publishes.push(publish.await.map_err(|problem| problem.within(&format!("emit[{index}]")))?);
        }
        Ok(Self { ack, emit: publishes, join, leave, disconnect })
    }

    /// Everything is proposed at once, in this order: rooms, emits. The ack says that all of it is committed, or what is not.
    async fn carry_out(self, socket: &Socket) -> Reply {
        let Self { ack, emit, join, leave, disconnect } = self;
        let joins = join.into_iter().map(|room| socket.join(room));
        let changes: Vec<_> = joins.chain(leave.into_iter().map(|room| socket.leave(room))).collect();
        let made: Vec<Made> = emit.into_iter().map(Publish::make).collect();
        let (changed, emitted) = tokio::join!(join_all(changes), join_all(made.into_iter().map(Made::outcome)));
        let refused = changed.into_iter().find_map(Result::err).map(Reply::from);
        let failed = emitted.into_iter().find_map(Result::err);
        let failed = failed.map(|problem| Reply::error(&problem.code(), problem.detail()));
        let reply = refused.or(failed).unwrap_or_else(|| match &ack {
            Some(args) => Reply::args(args),
            None => Reply::empty(),
        });
        if disconnect { reply.and_disconnect() } else { reply }
    }
}
