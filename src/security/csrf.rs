//! Cross-site request forgery: who made the browser send a request that carries a login's cookie.
//!
//! # The threat
//!
//! A browser sends a site's cookies with every request to it, whoever caused the request. If the service, or the
//! application behind it, takes a cookie for a login, then any page of the web that the user visits can act as the
//! user: it opens a WebSocket, which CORS does not hold back and whose answers it can read; or it opens a polling
//! session or posts into one with `text/plain`, which needs no preflight. Clients that log in with a token in the
//! CONNECT packet or in `Authorization` have nothing to fear: no browser sends that by itself.
//!
//! # The rule
//!
//! A request needs a proof when it carries one of the configured cookies **and** opens a session (polling or
//! WebSocket), moves one to WebSocket, or posts. Polls (GET with a session id) need none: they change nothing but the
//! queue of a session whose unguessable id the page would have to know, and no other site can read their answer. One of
//! these is a proof, in this order:
//!
//! 1. `Origin` is a listed one or the service's own. Under `*` no origin is listed, so none is a proof.
//! 2. There is no `Origin`, and `Sec-Fetch-Site` is `same-origin` (the Fetch Metadata standard); or `none` on a GET,
//!    which the user typed. `same-site` is no proof: another subdomain is another's. Pages can set neither header.
//! 3. The header `X-CSRFToken` (or `X-CSRF-Token`) holds the same token as the cookie, made by this cluster for this
//!    login and not expired. Another site's page can neither read the cookie nor set the header without a preflight.
//!
//! A request with none of them is refused with 403: also one from an old browser that sends neither header, and one
//! from a program that sends the cookie itself, for which the token is there. `Referer` is no proof: it is often cut
//! off. A foreign `Origin` is refused before, by [`super::origin`], whether there is a cookie or not.
//!
//! # The token
//!
//! [`CsrfGuard::issue`] makes one at a handshake that carries the login's cookie. Its cookie is readable by scripts,
//! since a script must copy it into the header; it is `SameSite=Lax`, and `Secure` over HTTPS. It is bound to all
//! configured cookies: who logs in anew needs a new one.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ring::digest;
use thiserror::Error;

use super::cookies;
use super::csrf_token::{BINDING_BYTES, CsrfKey, NONCE_BYTES, TOKEN_BYTES, TokenError, is_same};
use super::origin::OriginVerdict;

/// The headers that may hold the token.
pub const TOKEN_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-csrftoken"), HeaderName::from_static("x-csrf-token")];
/// Cookies that may be configured.
pub const AUTH_COOKIES_MAX: usize = 8;
/// Seconds that a token may be good for (30 days).
pub const TTL_SECONDS_MAX: u64 = 30 * 86_400;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Cookies of the token's name that are looked at: a subdomain may have set others.
const TOKEN_COOKIES_MAX: usize = 4;

/// Why there is no such guard.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CsrfConfigError {
    /// A cookie's name is none.
    #[error("`{name}` is not a cookie's name (accepted: letters, digits and !#$%&'*+-.^_`|~)")]
    CookieName {
        /// What was written.
        name: String,
    },
    /// No cookie, or too many.
    #[error("{count} authentication cookies are configured (accepted: 1 to {AUTH_COOKIES_MAX})")]
    AuthCookies {
        /// Cookies given.
        count: usize,
    },
    /// The token's cookie would be taken for a login, or is one of them.
    #[error("`{name}` is both an authentication cookie and the CSRF token's cookie")]
    SameCookie {
        /// The name.
        name: String,
    },
    /// A token must be good for some time.
    #[error("a CSRF token's {seconds} seconds are out of range (accepted: 60 to {TTL_SECONDS_MAX})")]
    Ttl {
        /// What was given.
        seconds: u64,
    },
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It opens a session, or moves one to WebSocket.
    Opens,
    /// It posts into a session.
    Posts,
    /// It polls, asks for a preflight, or anything else that changes nothing.
    Reads,
}

/// Why a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It carries no cookie that counts, or changes nothing.
    NotNeeded,
    /// `Origin` is the proof.
    Origin,
    /// `Sec-Fetch-Site` is the proof.
    FetchSite,
    /// The token is the proof.
    Token,
}

/// Why a request is refused, with 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CsrfRefusal {
    /// It has no token, and no other proof.
    #[error("the request carries a login's cookie, but neither an allowed Origin nor a CSRF token")]
    NoProof,
    /// It has a token that is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A new token.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its text, for whoever hands it to the page in another way.
    pub token: String,
    /// The value of `Set-Cookie`.
    pub set_cookie: HeaderValue,
}

/// Judges requests that carry a login's cookie.
#[derive(Clone, Debug)]
pub struct CsrfGuard {
    key: CsrfKey,
    /// Before the last change of the key.
    previous: Option<CsrfKey>,
    auth_cookies: Vec<String>,
    token_cookie: String,
    ttl_seconds: u64,
}

impl CsrfGuard {
    /// Guards logins by `auth_cookies`; tokens stand in `token_cookie` and are good for `ttl_seconds`. `previous` is
    /// the key before the last change, whose tokens stay good until they expire.
    ///
    /// # Errors
    /// [`CsrfConfigError`].
    pub fn new(
        key: CsrfKey,
        previous: Option<CsrfKey>,
        auth_cookies: Vec<String>,
        token_cookie: String,
        ttl_seconds: u64,
    ) -> Result<Self, CsrfConfigError> {
        if !(1..=AUTH_COOKIES_MAX).contains(&auth_cookies.len()) {
            return Err(CsrfConfigError::AuthCookies { count: auth_cookies.len() });
        }
        if let Some(name) = auth_cookies.iter().chain([&token_cookie]).find(|name| !cookies::is_name(name)) {
            return Err(CsrfConfigError::CookieName { name: name.clone() });
        }
        if auth_cookies.contains(&token_cookie) {
            return Err(CsrfConfigError::SameCookie { name: token_cookie });
        }
        if !(60..=TTL_SECONDS_MAX).contains(&ttl_seconds) {
            return Err(CsrfConfigError::Ttl { seconds: ttl_seconds });
        }
        Ok(Self { key, previous, auth_cookies, token_cookie, ttl_seconds })
    }

    /// Whether the request carries one of the configured cookies.
    #[must_use]
    pub fn carries_login(&self, headers: &HeaderMap) -> bool {
        self.auth_cookies.iter().any(|name| cookies::values(headers, name).next().is_some())
    }

    /// Judges a request by the rule above. `origin` is what [`super::origin::OriginPolicy::judge`] said of it, `now` is
    /// in Unix seconds.
    ///
    /// # Errors
    /// [`CsrfRefusal`].
    pub fn judge(
        &self,
        action: Action,
        method: &Method,
        headers: &HeaderMap,
        origin: OriginVerdict,
        now: u64,
    ) -> Result<Passed, CsrfRefusal> {
        if action == Action::Reads || !self.carries_login(headers) {
            return Ok(Passed::NotNeeded);
        }
        match origin {
            // `null` can be listed, but never with credentials: no cookie comes with it from a browser by CORS, yet it
            // does with a WebSocket, and every site can make such a page.
            OriginVerdict::Listed if !is_null(headers) => return Ok(Passed::Origin),
            OriginVerdict::Own => return Ok(Passed::Origin),
            OriginVerdict::Absent if is_own_fetch(method, headers) => return Ok(Passed::FetchSite),
            OriginVerdict::Listed | OriginVerdict::Absent | OriginVerdict::AnyPage | OriginVerdict::Refused => {}
        }
        self.verify_token(headers, now).map(|()| Passed::Token)
    }

    fn verify_token(&self, headers: &HeaderMap, now: u64) -> Result<(), CsrfRefusal> {
        let told = TOKEN_HEADERS.iter().find_map(|name| headers.get(name)).ok_or(CsrfRefusal::NoProof)?.as_bytes();
        let mut cookies = cookies::values(headers, &self.token_cookie).take(TOKEN_COOKIES_MAX);
        if !cookies.any(|cookie| is_same(told, cookie)) {
            return Err(TokenError::Mismatch.into());
        }
        let binding = self.binding(headers);
        match (self.key.verify(told, &binding, now), &self.previous) {
            (Err(TokenError::Forged), Some(previous)) => Ok(previous.verify(told, &binding, now)?),
            (verified, _) => Ok(verified?),
        }
    }

    /// A token for the login that the request carries; `None` if it carries none, or has a token already that is good
    /// for half of its time at least. `nonce` is random, `now` in Unix seconds; `https` is how the client came.
    #[must_use]
    pub fn issue(&self, headers: &HeaderMap, nonce: [u8; NONCE_BYTES], now: u64, https: bool) -> Option<Issued> {
        if !self.carries_login(headers) {
            return None;
        }
        let binding = self.binding(headers);
        let later = now.saturating_add(self.ttl_seconds / 2);
        let mut present = cookies::values(headers, &self.token_cookie).take(TOKEN_COOKIES_MAX);
        if present.any(|token| token.len() == TOKEN_BYTES && self.key.verify(token, &binding, later).is_ok()) {
            return None;
        }
        let token = self.key.issue(nonce, now.saturating_add(self.ttl_seconds), &binding);
        let secure = if https { "; Secure" } else { "" };
        let (name, ttl) = (&self.token_cookie, self.ttl_seconds);
        let set_cookie = format!("{name}={token}; Path=/; Max-Age={ttl}; SameSite=Lax{secure}");
        // A token of RFC 9110 and base64url: always a header's value.
        HeaderValue::try_from(set_cookie).ok().map(|set_cookie| Issued { token, set_cookie })
    }

    /// A digest of the login's cookies, each with its number and length before it, so that no two logins make the same.
    fn binding(&self, headers: &HeaderMap) -> [u8; BINDING_BYTES] {
        let mut context = digest::Context::new(&digest::SHA256);
        for (number, name) in (0_u64..).zip(&self.auth_cookies) {
            for value in cookies::values(headers, name) {
                context.update(&number.to_be_bytes());
                context.update(&(value.len() as u64).to_be_bytes());
                context.update(value);
            }
        }
        let mut binding = [0; BINDING_BYTES];
        binding.copy_from_slice(context.finish().as_ref());
        binding
    }
}

fn is_null(headers: &HeaderMap) -> bool {
    headers.get(http::header::ORIGIN).is_some_and(|origin| origin == "null")
}

/// Whether the browser says, in its one `Sec-Fetch-Site`, that the service's own page or the user asked.
fn is_own_fetch(method: &Method, headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    match (sites.next().map(HeaderValue::as_bytes), sites.next()) {
        (Some(b"same-origin"), None) => true,
        (Some(b"none"), None) => method == Method::GET,
        _ => false,
    }
}

#[cfg(test)]
#[path = "csrf_tests.rs"]
mod tests;
