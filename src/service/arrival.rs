//! What comes before HTTP on a new connection: the PROXY protocol's header, then TLS; all within a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::io::{Io, Rewound};
use super::stats::ServiceStats;
use super::{Inner, gate, unread};
use crate::security::events::SecurityEvent;
use crate::security::proxy_protocol::{self, HEADER_BYTES_MAX, Mode, Parsed};
use crate::tls::{self, Accepted, ListenerTls};

/// Who is at the other end, as far as the connection itself tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client, or the proxy before it.
    pub(crate) address: SocketAddr,
    /// Whether the client came over TLS: this node's, or that of a balancer that says so.
    pub(crate) tls: bool,
}

/// What a connection has become.
pub(super) enum Arrived {
    /// HTTP may be spoken.
    Ready(Box<(Io, Peer, Spoken)>),
    /// It is over; what was to be said or counted is.
    Over,
}

/// Which HTTP was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

/// Greets a connection.
pub(super) async fn greet(
    service: &Arc<Inner>,
    tls: Option<&ListenerTls>,
    tcp: TcpStream,
    remote: SocketAddr,
) -> Arrived {
    let patience = service.config.handshake_timeout;
    let Some((stream, peer)) = proxied(service, tcp, remote, patience).await else { return Arrived::Over };
    let Some(tls) = tls else { return Arrived::Ready(Box::new((Io::Tcp(stream), peer, Spoken::Http1))) };
    match tls::accept(tls.config(), stream, patience).await {
        Ok(Accepted::Tls(stream)) => {
            let spoken = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Spoken::Http2,
                _ => Spoken::Http1,
            };
            if let Some(subject) = tls::verified_client_subject(stream.get_ref().1) {
                tracing::info!(event_type = "client_certificate_shown", client_ip = %peer.address.ip(), subject, "a client showed its certificate");
            }
            Arrived::Ready(Box::new((Io::Tls(stream), Peer { tls: true, ..peer }, spoken)))
        }
        Ok(Accepted::PlainHttp(stream)) => {
            service.stats.tls_failed(tls::HandshakeFailureKind::NotTls);
            let mut headers = HeaderMap::new();
            gate::complete(&service.guard.in_force().rules, false, StatusCode::BAD_REQUEST, &mut headers);
            let answer = unread::with_headers(tls::PLAIN_HTTP_ANSWER.as_bytes(), &headers);
            tls::refuse_plain_http(stream, &answer, patience).await;
            Arrived::Over
        }
        Err(failure) => {
            service.stats.tls_failed(failure.kind);
            tracing::debug!(remote = %peer.address, %failure, "a TLS handshake failed");
            Arrived::Over
        }
    }
}

/// Reads the PROXY protocol's header, from those who may send one; `None`: the connection is to be closed.
async fn proxied(
    service: &Arc<Inner>,
    tcp: TcpStream,
    remote: SocketAddr,
    patience: Duration,
) -> Option<(Rewound, Peer)> {
    let mode = service.config.proxy_protocol;
    let direct = Peer { address: remote, tls: false };
    if mode == Mode::Off {
        return Some((Rewound::new(Bytes::new(), tcp), direct));
    }
    let trusted = service.guard.in_force().rules.proxies.trusts(remote.ip());
    let refused = |event: SecurityEvent, reason: &str| {
        service.guard.event(event, remote.ip(), reason);
        None
    };
    match timeout(patience, header(mode, tcp)).await {
        Ok(Ok((Parsed::Header(header), ..))) if !trusted => {
            let claimed = header.source.map_or_else(|| "itself".to_owned(), |source| source.to_string());
            let reason = format!("a peer that is no trusted proxy sent a PROXY header (for {claimed})");
            refused(SecurityEvent::ProxyProtocolUntrusted, &reason)
        }
        Ok(Ok((Parsed::Header(header), ahead, tcp))) => {
            let address = header.source.unwrap_or(remote);
            Some((Rewound::new(ahead, tcp), Peer { address, tls: header.client_tls }))
        }
        Ok(Ok((Parsed::NotThere, ahead, tcp))) if mode == Mode::Auto => Some((Rewound::new(ahead, tcp), direct)),
        Ok(Ok((Parsed::Invalid(error), ..))) => refused(SecurityEvent::ProxyProtocolInvalid, &error.to_string()),
        Ok(Ok(_)) => refused(SecurityEvent::ProxyProtocolMissing, "the PROXY header is missing"),
        // A balancer's check that connects and hangs up is no event.
        Ok(Err(_)) => None,
        Err(_) => {
            ServiceStats::one(&service.stats.handshake_timeouts_total);
            None
        }
    }
}

/// Reads until it is known what is there; what was read behind it comes back.
async fn header(mode: Mode, mut tcp: TcpStream) -> std::io::Result<(Parsed, Bytes, TcpStream)> {
    let mut read = BytesMut::new();
    loop {
        match proxy_protocol::parse(mode, &read) {
            Parsed::NeedMore { at_most } if read.len() < HEADER_BYTES_MAX => {
                let mut limited = (&mut tcp).take(at_most as u64);
                read.reserve(at_most);
                if limited.read_buf(&mut read).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            parsed => {
                let consumed = if let Parsed::Header(header) = &parsed { header.consumed } else { 0 };
                let ahead = read.split_off(consumed.min(read.len())).freeze();
                return Ok((parsed, ahead, tcp));
            }
        }
    }
}
