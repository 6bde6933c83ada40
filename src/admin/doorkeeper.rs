//! Who may do what at the operators' listener, and the audit log of what was done.
//!
//! Three tokens, three roles: read (GET), operate (also what can be undone), admin (everything). Without any token the
//! listener is bound to loopback, and whoever reaches it may do everything.
//!
//! An address that has shown too many wrong tokens waits: until then no token of its is looked at, so that guessing on tells
//! nothing, not even by the right guess. That holds for an operator behind the same address, too; the socket in the data
//! directory asks for no token and knows no waiting.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

use crate::config::AdminTokens;
use crate::security::bearer;
use crate::security::ip_key::IpKey;
use crate::security::keyed_limit::KeyedLimiter;
use crate::security::rate_limit::Rate;

/// Wrong tokens of one address before it has to wait, and how long until one more is looked at.
const WRONG_AT_ONCE: u32 = 5;
const WRONG_PAUSE: Duration = Duration::from_secs(10);
/// Addresses that are told apart.
const ADDRESSES_MAX: usize = 1_024;
/// What an operator may change besides reading: it can be undone, or hurts nobody.
const OPERATE_PATHS: [&str; 7] =
    ["/leadership/transfer", "/log-level", "/drain", "/drain/stop", "/maintenance", "/backups", "/backups/verify"];

/// What a token lets its bearer do; each does what the ones before do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    Read,
    /// Operate.
    Operate,
    /// Everything.
    Admin,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The least role for a request.
    fn needed(method: &Method, path: &str) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            _ if OPERATE_PATHS.contains(&path) => Self::Operate,
            _ => Self::Admin,
        }
    }
}

/// Judges requests by their tokens.
pub struct Doorkeeper {
    tokens: ArcSwap<AdminTokens>,
    wrong: Option<KeyedLimiter<IpKey>>,
    /// One token is compared at a time: guesses that come together are counted before the next is looked at.
    comparing: Mutex<()>,
}

/// Why nothing is done for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// It shows no token.
    NoToken,
    /// Its token is wrong.
    Wrong,
    /// There were too many wrong ones; its own was not looked at.
    Waits {
        /// Until one is.
        retry_after_seconds: u64,
    },
}

impl Doorkeeper {
    /// With these tokens; none: everybody is an administrator.
    #[must_use]
    pub fn new(tokens: AdminTokens) -> Arc<Self> {
        let rate = Rate::new(1, WRONG_PAUSE, WRONG_AT_ONCE).ok();
        let wrong = rate.map(|rate| KeyedLimiter::new(rate, rate, ADDRESSES_MAX, Instant::now()));
        Arc::new(Self { tokens: ArcSwap::from_pointee(tokens), wrong, comparing: Mutex::new(()) })
    }

    /// From now on these are the tokens.
    pub fn replace(&self, tokens: AdminTokens) {
        self.tokens.store(Arc::new(tokens));
    }

    /// Puts it in front of the routes.
    pub fn guard(self: &Arc<Self>, router: Router) -> Router {
        audited(router).layer(from_fn_with_state(Arc::clone(self), judge))
    }

    /// Which role a request's token has.
    fn role(&self, headers: &HeaderMap, address: IpAddr, now: Instant) -> Result<Role, Refused> {
        let tokens = self.tokens.load();
        if tokens.is_none() {
            return Ok(Role::Admin);
        }
        let shown = bearer::token(headers).ok_or(Refused::NoToken)?;
        let key = IpKey::from(address);
        let _alone = self.comparing.lock();
        let waits = self.wrong.as_ref().and_then(|wrong| wrong.peek(&key, now).retry_after_seconds());
        if let Some(retry_after_seconds) = waits {
            return Err(Refused::Waits { retry_after_seconds });
        }
        let known = [(&tokens.admin, Role::Admin), (&tokens.operate, Role::Operate), (&tokens.read, Role::Read)];
        // All are compared, whichever fits.
        let fitting = known.into_iter().filter_map(|(token, role)| {
            token.as_ref().is_some_and(|token| bearer::is_same(shown, token)).then_some(role)
        });
        fitting.max().ok_or_else(|| {
            // It was let in by the look before.
            let _ = self.wrong.as_ref().map(|wrong| wrong.take(key, now));
            Refused::Wrong
        })
    }
}

async fn judge(
    State(door): State<Arc<Doorkeeper>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let role = match door.role(request.headers(), peer.ip(), Instant::now()) {
        Ok(role) => role,
        Err(Refused::Waits { retry_after_seconds }) => {
            tracing::error!(event_type = "brute_force_suspected", level = "CRITICAL", client_ip = %peer.ip(), "security: many wrong tokens at the operators' listener");
            let retry = [(header::RETRY_AFTER, retry_after_seconds.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, retry, "too many wrong tokens\n").into_response();
        }
        Err(Refused::NoToken | Refused::Wrong) => {
            tracing::warn!(event_type = "admin_authentication_failed", client_ip = %peer.ip(), "security: no right token at the operators' listener");
            return bearer::unauthorized();
        }
    };
    let needed = Role::needed(request.method(), request.uri().path());
    if role < needed {
        tracing::warn!(
            event_type = "forbidden",
            client_ip = %peer.ip(),
            role = role.as_str(),
            path = request.uri().path(),
            "security: an operator's role does not allow a request"
        );
        let body = format!("this needs the role {}, the token's is {}\n", needed.as_str(), role.as_str());
        return (StatusCode::FORBIDDEN, body).into_response();
    }
    request.extensions_mut().insert(role);
    next.run(request).await
}

/// Puts every request that changes something into the log: by whom, and what came of it.
pub fn audited(router: Router) -> Router {
    router.layer(from_fn(audit))
}

async fn audit(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let role = request.extensions().get::<Role>().copied().unwrap_or(Role::Admin);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
    let door = if peer.is_some() { "listener" } else { "socket" };
    let response = next.run(request).await;
    tracing::info!(
        category = "security",
        event_type = "admin_action",
        role = role.as_str(),
        client_ip = peer,
        door,
        %method,
        path,
        status = response.status().as_u16(),
        "audit: an operator changed something, or tried to"
    );
    response
}

#[cfg(test)]
#[path = "doorkeeper_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
