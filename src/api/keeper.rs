//! Who may do what at the API's listener, and what is told of it.
//!
//! Three tokens, three roles: publish (events, and nothing else), read (whatever changes nothing), admin (everything).
//! Without any token the listener is bound to loopback in development, and whoever reaches it may do everything.
//!
//! Nothing that names an origin is answered: web pages have the service itself, a token in a page is everybody's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Problem, Type};
use super::{Api, ApiRoute};
use crate::config::ApiTokens;
use crate::security::secret::Secret;
use crate::security::token_door::{Refused, TokenDoor};

/// What a token lets its bearer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read whatever can be read.
    Read,
    /// Publish, and nothing else.
    Publish,
    /// Everything.
    Admin,
}

impl Role {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Admin => "admin",
        }
    }

    /// The role that a request needs, unless it is an administrator's.
    pub(super) fn needed(method: &Method, route: ApiRoute) -> Self {
        match (method, route) {
            (&Method::GET | &Method::HEAD, _) => Self::Read,
            (_, ApiRoute::Publish | ApiRoute::Batch) => Self::Publish,
            _ => Self::Admin,
        }
    }

    fn may(self, needed: Self) -> bool {
        self == Self::Admin || self == needed
    }
}

/// Judges requests by their tokens.
pub struct Keeper {
    tokens: TokenDoor<Role>,
}

fn with_roles(tokens: ApiTokens) -> Vec<(Secret, Role)> {
    let known = [(tokens.admin, Role::Admin), (tokens.publish, Role::Publish), (tokens.read, Role::Read)];
    known.into_iter().filter_map(|(token, role)| Some((token?, role))).collect()
}

impl Keeper {
    /// With these tokens; none: everybody may do everything.
    #[must_use]
    pub fn new(tokens: ApiTokens) -> Arc<Self> {
        Arc::new(Self { tokens: TokenDoor::new(with_roles(tokens)) })
    }

    /// From now on these are the tokens.
    pub fn replace(&self, tokens: ApiTokens) {
        self.tokens.replace(with_roles(tokens));
    }
}

/// Passes on what may be done now, by whoever asks.
pub(super) async fn judge(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let role = match may_ask(&api, peer, &request) {
        Ok(role) => role,
        Err(problem) => return problem.into_response(),
    };
    let Ok(_room) = api.room.try_acquire() else {
        let detail = "the node serves as many requests at once as it does; try again later";
        return Problem::new(Type::Overloaded, detail).retry_after(1).into_response();
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if !matches!(method, Method::GET | Method::HEAD) {
        tell(role, peer, &method, &path, response.status());
    }
    response
}

fn may_ask(api: &Api, peer: SocketAddr, request: &Request) -> Result<Role, Problem> {
    let client_ip = peer.ip();
    if request.headers().contains_key(header::ORIGIN) {
        let detail = "the API does not answer web pages: have your server ask";
        return Err(Problem::new(Type::Forbidden, detail).about("Origin"));
    }
    let role = match api.keeper.tokens.role(request.headers(), client_ip, Instant::now()) {
        Ok(role) => role.unwrap_or(Role::Admin),
        Err(Refused::Waits { retry_after_seconds }) => {
            tracing::error!(event_type = "brute_force_suspected", level = "CRITICAL", %client_ip, "security: many wrong tokens at the API's listener");
            let detail = "this address has shown too many wrong tokens; until then none is looked at";
            return Err(Problem::new(Type::TooManyWrongTokens, detail).retry_after(retry_after_seconds));
        }
        Err(Refused::NoToken | Refused::Wrong) => {
            tracing::warn!(event_type = "api_authentication_failed", %client_ip, "security: no right token at the API's listener");
            let detail = "show a token that this node knows: Authorization: Bearer TOKEN";
            return Err(Problem::new(Type::Unauthorized, detail).about("Authorization"));
        }
    };
    let path = request.uri().path();
    let needed = Role::needed(request.method(), ApiRoute::of_path(path));
    if !role.may(needed) {
        let role = role.as_str();
        tracing::warn!(event_type = "forbidden", %client_ip, role, path, "security: a program's role does not allow a request");
        let detail = format!("this needs the role {} or admin, the token's is {role}", needed.as_str());
        return Err(Problem::new(Type::Forbidden, detail).about("Authorization"));
    }
    Ok(role)
}

/// Puts what was changed, or was to be, into the log. What was published is what the node is for: it is told at DEBUG.
fn tell(role: Role, peer: SocketAddr, method: &Method, path: &str, status: StatusCode) {
    let is_publish = matches!(ApiRoute::of_path(path), ApiRoute::Publish | ApiRoute::Batch);
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(
                category = "security",
                event_type = "api_action",
                role = role.as_str(),
                client_ip = %peer.ip(),
                %method,
                path,
                status = status.as_u16(),
                "audit: a program changed something, or tried to"
            )
        };
    }
    if is_publish && status.is_success() { tell!(debug) } else { tell!(info) }
}
