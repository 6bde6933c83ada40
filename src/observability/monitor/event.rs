//! What is told of a client: the fields of the log's schema, and the line that is made of them.

use std::net::IpAddr;
use std::time::Duration;

use crate::observability::logging::{Category, EventType, Level};

/// Who a client is, as it was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User<'a> {
    /// A number.
    Number(i64),
    /// A text.
    Text(&'a str),
}

impl From<i64> for User<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a str> for User<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// A line, as it is filled.
#[derive(Clone, Copy, Debug)]
pub struct LogEvent<'a> {
    pub(super) event_type: &'a str,
    message: &'a str,
    session_id: Option<&'a str>,
    user_id: Option<User<'a>>,
    connection_id: Option<&'a str>,
    namespace: Option<&'a str>,
    client_ip: Option<IpAddr>,
    error_code: Option<&'a str>,
    pub(super) scope: Option<&'a str>,
    level: Option<Level>,
}

impl<'a> LogEvent<'a> {
    /// With a type of the catalogue, and a sentence for people.
    #[must_use]
    pub const fn new(event_type: &'a str, message: &'a str) -> Self {
        Self {
            event_type,
            message,
            session_id: None,
            user_id: None,
            connection_id: None,
            namespace: None,
            client_ip: None,
            error_code: None,
            scope: None,
            level: None,
        }
    }

    /// The client's session; never the secret by which it is resumed.
    #[must_use]
    pub const fn session_id(mut self, session_id: &'a str) -> Self {
        self.session_id = Some(session_id);
        self
    }

    /// Who the client is.
    #[must_use]
    pub fn user_id(mut self, user: impl Into<User<'a>>) -> Self {
        self.user_id = Some(user.into());
        self
    }

    /// The connection.
    #[must_use]
    pub const fn connection_id(mut self, connection_id: &'a str) -> Self {
        self.connection_id = Some(connection_id);
        self
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(mut self, namespace: &'a str) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Where the client is; masked as the configuration says.
    #[must_use]
    pub const fn client_ip(mut self, address: IpAddr) -> Self {
        self.client_ip = Some(address);
        self
    }

    /// What failed, for programs.
    #[must_use]
    pub const fn error_code(mut self, code: &'a str) -> Self {
        self.error_code = Some(code);
        self
    }

    /// What a limit is kept for, where a type has several: `ip`, `user`, `connects_per_ip` and so on.
    #[must_use]
    pub const fn scope(mut self, scope: &'a str) -> Self {
        self.scope = Some(scope);
        self
    }

    /// How grave it is, instead of what the catalogue says of its type.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Writes the line.
    pub(super) fn tell(&self, category: Category) {
        let usual = EventType::find(self.event_type).map_or(Level::Info, |event| event.level);
        let level = self.level.unwrap_or(usual);
        let user_id = match &self.user_id {
            None => None,
            Some(User::Number(number)) => Some(number as &dyn tracing::Value),
            Some(User::Text(text)) => Some(text as &dyn tracing::Value),
        };
        let client_ip = self.client_ip.as_ref().map(tracing::field::display);
        // A place in the code has one level for all who listen; the record's own level is in the field.
        macro_rules! line {
            ($macro:ident) => {
                tracing::$macro!(
                    target: "vedfolnir::application",
                    category = category.name(),
                    event_type = self.event_type,
                    level = level.name(),
                    session_id = self.session_id,
                    user_id,
                    connection_id = self.connection_id,
                    namespace = self.namespace,
                    client_ip,
                    error_code = self.error_code,
                    scope = self.scope,
                    "{}",
                    self.message
                )
            };
        }
        match level {
            Level::Trace | Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warning => line!(warn),
            Level::Error | Level::Critical => line!(error),
        }
    }
}

/// Something that happened to a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionEvent<'a> {
    pub(super) event_type: &'a str,
    pub(super) success: bool,
    line: LogEvent<'a>,
}

impl<'a> ConnectionEvent<'a> {
    /// `connect`, `disconnect`, or a type of the catalogue; and whether it succeeded.
    #[must_use]
    pub const fn new(event_type: &'a str, success: bool) -> Self {
        Self { event_type, success, line: LogEvent::new(event_type, "") }
    }

    /// The client's session.
    #[must_use]
    pub const fn session_id(mut self, session_id: &'a str) -> Self {
        self.line = self.line.session_id(session_id);
        self
    }

    /// Who the client is.
    #[must_use]
    pub fn user_id(mut self, user: impl Into<User<'a>>) -> Self {
        self.line = self.line.user_id(user);
        self
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(mut self, namespace: &'a str) -> Self {
        self.line = self.line.namespace(namespace);
        self
    }

    /// Where the client is.
    #[must_use]
    pub const fn client_ip(mut self, address: IpAddr) -> Self {
        self.line = self.line.client_ip(address);
        self
    }

    pub(super) const fn line(&self, event_type: &'a str, message: &'a str) -> LogEvent<'a> {
        LogEvent { event_type, message, ..self.line }
    }
}

/// A client's message that an application handled.
#[derive(Clone, Copy, Debug)]
pub struct MessageEvent<'a> {
    pub(super) event_name: &'a str,
    pub(super) bytes: usize,
    pub(super) processing_time: Duration,
    pub(super) success: bool,
    pub(super) namespace: &'a str,
    pub(super) session_id: Option<&'a str>,
    user_id: Option<User<'a>>,
}

impl<'a> MessageEvent<'a> {
    /// Its name, how many bytes it has, how long its handling took. It succeeded, in the namespace `/`, unless said otherwise.
    #[must_use]
    pub const fn new(event_name: &'a str, bytes: usize, processing_time: Duration) -> Self {
        Self { event_name, bytes, processing_time, success: true, namespace: "/", session_id: None, user_id: None }
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(mut self, namespace: &'a str) -> Self {
        self.namespace = namespace;
        self
    }

    /// Whether it was handled.
    #[must_use]
    pub const fn success(mut self, success: bool) -> Self {
        self.success = success;
        self
    }

    /// The client's session.
    #[must_use]
    pub const fn session_id(mut self, session_id: &'a str) -> Self {
        self.session_id = Some(session_id);
        self
    }

    /// Who the client is.
    #[must_use]
    pub fn user_id(mut self, user: impl Into<User<'a>>) -> Self {
        self.user_id = Some(user.into());
        self
    }

    pub(super) fn user_text(&self) -> Option<String> {
        self.user_id.map(|user| match user {
            User::Number(number) => number.to_string(),
            User::Text(text) => text.to_owned(),
        })
    }

    pub(super) fn line(&self, event_type: &'a str, message: &'a str) -> LogEvent<'a> {
        LogEvent {
            session_id: self.session_id,
            user_id: self.user_id,
            namespace: Some(self.namespace),
            ..LogEvent::new(event_type, message)
        }
    }
}
