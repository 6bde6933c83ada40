//! What a handler answers: the arguments of the client's ack callback, or nothing.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::args::Args;

/// The answer to an event; dropped when the client asked for none.
///
/// Invariant: `args` is a JSON array whose placeholders name `attachments`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub(crate) args: Option<Bytes>,
    pub(crate) attachments: Vec<Bytes>,
    pub(crate) disconnects: bool,
}

impl Reply {
    /// No answer, even if one was asked for.
    #[must_use]
    pub const fn none() -> Self {
        Self { args: None, attachments: Vec::new(), disconnects: false }
    }

    /// An ack with one argument. What JSON cannot express becomes an `internal` error.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_string(value) {
            Ok(value) => {
                Self { args: Some(Bytes::from(format!("[{value}]"))), attachments: Vec::new(), disconnects: false }
            }
            Err(error) => Self::error("internal", &error.to_string()),
        }
    }

    /// An ack with several arguments, given as a tuple or a list. What JSON cannot express becomes an `internal` error.
    #[must_use]
    pub fn args<T: Serialize>(args: &T) -> Self {
        match serde_json::to_string(args) {
            Ok(args) if args.starts_with('[') => {
                Self { args: Some(Bytes::from(args)), attachments: Vec::new(), disconnects: false }
            }
            Ok(_) => Self::error("internal", "the arguments of an ack are a tuple or a list"),
            Err(error) => Self::error("internal", &error.to_string()),
        }
    }

    /// An ack without arguments.
    #[must_use]
    pub const fn empty() -> Self {
        Self { args: Some(Bytes::from_static(b"[]")), attachments: Vec::new(), disconnects: false }
    }

    /// The same, and behind it the client is disconnected: its session ends, and it is told `io server disconnect`.
    #[must_use]
    pub fn and_disconnect(self) -> Self {
        Self { disconnects: true, ..self }
    }

    /// An ack `{error: {code, message}}`.
    #[must_use]
    pub fn error(code: &str, message: &str) -> Self {
        Self::json(&json!({"error": {"code": code, "message": message}}))
    }
}

/// The same arguments, attachments among them.
impl From<Args> for Reply {
    fn from(args: Args) -> Self {
        let (array, attachments) = args.tail(0);
        Self { args: Some(array), attachments, disconnects: false }
    }
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Self::none()
    }
}
