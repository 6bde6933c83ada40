//! What a browser is told besides the origin (CORS), and what is wrong with a list of origins.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use thiserror::Error;

use super::origin::ORIGINS_MAX;

/// How long a browser may remember a preflight's answer; none remembers longer than this.
pub const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of a list of request headers' names.
pub const REQUEST_HEADERS_BYTES_MAX: usize = 1024;

/// Why there is no such policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// Every page of the web could act as the user who is logged in.
    #[error("the origin `*` goes without credentials only (accepted: a list of origins, or credentials off)")]
    AnyWithCredentials,
    /// Every site can make a page of origin `null`.
    #[error("the origin `null` goes without credentials only (accepted: a list without it, or credentials off)")]
    NullWithCredentials,
    /// The others would mean nothing.
    #[error("the origin `*` stands among others (accepted: `*` alone, or a list of origins)")]
    AnyAmongOthers,
    /// An entry is none.
    #[error(
        "`{text}` is not an origin (accepted: https://app.example.com, http://localhost:3000, \
         https://*.example.com, null)"
    )]
    Entry {
        /// What was written.
        text: String,
    },
    /// The list is too long.
    #[error("{count} origins are too many (accepted: up to {ORIGINS_MAX})")]
    TooMany {
        /// Origins given.
        count: usize,
    },
    /// Without `POST` there is no polling.
    #[error("the allowed methods `{methods}` do not hold GET and POST, which clients need")]
    Methods {
        /// What was given.
        methods: String,
    },
    /// The list of request headers is too long for one header.
    #[error("the allowed request headers have {bytes} bytes (accepted: up to {REQUEST_HEADERS_BYTES_MAX})")]
    RequestHeaders {
        /// Bytes of the names and the commas between them.
        bytes: usize,
    },
    /// No browser remembers that long.
    #[error("{0:?} is too long for a preflight's answer (accepted: up to {MAX_AGE_MAX:?})")]
    MaxAge(Duration),
}

/// Which request headers a page may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestHeaders {
    /// Those it asks for: whether the page is allowed is decided by its origin.
    Reflect,
    /// These.
    List(Vec<HeaderName>),
}

/// What a browser is told besides the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsSettings {
    /// Whether pages of other origins may send cookies along and read the answer.
    pub credentials: bool,
    /// Methods that such pages may use.
    pub methods: Vec<Method>,
    /// Request headers that such pages may set.
    pub request_headers: RequestHeaders,
    /// How long a browser may remember this, in whole seconds; `None` leaves it to the browser (5 seconds).
    pub max_age: Option<Duration>,
}

impl Default for CorsSettings {
    fn default() -> Self {
        Self {
            credentials: false,
            methods: vec![Method::GET, Method::HEAD, Method::POST],
            request_headers: RequestHeaders::Reflect,
            max_age: Some(Duration::from_secs(600)),
        }
    }
}

impl CorsSettings {
    pub(super) fn max_age_value(&self) -> Result<Option<HeaderValue>, OriginError> {
        match self.max_age {
            Some(max_age) if max_age > MAX_AGE_MAX => Err(OriginError::MaxAge(max_age)),
            max_age => Ok(max_age.map(|max_age| HeaderValue::from(max_age.as_secs()))),
        }
    }

    pub(super) fn methods_value(&self) -> Result<HeaderValue, OriginError> {
        let methods = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(",");
        let enough = self.methods.contains(&Method::GET) && self.methods.contains(&Method::POST);
        let value = enough.then(|| HeaderValue::from_str(&methods).ok()).flatten();
        value.ok_or(OriginError::Methods { methods })
    }

    /// `None` where they are reflected.
    pub(super) fn request_headers_value(&self) -> Result<Option<HeaderValue>, OriginError> {
        let RequestHeaders::List(names) = &self.request_headers else { return Ok(None) };
        let names = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(",");
        if names.len() > REQUEST_HEADERS_BYTES_MAX {
            return Err(OriginError::RequestHeaders { bytes: names.len() });
        }
        HeaderValue::from_str(&names).map(Some).map_err(|_| OriginError::RequestHeaders { bytes: names.len() })
    }
}
