//! Engine.IO over HTTP: which request is a handshake, a poll, a POST or an upgrade, and which is refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use vedfolnir_protocol::{EngineSid, HandshakeError};

use super::affinity::{self, Owner};
use super::driver::Session;
use super::io::Io;
use super::link::{Link, Transport};
use super::polling::{self, PollAnswer, PollingRequest, PostAnswer};
use super::standing::{CROWDED, Unavailable};
use super::stats::ServiceStats;
use super::unread::Watched;
use super::{Inner, forward, respond, upgrade, websocket};
use crate::app::RequestInfo;
use crate::security::events::{ConnectionScope, SecurityEvent};

/// Headers that handlers may want to see; the others are not kept.
const HEADERS_KEPT: [&str; 7] =
    ["host", "origin", "authorization", "cookie", "user-agent", "x-forwarded-for", "traceparent"];

/// What the query says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub(super) eio: Option<&'a str>,
    pub(super) transport: Option<&'a str>,
    pub(super) sid: Option<&'a str>,
}

/// Who asks, as far as the gate has found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// The client's address; port 0 when a proxy does not tell it.
    pub(super) address: SocketAddr,
    /// Whether the request came by HTTPS.
    pub(super) https: bool,
}

/// Answers a request under the service's path that the gate has let in.
pub(super) async fn answer(service: &Arc<Inner>, asking: Asking, request: Request<Incoming>) -> Response<Body> {
    route(service, asking, request).await.unwrap_or_else(|error| {
        ServiceStats::one(&service.stats.connections_failed_total);
        respond::error(error)
    })
}

async fn route(
    service: &Arc<Inner>,
    asking: Asking,
    request: Request<Incoming>,
) -> Result<Response<Body>, HandshakeError> {
    let query = parse(request.uri().query().unwrap_or_default());
    let upgrades = is_websocket_upgrade(&request);
    #[cfg(feature = "echo")]
    if upgrades && query.transport == Some(super::echo::TRANSPORT) {
        let service = Arc::clone(service);
        return accept_websocket(request, move |io, read_ahead| async move {
            super::echo::serve(websocket::stream(io, read_ahead, &service.config).await).await;
        });
    }
    let transport = judge_transport(&query, &service.config.transports)?;
    let Some(sid) = query.sid else {
        judge_handshake(&query, transport, request.method(), upgrades)?;
        return Ok(handshake(service, asking, transport, request));
    };
    let sid: EngineSid = sid.parse().map_err(|_| HandshakeError::SessionIdUnknown)?;
    let link = match affinity::owner(service, &sid) {
        Owner::This => service.registry.get(&sid).ok_or(HandshakeError::SessionIdUnknown)?,
        Owner::Peer(_) if !service.config.forwards => return Err(HandshakeError::SessionIdUnknown),
        Owner::Peer(node) => {
            // The owner judges by the transport that the session is on; this much is wrong on any.
            if (transport == Transport::WebSocket) != upgrades {
                return Err(HandshakeError::BadRequest);
            }
            return forward::request(service, node, sid, upgrades, request).await;
        }
        Owner::Nobody => return Err(HandshakeError::SessionIdUnknown),
    };
    judge_transport_of_session(transport, link.transport(), upgrades)?;
    match (upgrades, request.method()) {
        (true, _) => {
            let (service, link) = (Arc::clone(service), link);
            accept_websocket(request, move |io, read_ahead| async move {
                let stream = websocket::stream(io, read_ahead, &service.config).await;
                upgrade::probe(service, link, stream).await;
            })
        }
        (false, &Method::GET) => poll_link(&link).await.map(respond::payload),
        (false, &Method::POST) => post(service, &link, request).await,
        (false, _) => Err(HandshakeError::BadRequest),
    }
}

/// The transport that the query names, if clients may use it.
pub(super) fn judge_transport(query: &Query<'_>, allowed: &[Transport]) -> Result<Transport, HandshakeError> {
    let named = allowed.iter().find(|transport| query.transport == Some(transport.as_str()));
    named.copied().ok_or(HandshakeError::TransportUnknown)
}

/// Judges a request without a session.
pub(super) fn judge_handshake(
    query: &Query<'_>,
    transport: Transport,
    method: &Method,
    upgrades: bool,
) -> Result<(), HandshakeError> {
    // A WebSocket inside HTTP/2 begins with CONNECT (RFC 8441).
    if method != Method::GET && !(upgrades && method == Method::CONNECT) {
        return Err(HandshakeError::BadHandshakeMethod);
    }
    if (transport == Transport::WebSocket) != upgrades {
        return Err(HandshakeError::BadRequest);
    }
    // A missing version counts as 3, which is not spoken here.
    if query.eio != Some("4") {
        return Err(HandshakeError::UnsupportedProtocolVersion);
    }
    Ok(())
}

/// Judges a request of a session that is on `present`.
pub(super) fn judge_transport_of_session(
    named: Transport,
    present: Transport,
    upgrades: bool,
) -> Result<(), HandshakeError> {
    let fits = if upgrades { named == Transport::WebSocket } else { named == present && named == Transport::Polling };
    if fits { Ok(()) } else { Err(HandshakeError::BadRequest) }
}

pub(super) fn parse(query: &str) -> Query<'_> {
    let mut parsed = Query::default();
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match key {
            "EIO" => parsed.eio = Some(value),
            "transport" => parsed.transport = Some(value),
            "sid" => parsed.sid = Some(value),
            _ => {}
        }
    }
    parsed
}

pub(super) fn is_websocket_upgrade<B>(request: &Request<B>) -> bool {
    if request.method() == Method::CONNECT {
        return request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    }
    let headers = request.headers();
    let has = |name, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    has(UPGRADE, "websocket") && has(CONNECTION, "upgrade")
}

fn handshake(service: &Arc<Inner>, asking: Asking, transport: Transport, request: Request<Incoming>) -> Response<Body> {
    if let Some(refused) = service.refusal() {
        ServiceStats::one(&service.stats.connections_unavailable_total);
        return respond::unavailable(&refused);
    }
    if service.registry.len() >= service.config.connections_max {
        let reason = format!("the node has its {} connections", service.config.connections_max);
        ServiceStats::one(&service.stats.connections_full_total);
        service.guard.event(SecurityEvent::ConnectionLimit(ConnectionScope::Node), asking.address.ip(), &reason);
        return respond::unavailable(&Unavailable::shortly(reason));
    }
    let place = match service.guard.enter(asking.address.ip()) {
        Ok(place) => place,
        // Counted as a security event.
        Err(refused) => return respond::too_many(&refused),
    };
    let info = Arc::new(request_info(asking, &request));
    let plain = service.plain(request.uri().path()).cloned();
    match transport {
        Transport::Polling => {
            let (sender, receiver) = mpsc::channel(polling::REQUESTS_MAX);
            let session = Session::new(Arc::clone(service), Arc::new(Link::polling(sender)), info, place, plain);
            let open = vedfolnir_protocol::engine_io::payload::encode([&session.open_packet()]);
            tokio::spawn(polling::drive(session, receiver));
            respond::payload(open)
        }
        Transport::WebSocket => {
            let service = Arc::clone(service);
            let accepted = accept_websocket(request, move |io, read_ahead| async move {
                let stream = websocket::stream(io, read_ahead, &service.config).await;
                let session = Session::new(service, Arc::new(Link::websocket()), info, place, plain);
                websocket::open(websocket::Connected::new(session, stream)).await;
            });
            accepted.unwrap_or_else(respond::error)
        }
    }
}

fn request_info(asking: Asking, request: &Request<Incoming>) -> RequestInfo {
    let kept = HEADERS_KEPT.iter().filter_map(|name| {
        // Any text: what a program calls itself may be in any language.
        let value = std::str::from_utf8(request.headers().get(*name)?.as_bytes()).ok()?;
        Some((*name, value.into()))
    });
    RequestInfo {
        remote: asking.address,
        https: asking.https,
        query: request.uri().query().unwrap_or_default().into(),
        headers: kept.collect(),
    }
}

/// Answers 101, or 200 inside HTTP/2; once the connection has switched, its own task goes on with `then`.
pub(super) fn accept_websocket<F, R>(mut request: Request<Incoming>, then: F) -> Result<Response<Body>, HandshakeError>
where
    F: FnOnce(Io, Vec<u8>) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    if request.headers().get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return Err(HandshakeError::BadRequest);
    }
    let mut response = Response::new(Body::empty());
    if request.method() != Method::CONNECT {
        let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
        let key = key.ok_or(HandshakeError::BadRequest)?;
        let accept =
            HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| HandshakeError::BadRequest)?;
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let (io, read_ahead) = take_over(upgraded);
        then(io, read_ahead).await;
    });
    Ok(response)
}

/// Sixteen bytes in Base64 (RFC 6455, section 4.1).
fn is_key(key: &[u8]) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// The connection, and what was read behind the request. hyper's buffer, of which that is a slice, is given back.
fn take_over(upgraded: Upgraded) -> (Io, Vec<u8>) {
    match upgraded.downcast::<TokioIo<Watched>>() {
        Ok(parts) => (parts.io.into_inner().into_io(), parts.read_buf.to_vec()),
        // A stream of an HTTP/2 connection.
        Err(upgraded) => (Io::Http2(Box::new(TokioIo::new(upgraded))), Vec::new()),
    }
}

/// Waits for the session's next payload.
pub(super) async fn poll_link(link: &Link) -> Result<Bytes, HandshakeError> {
    let requests = link.requests().ok_or(HandshakeError::BadRequest)?;
    let (answer, receiver) = oneshot::channel();
    requests.send(PollingRequest::Poll(answer)).await.map_err(|_| HandshakeError::SessionIdUnknown)?;
    match receiver.await {
        Ok(PollAnswer::Payload(payload)) => Ok(payload),
        Ok(PollAnswer::Refused) => Err(HandshakeError::BadRequest),
        Err(_) => Err(HandshakeError::SessionIdUnknown),
    }
}

/// Held while a POST is under way: there is one at a time.
struct Posting<'a>(&'a Link);

impl<'a> Posting<'a> {
    /// A second POST ends the session.
    async fn begin(link: &'a Link) -> Result<Self, HandshakeError> {
        let requests = link.requests().ok_or(HandshakeError::BadRequest)?;
        if link.posting.swap(true, Ordering::AcqRel) {
            let _ = requests.send(PollingRequest::Abuse).await;
            return Err(HandshakeError::BadRequest);
        }
        Ok(Self(link))
    }

    /// Whether the session took it; `false`: the client is to come back later.
    async fn hand_over(self, body: Bytes) -> Result<bool, HandshakeError> {
        let requests = self.0.requests().ok_or(HandshakeError::BadRequest)?;
        let (answer, receiver) = oneshot::channel();
        requests.send(PollingRequest::Post(body, answer)).await.map_err(|_| HandshakeError::SessionIdUnknown)?;
        match receiver.await {
            Ok(PostAnswer::Taken) => Ok(true),
            Ok(PostAnswer::Unavailable) => Ok(false),
            Ok(PostAnswer::Refused) => Err(HandshakeError::BadRequest),
            Err(_) => Err(HandshakeError::SessionIdUnknown),
        }
    }
}

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.0.posting.store(false, Ordering::Release);
    }
}

/// Bytes of a refused body that are read and thrown away; beyond it the connection breaks under the sender.
const SWALLOWED_BYTES_MAX: usize = 16 << 20;

/// Reads and throws away.
async fn swallow(mut body: Incoming, bytes_max: usize) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > bytes_max {
            return;
        }
    }
}

/// What reading a POST came to.
pub(super) enum Posted {
    /// A body that is not too large.
    Body(Bytes),
    /// The request is answered already; the session survives it.
    Answered(Response<Body>),
}

/// Reads a POST's body, within its bounds.
pub(super) async fn read_post(service: &Inner, request: Request<Incoming>) -> Result<Posted, HandshakeError> {
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if content_type.to_ascii_lowercase().starts_with(b"application/octet-stream") {
        return Err(HandshakeError::BadRequest);
    }
    let bytes_max = service.config.max_http_buffer_size;
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        // A client that is still sending sees a broken connection instead of the answer: let it finish, within bounds.
        let rest = swallow(request.into_body(), SWALLOWED_BYTES_MAX);
        let _ = tokio::time::timeout(service.config.handshake_timeout, rest).await;
        return Ok(Posted::Answered(respond::too_large()));
    }
    let body = Limited::new(request.into_body(), bytes_max).collect();
    match tokio::time::timeout(service.config.handshake_timeout, body).await {
        Ok(Ok(body)) => Ok(Posted::Body(body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Ok(Posted::Answered(respond::too_large())),
        Ok(Err(_)) => Err(HandshakeError::BadRequest),
        Err(_) => Ok(Posted::Answered(respond::timeout())),
    }
}

async fn post(service: &Inner, link: &Link, request: Request<Incoming>) -> Result<Response<Body>, HandshakeError> {
    let posting = Posting::begin(link).await?;
    match read_post(service, request).await? {
        Posted::Answered(response) => Ok(response),
        Posted::Body(body) => posting.hand_over(body).await.map(|taken| match taken {
            true => respond::ok(),
            false => respond::unavailable(&Unavailable::shortly(CROWDED)),
        }),
    }
}

/// Hands a POST's body, read by another node, to the session. The node that read it has no other word for a client that
/// is to come back later than that its session is gone.
pub(super) async fn post_to_link(link: &Link, body: Bytes) -> Result<(), HandshakeError> {
    let taken = Posting::begin(link).await?.hand_over(body).await?;
    if taken { Ok(()) } else { Err(HandshakeError::SessionIdUnknown) }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
