//! Which web pages may connect, and what a browser is told about it (CORS: the Fetch standard, section 3.3).
//!
//! A browser names the page's origin in `Origin` on every WebSocket handshake, every POST and every request of another
//! origin's page; a page cannot change it. A request without one comes from no page, or from a page of the same origin.
//! One rule holds for polling and WebSocket alike: [`OriginPolicy::judge`], answered with 403 where it refuses.
//!
//! The host that a request was sent to is no proof by itself: after DNS rebinding, a foreign page's origin and the
//! `Host` header agree. So the own host counts only as [`OwnHost`], which is made of a host from the list of allowed
//! hosts.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

use super::host::{Authority, Host, HostPattern, split_port};
use super::origin_settings::{CorsSettings, OriginError, REQUEST_HEADERS_BYTES_MAX};

/// Origins in a list.
pub const ORIGINS_MAX: usize = 256;

/// Which web pages may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPolicy {
    allowed: Allowed,
    credentials: bool,
    methods: HeaderValue,
    /// `None`: those asked for.
    request_headers: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Any,
    List { entries: Vec<Entry>, null: bool },
}

/// One origin of the list, or all of one wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    scheme: String,
    host: HostPattern,
    port: Option<u16>,
}

/// The own origin of a request: a host that the list of allowed hosts holds, and whether it came over HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnHost<'a> {
    /// The host asked for.
    pub authority: Authority<'a>,
    /// Whether the client used HTTPS.
    pub https: bool,
}

/// What a request's `Origin` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginVerdict {
    /// There is none.
    Absent,
    /// The list holds it.
    Listed,
    /// It is the service's own.
    Own,
    /// Every page is allowed, and this is one of them: nothing is known of it.
    AnyPage,
    /// It is not allowed, or no origin at all.
    Refused,
}

impl OriginVerdict {
    /// Whether the request may come in.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        self != Self::Refused
    }
}

/// An origin as a browser writes it (RFC 6454, section 6.2).
struct Origin<'a> {
    scheme: &'a str,
    authority: Authority<'a>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        is_scheme(scheme).then_some(Self { scheme, authority: Authority::parse(authority)? })
    }

    fn port(&self) -> Option<u16> {
        self.authority.port.or_else(|| default_port(self.scheme))
    }

    /// An HTTPS page may use a service that believes it is asked over HTTP (TLS ends in front of it), never the
    /// reverse.
    fn is_own(&self, own: &OwnHost<'_>) -> bool {
        let is_https = self.scheme.eq_ignore_ascii_case("https");
        let is_secure_enough = is_https || (!own.https && self.scheme.eq_ignore_ascii_case("http"));
        let own_port = own.authority.port.or_else(|| default_port(self.scheme));
        is_secure_enough && self.authority.host == own.authority.host && self.port() == own_port
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self, OriginError> {
        let read = || {
            let (scheme, rest) = text.split_once("://")?;
            let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest))?;
            let scheme = is_scheme(scheme).then(|| scheme.to_ascii_lowercase())?;
            let port = port.or_else(|| default_port(&scheme));
            Some(Self { host: HostPattern::parse(host)?, port, scheme })
        };
        read().ok_or_else(|| OriginError::Entry { text: text.to_owned() })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(origin.scheme)
            && self.port == origin.port()
            && self.host.matches(origin.authority.host)
    }
}

impl Default for OriginPolicy {
    /// Pages of the service's own host only; what browsers hear is that of [`CorsSettings::default`].
    fn default() -> Self {
        Self {
            allowed: Allowed::List { entries: Vec::new(), null: false },
            credentials: false,
            methods: HeaderValue::from_static("GET,HEAD,POST"),
            request_headers: None,
            max_age: Some(HeaderValue::from_static("600")),
        }
    }
}

impl OriginPolicy {
    /// Pages of any site, without credentials: for services that guard themselves.
    #[must_use]
    pub fn open() -> Self {
        Self { allowed: Allowed::Any, ..Self::default() }
    }

    /// Pages of any site; browsers send no credentials with their requests.
    ///
    /// # Errors
    /// [`OriginError::AnyWithCredentials`], and what is wrong with `cors`.
    pub fn any(cors: &CorsSettings) -> Result<Self, OriginError> {
        if cors.credentials {
            return Err(OriginError::AnyWithCredentials);
        }
        Self::with(Allowed::Any, cors)
    }

    /// Pages of these origins, and of the service's own host.
    ///
    /// An entry is `SCHEME://HOST[:PORT]`, compared without regard to case; the default port may be written or not, and
    /// a slash may follow. `https://*.example.com` stands for every host with exactly one label in place of the star:
    /// `https://a.example.com`, neither `https://example.com` nor `https://a.b.example.com`, and no other port. `null`
    /// stands for pages without an origin (sandboxed frames, files) and is refused otherwise; any site can make such a
    /// page, so it goes without credentials only. `*` alone is [`Self::any`].
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn list<S: AsRef<str>>(entries: &[S], cors: &CorsSettings) -> Result<Self, OriginError> {
        let entries: Vec<&str> = entries.iter().map(|entry| entry.as_ref().trim()).filter(|e| !e.is_empty()).collect();
        if entries.contains(&"*") {
            return if entries.len() == 1 { Self::any(cors) } else { Err(OriginError::AnyAmongOthers) };
        }
        if entries.len() > ORIGINS_MAX {
            return Err(OriginError::TooMany { count: entries.len() });
        }
        let null = entries.contains(&"null");
        if null && cors.credentials {
            return Err(OriginError::NullWithCredentials);
        }
        let entries =
            entries.into_iter().filter(|entry| *entry != "null").map(Entry::parse).collect::<Result<_, _>>()?;
        Self::with(Allowed::List { entries, null }, cors)
    }

    /// Pages that a server at this host and port serves itself, and their names on the own machine: `localhost`,
    /// `127.0.0.1` and `[::1]`. `0.0.0.0` and `::` name no host, and add none.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn generated(host: &str, port: u16, https: bool, cors: &CorsSettings) -> Result<Self, OriginError> {
        let scheme = if https { "https" } else { "http" };
        let bracketed =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let parsed = Host::parse(&bracketed).ok_or_else(|| OriginError::Entry { text: host.to_owned() })?;
        let is_wildcard = matches!(parsed, Host::Ip(address) if address.is_unspecified());
        let named = (!is_wildcard).then_some(bracketed.as_str());
        let hosts = named.into_iter().chain(["localhost", "127.0.0.1", "[::1]"]);
        let entries: Vec<_> = hosts.map(|host| format!("{scheme}://{host}:{port}")).collect();
        Self::list(&entries, cors)
    }

    fn with(allowed: Allowed, cors: &CorsSettings) -> Result<Self, OriginError> {
        Ok(Self {
            allowed,
            credentials: cors.credentials,
            methods: cors.methods_value()?,
            request_headers: cors.request_headers_value()?,
            max_age: cors.max_age_value()?,
        })
    }

    /// What a request's `Origin` says; `own` is the host it was sent to, if that is an allowed one.
    #[must_use]
    pub fn judge(&self, headers: &HeaderMap, own: Option<&OwnHost<'_>>) -> OriginVerdict {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return OriginVerdict::Absent };
        if origins.next().is_some() {
            return OriginVerdict::Refused;
        }
        let Allowed::List { entries, null } = &self.allowed else { return OriginVerdict::AnyPage };
        let Ok(text) = origin.to_str() else { return OriginVerdict::Refused };
        if text == "null" {
            return if *null { OriginVerdict::Listed } else { OriginVerdict::Refused };
        }
        let Some(origin) = Origin::parse(text) else { return OriginVerdict::Refused };
        if entries.iter().any(|entry| entry.matches(&origin)) {
            OriginVerdict::Listed
        } else if own.is_some_and(|own| origin.is_own(own)) {
            OriginVerdict::Own
        } else {
            OriginVerdict::Refused
        }
    }

    /// Whether a request with these headers may come in.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap, own: Option<&OwnHost<'_>>) -> bool {
        self.judge(headers, own).is_allowed()
    }

    /// Adds what the browser must hear to let the page read the answer, and what a cache must know: with a list, the
    /// answer depends on `Origin` also where there is none.
    pub fn apply(&self, request: &HeaderMap, own: Option<&OwnHost<'_>>, response: &mut HeaderMap) {
        let verdict = self.judge(request, own);
        if self.allowed == Allowed::Any {
            if verdict == OriginVerdict::AnyPage {
                response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            return;
        }
        response.append(VARY, HeaderValue::from_static("Origin"));
        if let (Some(origin), OriginVerdict::Listed | OriginVerdict::Own) = (request.get(ORIGIN), verdict) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.credentials {
                response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
    }

    /// Adds the answer to a preflight; a page that is not allowed hears nothing.
    pub fn apply_preflight(&self, request: &HeaderMap, own: Option<&OwnHost<'_>>, response: &mut HeaderMap) {
        self.apply(request, own, response);
        if !self.allows(request, own) {
            return;
        }
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        if let Some(max_age) = &self.max_age {
            response.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        match &self.request_headers {
            Some(names) => {
                response.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            None => {
                response.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
                if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| is_name_list(asked)) {
                    response.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
                }
            }
        }
    }
}

/// Header names with commas between them, as browsers write them: nothing else is given back.
fn is_name_list(value: &HeaderValue) -> bool {
    let is_name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(byte);
    value.len() <= REQUEST_HEADERS_BYTES_MAX && value.as_bytes().iter().all(is_name_byte)
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
