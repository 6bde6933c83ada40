//! An event as it is emitted: name, arguments, attachments, checked once at this edge.

use bytes::Bytes;
use serde::Serialize;
use vedfolnir_cluster::state::Payload;
use vedfolnir_protocol::socket_io::ATTACHMENTS_MAX;
use vedfolnir_protocol::socket_io::args::check_event_bytes;

use super::emit::EmitError;

/// An event to emit.
///
/// Invariant: clients accept it: a valid name, JSON, at most ten attachments that its placeholders name.
#[derive(Clone, Debug)]
pub struct EventPayload {
    payload: Payload,
}

impl EventPayload {
    /// An event with arguments that serialise to JSON.
    ///
    /// # Errors
    /// [`EmitError::BadRequest`] for a reserved name or a value that JSON cannot express.
    pub fn new<T: Serialize>(event: &str, args: &[T]) -> Result<Self, EmitError> {
        let bad = |error: serde_json::Error| EmitError::BadRequest(error.to_string());
        let tail = serde_json::to_vec(args).map_err(bad)?;
        Self::with_tail(event, &tail, Vec::new())
    }

    /// An event whose arguments are a JSON array already, with placeholders for the attachments.
    ///
    /// # Errors
    /// [`EmitError::BadRequest`] when clients would not accept it.
    pub fn with_tail(event: &str, tail: &[u8], attachments: Vec<Bytes>) -> Result<Self, EmitError> {
        if attachments.len() > ATTACHMENTS_MAX {
            let count = attachments.len();
            return Err(EmitError::BadRequest(format!("{count} attachments are more than {ATTACHMENTS_MAX}")));
        }
        let rest = tail.trim_ascii().strip_prefix(b"[").unwrap_or(tail).trim_ascii_start();
        let name = serde_json::Value::from(event).to_string();
        let mut text = Vec::with_capacity(2 + name.len() + rest.len());
        text.push(b'[');
        text.extend_from_slice(name.as_bytes());
        if rest != b"]" {
            text.push(b',');
        }
        text.extend_from_slice(rest);
        check_event_bytes(&text, attachments.len()).map_err(|error| EmitError::BadRequest(error.to_string()))?;
        Ok(Self { payload: Payload { text: Bytes::from(text), attachments } })
    }

    /// One that was checked where it was made.
    pub(crate) const fn checked(payload: Payload) -> Self {
        Self { payload }
    }

    pub(crate) fn into_payload(self) -> Payload {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: &str, tail: &str) -> Result<String, EmitError> {
        let payload = EventPayload::with_tail(event, tail.as_bytes(), Vec::new())?.into_payload();
        Ok(String::from_utf8(payload.text.to_vec()).unwrap())
    }

    #[test]
    fn name_and_arguments_become_one_array() {
        assert_eq!(text("a", "[]").unwrap(), r#"["a"]"#);
        assert_eq!(text("say \"x\"", "[ 1,2]").unwrap(), r#"["say \"x\"",1,2]"#);
        let payload = EventPayload::new("n", &[1, 2]).unwrap().into_payload();
        assert_eq!(payload.text, r#"["n",1,2]"#);
    }

    #[test]
    fn what_clients_would_refuse_is_refused_here() {
        assert!(matches!(text("disconnect", "[]"), Err(EmitError::BadRequest(_))));
        assert!(matches!(text("a", "[1"), Err(EmitError::BadRequest(_))));
        let many = vec![Bytes::new(); ATTACHMENTS_MAX + 1];
        assert!(matches!(EventPayload::with_tail("a", b"[]", many), Err(EmitError::BadRequest(_))));
        let beyond = EventPayload::with_tail("a", br#"[{"_placeholder":true,"num":1}]"#, vec![Bytes::new()]);
        assert!(matches!(beyond, Err(EmitError::BadRequest(_))));
    }
}
