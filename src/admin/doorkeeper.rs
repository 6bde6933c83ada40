//! Who may do what at the operators' listener, and the audit log of what was done.
//!
//! Three tokens, three roles: read (GET), operate (also what can be undone), admin (everything). Without any token the
//! listener is bound to loopback, and whoever reaches it may do everything.
//!
//! An address that has shown too many wrong tokens waits (`security::token_door`); the socket in the data directory asks for
//! no token and knows no waiting.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::config::AdminTokens;
use crate::security::bearer;
use crate::security::secret::Secret;
use crate::security::token_door::{Refused, TokenDoor};

/// What an operator may change besides reading: it can be undone, or hurts nobody.
const OPERATE_PATHS: [&str; 8] = [
    "/leadership/transfer",
    "/log-level",
    "/drain",
    "/drain/stop",
    "/maintenance",
    "/backups",
    "/backups/verify",
    "/webhooks/dead-letters/replay",
];

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
    tokens: TokenDoor<Role>,
}

fn with_roles(tokens: AdminTokens) -> Vec<(Secret, Role)> {
    let known = [(tokens.admin, Role::Admin), (tokens.operate, Role::Operate), (tokens.read, Role::Read)];
    known.into_iter().filter_map(|(token, role)| Some((token?, role))).collect()
}

impl Doorkeeper {
    /// With these tokens; none: everybody is an administrator.
    #[must_use]
    pub fn new(tokens: AdminTokens) -> Arc<Self> {
        Arc::new(Self { tokens: TokenDoor::new(with_roles(tokens)) })
    }

    /// From now on these are the tokens.
    pub fn replace(&self, tokens: AdminTokens) {
        self.tokens.replace(with_roles(tokens));
    }

    /// Puts it in front of the routes.
    pub fn guard(self: &Arc<Self>, router: Router) -> Router {
        audited(router).layer(from_fn_with_state(Arc::clone(self), judge))
    }

    /// Which role a request's token has.
    fn role(&self, headers: &HeaderMap, address: IpAddr, now: Instant) -> Result<Role, Refused> {
        Ok(self.tokens.role(headers, address, now)?.unwrap_or(Role::Admin))
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
