//! Requests that came to the wrong node: passed on to the owner of their session, so that no balancer has to be sticky.
//!
//! ```text
//!   client ── GET | POST | upgrade ──► this node ── header, body ──► owner: the same code as for its own clients
//!          ◄───────── answer ─────────           ◄── answer, bytes ──
//! ```
//!
//! A header is a version, a verb and the session id; an answer a version and a verdict. After the verdict on an upgrade the
//! frames are the raw bytes of the WebSocket, in both directions. Whoever gives up drops the stream, and the other side
//! sees it: a poll that its client broke off is broken off at the owner too.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vedfolnir_cluster::question::{Answer, Question};
use vedfolnir_cluster::state::NodeId;
use vedfolnir_cluster::{PeerReceiver, PeerSender, PeerService, PeerStream};
use vedfolnir_protocol::{ENGINE_SID_LEN, EngineSid, HandshakeError};

use super::affinity::{self, Owner};
use super::http::{self, Posted};
use super::io::Io;
use super::link::CloseCause;
use super::stats::ServiceStats;
use super::tunnels::Tunnel;
use super::{Inner, questions, respond, trace, upgrade, vitals, websocket};

/// The version of headers and answers.
const VERSION: u8 = 1;
/// Bytes of a WebSocket that are on their way inside this node.
const TUNNEL_BYTES_MAX: usize = 64 << 10;
/// Bytes of a WebSocket in one frame between the nodes.
const TUNNEL_FRAME_BYTES_MAX: usize = 16 << 10;
/// The owner answers a POST or an upgrade within this time, or is taken for gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked of the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Poll = 1,
    Post = 2,
    Upgrade = 3,
    /// The node that the client is connected to wants to be rid of it. 4 and 5 are other questions between nodes.
    Leave = 6,
}

impl Verb {
    fn of(byte: u8) -> Option<Self> {
        [Self::Poll, Self::Post, Self::Upgrade, Self::Leave].into_iter().find(|verb| *verb as u8 == byte)
    }
}

/// What the owner answers; the payload of a poll follows it in the same frame.
const GRANTED: u8 = 0;
const REFUSED: u8 = 1;

pub(super) fn header(verb: Verb, sid: &EngineSid) -> Bytes {
    let mut header = BytesMut::with_capacity(2 + ENGINE_SID_LEN);
    header.put_u8(VERSION);
    header.put_u8(verb as u8);
    header.put_slice(sid.to_string().as_bytes());
    header.freeze()
}

pub(super) fn parse_header(header: &[u8]) -> Option<(Verb, EngineSid)> {
    let (&[version, verb], sid) = header.split_first_chunk::<2>()?;
    let sid = std::str::from_utf8(sid).ok()?.parse().ok()?;
    Some((Verb::of(verb).filter(|_| version == VERSION)?, sid))
}

pub(super) fn granted(body: &[u8]) -> Bytes {
    [&[VERSION, GRANTED], body].concat().into()
}

pub(super) fn refused(error: HandshakeError) -> Bytes {
    Bytes::copy_from_slice(&[VERSION, REFUSED, error.code()])
}

/// The body of a granted answer; what cannot be read counts as a session that is gone.
pub(super) fn parse_answer(answer: &Bytes) -> Result<Bytes, HandshakeError> {
    match answer.as_ref() {
        [VERSION, GRANTED, ..] => Ok(answer.slice(2..)),
        [VERSION, REFUSED, code] => {
            let error = HandshakeError::ALL.into_iter().find(|error| error.code() == *code);
            Err(error.unwrap_or(HandshakeError::SessionIdUnknown))
        }
        _ => Err(HandshakeError::SessionIdUnknown),
    }
}

// ---- the node that the client came to ----

/// Passes a request on and answers with what the owner says. An owner that is gone has taken the session's connection
/// with it: the client is told that the id is unknown, and resumes.
pub(super) async fn request(
    service: &Arc<Inner>,
    node: NodeId,
    sid: EngineSid,
    upgrades: bool,
    request: Request<Incoming>,
) -> Result<Response<Body>, HandshakeError> {
    use axum::http::Method;
    let verb = match (upgrades, request.method()) {
        (true, _) => Verb::Upgrade,
        (false, &Method::GET) => Verb::Poll,
        (false, &Method::POST) => Verb::Post,
        (false, _) => return Err(HandshakeError::BadRequest),
    };
    ServiceStats::one(&service.stats.forwarded_total);
    let result = match verb {
        Verb::Poll => {
            let mut stream = open(service, node, verb, &sid).await?;
            // As long as the owner lets it wait; it sees when this future is dropped.
            answer(stream.recv().await).map(respond::payload)
        }
        Verb::Post => match http::read_post(service, request).await? {
            Posted::Answered(response) => return Ok(response),
            Posted::Body(body) => {
                let mut stream = open(service, node, verb, &sid).await?;
                stream.send(body).await;
                answer(in_time(stream.recv()).await).map(|_| respond::ok())
            }
        },
        Verb::Upgrade => {
            let mut stream = open(service, node, verb, &sid).await?;
            match answer(in_time(stream.recv()).await) {
                Ok(_) => {
                    let service = Arc::clone(service);
                    http::accept_websocket(request, move |io, read_ahead| async move {
                        let place = Tunnel::open(&service, node, sid);
                        tokio::select! {
                            () = tunnel(io, read_ahead, stream) => {}
                            () = place.tunnel.closed() => {}
                        }
                    })
                }
                Err(error) => Err(error),
            }
        }
        Verb::Leave => Err(HandshakeError::BadRequest),
    };
    if result.is_err() {
        ServiceStats::one(&service.stats.forward_refusals_total);
    }
    result
}

async fn open(service: &Inner, node: NodeId, verb: Verb, sid: &EngineSid) -> Result<PeerStream, HandshakeError> {
    service.cluster.open_peer_stream(node, header(verb, sid)).await.map_err(|error| {
        tracing::debug!(%error, "the owner of a session cannot be reached");
        ServiceStats::one(&service.stats.forward_refusals_total);
        HandshakeError::SessionIdUnknown
    })
}

/// Asks the owner to let a session go whose client is connected to this node.
pub(super) async fn ask_to_leave(service: &Inner, owner: NodeId, sid: &EngineSid) {
    if let Ok(mut stream) = service.cluster.open_peer_stream(owner, header(Verb::Leave, sid)).await {
        // Its end is the answer.
        let _ = in_time(stream.recv()).await;
    }
}

async fn in_time(answer: impl Future<Output = Option<Bytes>>) -> Option<Bytes> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.ok().flatten()
}

fn answer(frame: Option<Bytes>) -> Result<Bytes, HandshakeError> {
    parse_answer(&frame.ok_or(HandshakeError::SessionIdUnknown)?)
}

/// Bytes of a WebSocket between a client and the owner, until one of them ends it.
async fn tunnel(io: Io, read_ahead: Vec<u8>, stream: PeerStream) {
    let (read, write) = tokio::io::split(io);
    let (mut sender, receiver) = stream.split();
    if !read_ahead.is_empty() && !sender.send(read_ahead.into()).await {
        return;
    }
    pass_on(read, write, sender, receiver).await;
}

/// Both directions, each to its own end.
async fn pass_on(
    mut read: impl tokio::io::AsyncRead + Unpin,
    mut write: impl tokio::io::AsyncWrite + Unpin,
    mut sender: PeerSender,
    mut receiver: PeerReceiver,
) {
    let out = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(TUNNEL_FRAME_BYTES_MAX);
            match read.read_buf(&mut buffer).await {
                Ok(1..) if sender.send(buffer.split().freeze()).await => {}
                Ok(_) | Err(_) => break,
            }
        }
        sender.finish().await;
    };
    let into = async {
        while let Some(bytes) = receiver.recv().await {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // The peer may be gone already.
        let _ = write.shutdown().await;
    };
    tokio::join!(out, into);
}

// ---- the owner ----

/// Answers what other nodes pass on. The cluster floor keeps it; it must not keep the service in turn.
pub(crate) struct Forwarded(pub(crate) Weak<Inner>);

impl PeerService for Forwarded {
    fn serve(&self, header: Bytes, stream: PeerStream) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(service) = self.0.upgrade() else { return };
            if let Some(pid) = trace::parse_header(&header) {
                return trace::answer(&service, pid, stream).await;
            }
            if vitals::is_asked(&header) {
                return vitals::answer(&service, stream).await;
            }
            let Some((verb, sid)) = parse_header(&header) else { return };
            ServiceStats::one(&service.stats.forwarded_here_total);
            serve(&service, verb, &sid, stream).await;
        })
    }

    fn answer(&self, from: NodeId, question: Question) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match self.0.upgrade() {
                Some(service) => questions::answer(&service, from, question).await,
                None => Answer::Refused("the service has ended".to_owned()),
            }
        })
    }
}

async fn serve(service: &Arc<Inner>, verb: Verb, sid: &EngineSid, mut stream: PeerStream) {
    let link = match affinity::owner(service, sid) {
        Owner::This => service.registry.get(sid),
        Owner::Peer(_) | Owner::Nobody => None,
    };
    let Some(link) = link else {
        stream.send(refused(HandshakeError::SessionIdUnknown)).await;
        return;
    };
    if verb == Verb::Leave {
        link.leave(CloseCause::Draining);
        return;
    }
    let named = if verb == Verb::Upgrade { super::Transport::WebSocket } else { super::Transport::Polling };
    if let Err(error) = http::judge_transport_of_session(named, link.transport(), verb == Verb::Upgrade) {
        stream.send(refused(error)).await;
        return;
    }
    let result = match verb {
        Verb::Poll => tokio::select! {
            payload = http::poll_link(&link) => payload.map(|payload| granted(&payload)),
            // Nothing more is said on this stream: its end is the client's.
            _ = stream.recv() => return,
        },
        Verb::Post => match in_time(stream.recv()).await {
            Some(body) => http::post_to_link(&link, body).await.map(|()| granted(&[])),
            None => return,
        },
        Verb::Upgrade => {
            if stream.send(granted(&[])).await {
                let (tunnel, end) = tokio::io::duplex(TUNNEL_BYTES_MAX);
                let (read, write) = tokio::io::split(end);
                let (sender, receiver) = stream.split();
                let config = &service.config;
                let probe = async {
                    let stream = websocket::stream(Io::Tunnel(tunnel), Vec::new(), config).await;
                    upgrade::probe(Arc::clone(service), link, stream).await;
                };
                tokio::join!(probe, pass_on(read, write, sender, receiver));
            }
            return;
        }
        Verb::Leave => return,
    };
    stream.send(result.unwrap_or_else(refused)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: EngineSid = EngineSid { node: 7, generation: 3, random: *b"0123456789ab", tag: *b"0123456789" };

    #[test]
    fn headers_and_answers_round_trip_and_garbage_is_refused() {
        for verb in [Verb::Poll, Verb::Post, Verb::Upgrade, Verb::Leave] {
            let text = header(verb, &SID);
            assert_eq!(parse_header(&text), Some((verb, SID)));
            for end in 0..text.len() {
                assert_eq!(parse_header(&text[..end]), None);
            }
        }
        assert_eq!(parse_header(&[&[VERSION + 1], &header(Verb::Poll, &SID)[1..]].concat()), None);
        assert_eq!(parse_answer(&granted(b"4hello")), Ok(Bytes::from_static(b"4hello")));
        for error in HandshakeError::ALL {
            assert_eq!(parse_answer(&refused(error)), Err(error));
        }
        for garbage in [&b""[..], &[VERSION], &[VERSION, REFUSED], &[VERSION, REFUSED, 99], &[9, GRANTED]] {
            assert_eq!(parse_answer(&Bytes::from_static(garbage)), Err(HandshakeError::SessionIdUnknown));
        }
    }
}
