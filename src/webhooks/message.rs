//! An event as a receiver gets it, and what it has to wait behind.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use vedfolnir_cluster::state::{Event, EventId, EventKind, SessionRef};

use super::WebhookKind;

/// Whose events are told in their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A namespace and a session's public id.
    Session(Arc<str>, Arc<str>),
    /// A namespace and a room.
    Room(Arc<str>, Arc<str>),
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: EventId,
    pub(super) kind: WebhookKind,
    /// Committed cluster time when it happened, milliseconds.
    pub(super) at_ms: u64,
    /// The same for every attempt.
    pub(super) body: Bytes,
}

#[derive(Serialize)]
struct Body<'a> {
    version: u8,
    id: String,
    r#type: &'static str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_down: Option<bool>,
}

impl<'a> Body<'a> {
    fn new(event: &Event, namespace: &'a str) -> Self {
        Self {
            version: 1,
            id: event.id.to_string(),
            r#type: WebhookKind::of(&event.kind).as_str(),
            namespace,
            sid: None,
            user: None,
            room: None,
            node_down: None,
        }
    }

    fn of_session(event: &Event, session: &'a SessionRef, node_down: Option<bool>) -> Self {
        let (sid, user) = (Some(session.sid.as_ref()), session.user.as_deref());
        Self { sid, user, node_down, ..Self::new(event, &session.namespace) }
    }
}

/// What an event is about.
pub(super) fn subject_of(event: &Event) -> Subject {
    match &event.kind {
        EventKind::Disconnected { session, .. } | EventKind::Expired { session } | EventKind::Closed { session } => {
            Subject::Session(Arc::clone(&session.namespace), Arc::clone(&session.sid))
        }
        EventKind::RoomOccupied { namespace, room } | EventKind::RoomVacated { namespace, room } => {
            Subject::Room(Arc::clone(namespace), Arc::clone(room))
        }
    }
}

impl Message {
    /// Of an event.
    pub(super) fn of(event: &Event) -> Self {
        let body = match &event.kind {
            EventKind::Disconnected { session, node_down, .. } => Body::of_session(event, session, Some(*node_down)),
            EventKind::Expired { session } | EventKind::Closed { session } => Body::of_session(event, session, None),
            EventKind::RoomOccupied { namespace, room } | EventKind::RoomVacated { namespace, room } => {
                Body { room: Some(room), ..Body::new(event, namespace) }
            }
        };
        // Texts: nothing that JSON does not take.
        let body = serde_json::to_vec(&body).unwrap_or_default().into();
        Self { id: event.id, kind: WebhookKind::of(&event.kind), at_ms: event.at_ms, body }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use vedfolnir_cluster::state::LogPosition;

    use super::*;

    fn event(kind: EventKind) -> Event {
        let id = EventId { history_id: 255, position: LogPosition::new(7, 1), ordinal: 2 };
        Event { id, at_ms: 5, kind }
    }

    fn json(kind: EventKind) -> serde_json::Value {
        serde_json::from_slice(&Message::of(&event(kind)).body).unwrap()
    }

    #[test]
    fn a_body_says_what_happened_to_whom_and_leaves_out_what_does_not_apply() {
        let session = SessionRef { namespace: "/".into(), sid: "s1".into(), user: Some("ada".into()), epoch: 1 };
        let id = "00000000000000ff-7.1.2";
        assert_eq!(
            json(EventKind::Expired { session: session.clone() }),
            serde_json::json!({"version": 1, "id": id, "type": "session.expired", "namespace": "/", "sid": "s1", "user": "ada"})
        );
        let nobody = SessionRef { user: None, ..session };
        assert_eq!(
            json(EventKind::Closed { session: nobody }),
            serde_json::json!({"version": 1, "id": id, "type": "session.closed", "namespace": "/", "sid": "s1"})
        );
        let room = || EventKind::RoomVacated { namespace: "/a".into(), room: "r".into() };
        assert_eq!(
            json(room()),
            serde_json::json!({"version": 1, "id": id, "type": "room.vacated", "namespace": "/a", "room": "r"})
        );
        assert_eq!(subject_of(&event(room())), Subject::Room("/a".into(), "r".into()));
    }
}
