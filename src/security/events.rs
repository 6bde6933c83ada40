//! What is refused, and what is odd enough to be told: one name each, for counters, the security log and the client.
//!
//! The names are stable and few: they are labels of metrics. What varies (an address, a host, a reason) belongs into the
//! log line, where the caller bounds how many there are.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// What a limit is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateScope {
    /// Handshakes of one address.
    ConnectsPerIp,
    /// Messages of one session.
    MessagesPerSession,
    /// Bytes of one session.
    BytesPerSession,
}

/// What is counted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionScope {
    /// Connections of one address.
    Ip,
    /// Connections of one user.
    User,
    /// Connections of the node.
    Node,
}

/// A refusal, or something odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecurityEvent {
    /// A page of an origin that is not allowed.
    BlockedOrigin,
    /// A host that the service does not answer for, or none.
    BlockedHost,
    /// Plain HTTP where HTTPS is asked for, and no redirect was possible.
    HttpsRequired,
    /// Too many in too short a time.
    RateLimited(RateScope),
    /// Too many at once.
    ConnectionLimit(ConnectionScope),
    /// A login's cookie without a proof of who asked.
    CsrfFailure,
    /// A login that is not good.
    AuthFailure,
    /// A login whose time was over on a live connection.
    TokenExpired,
    /// A client that is known and may not do what it asked for.
    Forbidden,
    /// Proxy headers of a peer that is no trusted proxy; they were ignored.
    ProxyHeaderUntrusted,
    /// Proxy headers of a trusted proxy that contradict each other or cannot be read.
    ProxyHeaderInvalid,
    /// A PROXY protocol header of a peer that is no trusted proxy.
    ProxyProtocolUntrusted,
    /// No PROXY protocol header where one must be.
    ProxyProtocolMissing,
    /// A broken PROXY protocol header.
    ProxyProtocolInvalid,
    /// A table of a limit is full, so that newcomers share one bucket.
    LimitTableFull,
    /// An affinity cookie or key that nobody here has made; it was ignored.
    AffinityForged,
}

impl SecurityEvent {
    /// Every event: metrics are there, at zero, before the first one happens.
    pub const ALL: [Self; 20] = [
        Self::BlockedOrigin,
        Self::BlockedHost,
        Self::HttpsRequired,
        Self::RateLimited(RateScope::ConnectsPerIp),
        Self::RateLimited(RateScope::MessagesPerSession),
        Self::RateLimited(RateScope::BytesPerSession),
        Self::ConnectionLimit(ConnectionScope::Ip),
        Self::ConnectionLimit(ConnectionScope::User),
        Self::ConnectionLimit(ConnectionScope::Node),
        Self::CsrfFailure,
        Self::AuthFailure,
        Self::ProxyHeaderUntrusted,
        Self::ProxyHeaderInvalid,
        Self::ProxyProtocolUntrusted,
        Self::ProxyProtocolMissing,
        Self::ProxyProtocolInvalid,
        Self::LimitTableFull,
        Self::TokenExpired,
        Self::Forbidden,
        Self::AffinityForged,
    ];

    /// The event's type as a metric's label.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::BlockedOrigin => "blocked_origin",
            Self::BlockedHost => "blocked_host",
            Self::HttpsRequired => "https_required",
            Self::RateLimited(_) => "rate_limited",
            Self::ConnectionLimit(_) => "connection_limit",
            Self::CsrfFailure => "csrf_failure",
            Self::AuthFailure => "auth_failure",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::ProxyHeaderUntrusted => "proxy_header_untrusted",
            Self::ProxyHeaderInvalid => "proxy_header_invalid",
            Self::ProxyProtocolUntrusted => "proxy_protocol_untrusted",
            Self::ProxyProtocolMissing => "proxy_protocol_missing",
            Self::ProxyProtocolInvalid => "proxy_protocol_invalid",
            Self::LimitTableFull => "limit_table_full",
            Self::AffinityForged => "affinity_forged",
        }
    }

    /// Its type in the log's catalogue.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::AuthFailure => "authentication_failed",
            other => other.kind(),
        }
    }

    /// In the log, of what was refused.
    #[must_use]
    pub const fn error_code(self) -> Option<&'static str> {
        match self {
            Self::BlockedOrigin => Some("ORIGIN_BLOCKED"),
            Self::BlockedHost => Some("HOST_BLOCKED"),
            Self::HttpsRequired => Some("HTTPS_REQUIRED"),
            Self::RateLimited(_) => Some("RATE_LIMITED"),
            Self::ConnectionLimit(_) => Some("CONNECTION_LIMIT"),
            Self::CsrfFailure => Some("CSRF_FAILED"),
            Self::AuthFailure => Some("AUTH_FAILED"),
            Self::TokenExpired => Some("TOKEN_EXPIRED"),
            Self::Forbidden => Some("FORBIDDEN"),
            Self::ProxyProtocolUntrusted | Self::ProxyProtocolMissing | Self::ProxyProtocolInvalid => {
                Some("PROXY_PROTOCOL")
            }
            Self::ProxyHeaderUntrusted | Self::ProxyHeaderInvalid | Self::LimitTableFull | Self::AffinityForged => None,
        }
    }

    /// What it is kept for, where there are several.
    #[must_use]
    pub const fn scope(self) -> Option<&'static str> {
        match self {
            Self::RateLimited(RateScope::ConnectsPerIp) => Some("connects_per_ip"),
            Self::RateLimited(RateScope::MessagesPerSession) => Some("messages_per_session"),
            Self::RateLimited(RateScope::BytesPerSession) => Some("bytes_per_session"),
            Self::ConnectionLimit(ConnectionScope::Ip) => Some("ip"),
            Self::ConnectionLimit(ConnectionScope::User) => Some("user"),
            Self::ConnectionLimit(ConnectionScope::Node) => Some("node"),
            _ => None,
        }
    }

    /// How an HTTP request that ends so is answered. `None`: there is no request yet (the connection is closed), or
    /// nothing is refused.
    #[must_use]
    pub const fn status(self) -> Option<StatusCode> {
        match self {
            Self::BlockedOrigin | Self::HttpsRequired | Self::CsrfFailure => Some(StatusCode::FORBIDDEN),
            // A malformed one is answered with `HostRefusal::status`.
            Self::BlockedHost => Some(StatusCode::MISDIRECTED_REQUEST),
            Self::RateLimited(_) | Self::ConnectionLimit(ConnectionScope::Ip | ConnectionScope::User) => {
                Some(StatusCode::TOO_MANY_REQUESTS)
            }
            Self::ConnectionLimit(ConnectionScope::Node) => Some(StatusCode::SERVICE_UNAVAILABLE),
            Self::AuthFailure => Some(StatusCode::UNAUTHORIZED),
            Self::ProxyHeaderUntrusted
            | Self::ProxyHeaderInvalid
            | Self::ProxyProtocolUntrusted
            | Self::ProxyProtocolMissing
            | Self::ProxyProtocolInvalid
            | Self::LimitTableFull
            | Self::AffinityForged
            | Self::TokenExpired
            | Self::Forbidden => None,
        }
    }

    /// Whether a connection or a request was refused for it, and counts as blocked.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        !matches!(
            self,
            Self::ProxyHeaderUntrusted | Self::ProxyHeaderInvalid | Self::LimitTableFull | Self::AffinityForged
        )
    }

    /// What the client is told: true, and no more than it must know.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::BlockedOrigin => "pages of this origin may not connect",
            Self::BlockedHost => "this server does not answer for the requested host",
            Self::HttpsRequired => "connect over HTTPS",
            Self::RateLimited(_) => "too many in too short a time; try again later",
            Self::ConnectionLimit(_) => "too many connections at once",
            Self::CsrfFailure => "a request with cookies needs an allowed Origin or a CSRF token",
            Self::AuthFailure => "authentication failed",
            Self::TokenExpired => "the token has expired",
            Self::Forbidden => "not allowed",
            Self::ProxyHeaderUntrusted | Self::ProxyHeaderInvalid => "proxy headers were ignored",
            Self::ProxyProtocolUntrusted | Self::ProxyProtocolMissing | Self::ProxyProtocolInvalid => {
                "the connection does not begin as it must"
            }
            Self::LimitTableFull => "a limit is shared",
            Self::AffinityForged => "an affinity cookie was ignored",
        }
    }

    /// The body of an HTTP refusal: `{"error":"KIND","message":"..."}`. Nothing in it comes from the client.
    #[must_use]
    pub fn body(self) -> String {
        format!(r#"{{"error":"{}","message":"{}"}}"#, self.kind(), self.message())
    }

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::BlockedOrigin => 0,
            Self::BlockedHost => 1,
            Self::HttpsRequired => 2,
            Self::RateLimited(scope) => 3 + scope as usize,
            Self::ConnectionLimit(scope) => 6 + scope as usize,
            Self::CsrfFailure => 9,
            Self::AuthFailure => 10,
            Self::ProxyHeaderUntrusted => 11,
            Self::ProxyHeaderInvalid => 12,
            Self::ProxyProtocolUntrusted => 13,
            Self::ProxyProtocolMissing => 14,
            Self::ProxyProtocolInvalid => 15,
            Self::LimitTableFull => 16,
            Self::TokenExpired => 17,
            Self::Forbidden => 18,
            Self::AffinityForged => 19,
        }
    }
}

/// How often each event happened.
#[derive(Debug, Default)]
pub struct SecurityCounters([AtomicU64; SecurityEvent::ALL.len()]);

impl SecurityCounters {
    /// One more.
    pub fn count(&self, event: SecurityEvent) {
        self.0[event.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it happened.
    #[must_use]
    pub fn get(&self, event: SecurityEvent) -> u64 {
        self.0[event.index()].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_event_has_its_place_and_its_own_labels() {
        for (index, event) in SecurityEvent::ALL.into_iter().enumerate() {
            assert_eq!(event.index(), index, "{event:?}");
        }
        let labels: HashSet<_> = SecurityEvent::ALL.iter().map(|event| (event.kind(), event.scope())).collect();
        assert_eq!(labels.len(), SecurityEvent::ALL.len());
    }

    #[test]
    fn names_are_snake_case_and_bodies_are_json_as_they_stand() {
        let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        for event in SecurityEvent::ALL {
            assert!(is_plain(event.kind()) && event.scope().is_none_or(is_plain), "{event:?}");
            assert!(!event.message().contains(['"', '\\']) && event.message().is_ascii(), "{event:?}");
        }
        let expected = r#"{"error":"https_required","message":"connect over HTTPS"}"#;
        assert_eq!(SecurityEvent::HttpsRequired.body(), expected);
    }

    #[test]
    fn what_has_a_status_is_a_refusal() {
        for event in SecurityEvent::ALL {
            if let Some(status) = event.status() {
                assert!(event.is_refusal() && !status.is_success(), "{event:?}");
            }
        }
        assert!(SecurityEvent::ProxyProtocolInvalid.is_refusal());
        assert!(!SecurityEvent::ProxyHeaderUntrusted.is_refusal());
    }

    #[test]
    fn events_are_counted_apart() {
        let counters = SecurityCounters::default();
        counters.count(SecurityEvent::RateLimited(RateScope::BytesPerSession));
        counters.count(SecurityEvent::RateLimited(RateScope::BytesPerSession));
        counters.count(SecurityEvent::ConnectionLimit(ConnectionScope::Node));
        let total: u64 = SecurityEvent::ALL.into_iter().map(|event| counters.get(event)).sum();
        assert_eq!(total, 3);
        assert_eq!(counters.get(SecurityEvent::RateLimited(RateScope::BytesPerSession)), 2);
    }
}
