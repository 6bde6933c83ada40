//! What every request passes before it is routed: who asks, under which name, by HTTPS or not, from which page.
//!
//! ```text
//!   request ─► client (proxies) ─► host ─► HTTPS ─► Engine.IO? ─► origin ─► CSRF ─► http
//!                 │ probes are spared these two       └ no ─► health, metrics, welcome
//!   answer ◄── HSTS, security headers ◄── CORS ◄──────────────────────────────────┘
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{HOST, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tower::ServiceExt as _;

use super::arrival::Peer;
use super::http::{self, Asking};
use super::{Inner, affinity, random, respond};
use crate::security::csrf::{Action, CsrfGuard};
use crate::security::csrf_token::NONCE_BYTES;
use crate::security::events::SecurityEvent;
use crate::security::guard;
use crate::security::host::Authority;
use crate::security::hosts::{HostRefusal, JudgedHost};
use crate::security::origin::OwnHost;
use crate::security::proxy::ProxyNote;
use crate::security::rules::{HttpsRule, Rules};
use vedfolnir_protocol::HandshakeError;

/// Answers a request.
pub(super) async fn handle(
    service: Arc<Inner>,
    peer: Peer,
    fallback: Router,
    mut request: Request<Incoming>,
) -> Response<Body> {
    name_host(&mut request);
    let in_force = Arc::clone(&service.guard.in_force());
    let rules = &in_force.rules;
    // What the answer needs of the request outlives it.
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let client = rules.proxies.client(peer.address.ip(), peer.tls, &headers);
    note(&service, client.note, client.ip);
    let address = match client.ip == peer.address.ip().to_canonical() {
        true => peer.address,
        false => SocketAddr::new(client.ip, 0),
    };
    let asking = Asking { address, https: client.https };
    let host = rules.hosts.judge(&uri, &headers, client.host, asking.https);
    let mut response = match admit(&service, rules, asking, &host, &request) {
        Err(refused) => *refused,
        Ok(()) if service.serves(uri.path()) => {
            let own = own_host(host.as_ref().ok(), client.port, asking.https);
            // From here on the host is the one that the client asked for, not the proxy's.
            if let Some(Ok(told)) = client.host.map(HeaderValue::from_str) {
                request.headers_mut().insert(HOST, told);
            }
            engine_io(&service, rules, asking, own.as_ref(), &headers, request).await
        }
        Ok(()) => match fallback.oneshot(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
    };
    complete(rules, asking.https, response.status(), response.headers_mut());
    response
}

/// Adds what every answer has: `https` is how the client came.
pub(super) fn complete(rules: &Rules, https: bool, status: StatusCode, response: &mut HeaderMap) {
    if let Some(headers) = &rules.headers {
        headers.apply(status, https, response);
    }
    if let Some(hsts) = rules.hsts.as_ref().filter(|_| https) {
        response.insert(STRICT_TRANSPORT_SECURITY, hsts.value().clone());
    }
}

/// The name and the scheme under which the request came, if they will do.
fn admit(
    service: &Inner,
    rules: &Rules,
    asking: Asking,
    host: &Result<JudgedHost<'_>, HostRefusal>,
    request: &Request<Incoming>,
) -> Result<(), Box<Response<Body>>> {
    let is_probe = service.config.exempt_paths.iter().any(|exempt| is_below(request.uri().path(), exempt));
    if is_probe {
        return Ok(());
    }
    let host = match host {
        Ok(host) => host,
        Err(refusal) => {
            service.guard.event(SecurityEvent::BlockedHost, asking.address.ip(), &refusal.to_string());
            return Err(Box::new(respond::refused(refusal.status(), SecurityEvent::BlockedHost)));
        }
    };
    if asking.https || rules.https == HttpsRule::Plain {
        return Ok(());
    }
    let location = match &rules.https {
        HttpsRule::Redirected(redirect)
            if matches!(*request.method(), Method::GET | Method::HEAD) && !http::is_websocket_upgrade(request) =>
        {
            redirect.location(Some(host), request.uri())
        }
        _ => None,
    };
    Err(Box::new(match location {
        Some(location) => respond::moved(location),
        None => {
            service.guard.event(
                SecurityEvent::HttpsRequired,
                asking.address.ip(),
                "plain HTTP where HTTPS is required",
            );
            respond::refused(StatusCode::FORBIDDEN, SecurityEvent::HttpsRequired)
        }
    }))
}

/// HTTP/2 has the name in its target, and perhaps nowhere else: from here on it stands where HTTP/1.1 has it (RFC 9113,
/// section 8.3.1).
fn name_host(request: &mut Request<Incoming>) {
    if request.version() == Version::HTTP_2
        && !request.headers().contains_key(HOST)
        && let Some(Ok(host)) = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()))
    {
        request.headers_mut().insert(HOST, host);
    }
}

async fn engine_io(
    service: &Arc<Inner>,
    rules: &Rules,
    asking: Asking,
    own: Option<&OwnHost<'_>>,
    headers: &HeaderMap,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        let mut response = respond::preflight();
        rules.origins.apply_preflight(headers, own, response.headers_mut());
        return response;
    }
    let address = asking.address.ip();
    let verdict = rules.origins.judge(headers, own);
    let csrf = rules.csrf.as_ref().and_then(|rule| service.csrf(rule));
    let mut response = if !verdict.is_allowed() {
        service.guard.event(SecurityEvent::BlockedOrigin, address, "a page of an origin that is not allowed");
        respond::error(HandshakeError::Forbidden)
    } else if let Err(refusal) = judge_csrf(csrf, headers, verdict, &request) {
        service.guard.event(SecurityEvent::CsrfFailure, address, &refusal);
        respond::refused(StatusCode::FORBIDDEN, SecurityEvent::CsrfFailure)
    } else {
        let opens = is_handshake(&request);
        let cookie = if opens { affinity::cookie(service, asking, headers, request.uri()) } else { None };
        let mut response = http::answer(service, asking, request).await;
        let opened = response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(cookie) = cookie.filter(|_| opened) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        if opens && let Some(csrf) = csrf {
            issue_token(csrf, headers, asking.https, response.headers_mut());
        }
        response
    };
    rules.origins.apply(headers, own, response.headers_mut());
    response
}

fn judge_csrf(
    csrf: Option<&CsrfGuard>,
    headers: &HeaderMap,
    verdict: crate::security::origin::OriginVerdict,
    request: &Request<Incoming>,
) -> Result<(), String> {
    let Some(csrf) = csrf else { return Ok(()) };
    let action = if is_handshake(request) || http::is_websocket_upgrade(request) {
        Action::Opens
    } else if request.method() == Method::POST {
        Action::Posts
    } else {
        Action::Reads
    };
    let judged = csrf.judge(action, request.method(), headers, verdict, guard::unix_now());
    judged.map(drop).map_err(|refusal| refusal.to_string())
}

/// A token for the login that opened a session, for the page to show from then on.
fn issue_token(csrf: &CsrfGuard, headers: &HeaderMap, https: bool, response: &mut HeaderMap) {
    let nonce = random::bytes::<NONCE_BYTES>();
    if let Some(issued) = csrf.issue(headers, nonce, guard::unix_now(), https) {
        response.append(SET_COOKIE, issued.set_cookie);
    }
}

/// A request without a session id opens one.
pub(super) fn is_handshake(request: &Request<Incoming>) -> bool {
    !request.uri().query().unwrap_or_default().split('&').any(|pair| pair.starts_with("sid="))
}

/// The own host of a request, if it is a listed one: after DNS rebinding a foreign page's origin and Host agree.
fn own_host<'h>(host: Option<&JudgedHost<'h>>, port: Option<u16>, https: bool) -> Option<OwnHost<'h>> {
    let host = host.filter(|host| host.listed)?;
    let authority = Authority { port: host.authority.port.or(port), ..host.authority };
    Some(OwnHost { authority, https })
}

fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Proxy headers that were not believed.
fn note(service: &Inner, note: ProxyNote, address: IpAddr) {
    match note.event() {
        None => {}
        // Ordinary where no proxy is trusted: counted, not told.
        Some(SecurityEvent::ProxyHeaderUntrusted) => {
            service.guard.counters().count(SecurityEvent::ProxyHeaderUntrusted);
        }
        Some(event) => service.guard.event(event, address, "a trusted proxy's headers do not say who the client is"),
    }
}
