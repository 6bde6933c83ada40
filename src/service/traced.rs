//! What the service tells of in traces: where an event's trace comes from, and what becomes of a broadcast on this node.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use vedfolnir_cluster::state::{LogPosition, TraceContext};

use super::Inner;
use super::outbox::OnWritten;
use super::session::SessionSocket;
use crate::app::{Args, RequestInfo};
use crate::observability::traces::{ActiveSpan, Kind, Parent, Tracer, current, parse_traceparent};

/// Clients of one broadcast that have a span of their own, on each node.
const SENDS_MAX: usize = 16;

/// Where a client says which trace it is in.
#[derive(Deserialize)]
struct Traced<'a> {
    #[serde(borrow)]
    traceparent: Option<std::borrow::Cow<'a, str>>,
}

/// The trace that a whole connection belongs to: said in the CONNECT's auth, or in the header of its first request.
pub(super) fn parent_of(request: &RequestInfo, auth: Option<&[u8]>) -> Option<Parent> {
    auth.and_then(parent_in).or_else(|| request.header("traceparent").and_then(parse_traceparent))
}

/// `{"traceparent": …, …}`.
fn parent_in(object: &[u8]) -> Option<Parent> {
    let text = std::str::from_utf8(object).ok().filter(|text| text.contains("\"traceparent\""))?;
    parse_traceparent(&serde_json::from_str::<Traced<'_>>(text).ok()?.traceparent?)
}

impl Inner {
    /// A client's event begins; `None`: it is not told. An event may say by itself which trace it is in, in the object that is
    /// its last argument; otherwise it is in its connection's.
    pub(super) fn trace_event(&self, socket: &SessionSocket, event: &str, args: &Args) -> Option<ActiveSpan> {
        // A span's name is one of the application's: clients must not fill the receiver's index.
        let tracer = self.config.tracer.as_ref().filter(|_| socket.namespace.handles(event))?;
        // Reading the arguments costs more than most events do.
        let mentioned = args.mention("\"traceparent\"").then(|| args.arguments());
        let own = mentioned.and_then(|arguments| parent_in(arguments.last()?.get().as_bytes()));
        let parent = own.or(socket.trace);
        let mut span = tracer.begin(|| format!("handle {event}"), Kind::Server, parent.as_ref(), Instant::now())?;
        span.set("vedfolnir.namespace", socket.namespace.name());
        span.set("session.id", &*socket.sid);
        span.set("messaging.message.body.size", args.size());
        Some(span)
    }

    /// A broadcast goes out: told if what makes it is.
    pub(crate) fn trace_publish(&self, rooms: usize) -> Option<ActiveSpan> {
        let tracer = self.config.tracer.as_ref()?;
        let mut span = tracer.child(&current()?, "publish", Kind::Producer);
        span.set("vedfolnir.rooms", rooms);
        Some(span)
    }

    /// The leader has committed it.
    pub(super) fn trace_commit(&self, trace: Option<TraceContext>, handed: Option<Instant>, position: LogPosition) {
        if let (Some(tracer), Some(trace), Some(handed)) = (&self.config.tracer, trace, handed) {
            let mut span = tracer.child_since(&trace, "commit", Kind::Internal, handed);
            stand(&mut span, position);
        }
    }

    /// It is about to be handed to the clients of this node.
    pub(super) fn trace_delivery(&self, trace: Option<TraceContext>, position: LogPosition) -> Option<Delivery> {
        let (tracer, trace) = (self.config.tracer.as_ref()?, trace?);
        Some(Delivery { tracer: Arc::clone(tracer), trace, position, began: Instant::now(), span: None, sends: 0 })
    }
}

/// A broadcast on its way to the clients of this node. Without any, nothing is told.
pub(crate) struct Delivery {
    tracer: Arc<Tracer>,
    trace: TraceContext,
    position: LogPosition,
    began: Instant,
    /// From the first client on.
    span: Option<ActiveSpan>,
    sends: usize,
}

impl Delivery {
    /// It goes to one more: whoever writes it tells when, for as many as are told one by one.
    pub(super) fn to(&mut self, socket: &SessionSocket) -> Option<OnWritten> {
        let (tracer, trace, began) = (&self.tracer, &self.trace, self.began);
        let span = self.span.get_or_insert_with(|| tracer.child_since(trace, "deliver", Kind::Consumer, began));
        if self.sends >= SENDS_MAX {
            return None;
        }
        self.sends += 1;
        let mut send = span.child("send", Kind::Producer);
        send.set("session.id", &*socket.sid);
        send.set("network.protocol.name", socket.link.transport().as_str());
        // Whoever writes it says that it was.
        send.fail("not written as it came: the client was gone, or reads it from the history");
        Some(OnWritten(Box::new(move || send.succeed())))
    }

    /// That is all of them.
    pub(super) fn end(mut self, sockets: u64) {
        if let Some(span) = &mut self.span {
            span.set("vedfolnir.sockets", sockets);
            stand(span, self.position);
        }
    }
}

fn stand(span: &mut ActiveSpan, position: LogPosition) {
    span.set("vedfolnir.log.index", position.index);
    span.set("vedfolnir.log.ordinal", u64::from(position.ordinal));
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn request(headers: &[(&'static str, &str)]) -> RequestInfo {
        RequestInfo {
            remote: ([127, 0, 0, 1], 1).into(),
            https: false,
            query: "".into(),
            headers: headers.iter().map(|(name, value)| (*name, Box::from(*value))).collect(),
        }
    }

    #[test]
    fn a_connection_says_in_which_trace_it_is_by_auth_or_header() {
        let other = GIVEN.replace("4bf9", "5bf9");
        let given = parse_traceparent(GIVEN);
        let auth = format!(r#"{{"token":"t","traceparent":"{GIVEN}"}}"#);
        let bare = request(&[]);
        assert_eq!(parent_of(&bare, Some(auth.as_bytes())), given);
        assert_eq!(parent_of(&request(&[("traceparent", GIVEN)]), None), given);
        assert_eq!(parent_of(&request(&[("traceparent", &other)]), Some(auth.as_bytes())), given, "auth is nearer");
        for none in
            ["{}", r#"{"traceparent":7}"#, r#"{"traceparent":"00-x"}"#, r#"["traceparent"]"#, r#""traceparent""#, "{"]
        {
            assert_eq!(parent_of(&bare, Some(none.as_bytes())), None, "{none}");
        }
    }
}
