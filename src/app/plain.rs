//! Engine.IO without Socket.IO: messages on a path of their own, each answered by a function.

use bytes::Bytes;
use vedfolnir_protocol::Message;

use super::AppBuilder;

/// A message of a connection that speaks Engine.IO alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlainMessage {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

pub(crate) type PlainHandler = dyn Fn(PlainMessage) -> Option<PlainMessage> + Send + Sync;

impl PlainMessage {
    /// `None`: a text that is none, which transports do not let in.
    pub(crate) fn of(message: Message) -> Option<Self> {
        match message {
            Message::Text(text) => String::from_utf8(text.into()).ok().map(Self::Text),
            Message::Binary(bytes) => Some(Self::Binary(bytes)),
        }
    }

    pub(crate) fn into_message(self) -> Message {
        match self {
            Self::Text(text) => Message::Text(text.into()),
            Self::Binary(bytes) => Message::Binary(bytes),
        }
    }
}

impl AppBuilder {
    /// Serves Engine.IO alone to requests whose path begins with `path` (and not with the path of Socket.IO), over every
    /// transport, with its heartbeats and the upgrade; what `answer` says to a message is the next that the client gets. It
    /// must be quick and must not wait.
    ///
    /// Such a connection has no session, is in no room and is not resumed: it is for what speaks no Socket.IO, such as
    /// conformance suites of the transport.
    ///
    /// ```no_run
    /// use vedfolnir::app::App;
    ///
    /// let app = App::builder().engine_io("/engine.io/", Some);
    /// # drop(app.build());
    /// ```
    #[must_use]
    pub fn engine_io(
        mut self,
        path: &str,
        answer: impl Fn(PlainMessage) -> Option<PlainMessage> + Send + Sync + 'static,
    ) -> Self {
        self.plain.push((path.into(), std::sync::Arc::new(answer)));
        self
    }
}
