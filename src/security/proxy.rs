//! Who the client is behind the proxies in front: its address, its scheme, the host it asked for.
//!
//! A header is worth what the peer that sent it is worth. Only peers in [`ProxyTrust`]'s ranges are listened to, and
//! only to the listed headers. The addresses are walked from the right: each proxy appends the address it saw, so the
//! first one from the right that is no trusted proxy is the client, and what stands to its left is the client's own
//! word. An entry that is no address (`unknown`, an obfuscated name, junk) ends the walk: the client then is the last
//! trusted proxy known, whose limits it shares with everybody else who hides so.
//!
//! Scheme, host and port are read at the entry where that walk ended, or at the leftmost one if there are fewer; with
//! one value that is the value. A client that writes `X-Forwarded-Proto: https` before a proxy that appends gains
//! nothing.
//!
//! If `Forwarded` and `X-` headers are both listed and both there, they must agree: few proxies write both, so one of
//! them may be the client's. Where they differ, the address is the peer's, the scheme is `http`, and the host is
//! refused. `X-Real-IP` holds one address without a chain, and counts only if `X-Forwarded-For` is not listened to or
//! not there.

use std::net::IpAddr;

use http::HeaderMap;

use super::cidr::IpRanges;
use super::events::SecurityEvent;
use super::forwarded::{self, Node};
use super::host::parse_port;
use super::proxy_headers::{ProxyHeader, ProxyHeaders};

/// Entries of a chain of proxies that are looked at.
pub const HOPS_MAX: usize = 32;

/// Which peers are proxies, and which of their headers are listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyTrust {
    ranges: IpRanges,
    headers: ProxyHeaders,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'h> {
    /// Its address; IPv4-mapped addresses are IPv4.
    pub ip: IpAddr,
    /// Whether it used HTTPS (or `wss`) up to the first proxy that it met.
    pub https: bool,
    /// The host it asked for, as a trusted proxy tells: to be judged like a `Host` header. Empty when it cannot be read
    /// or the headers contradict each other, which is no host.
    pub host: Option<&'h str>,
    /// The port it connected to, as a trusted proxy tells.
    pub port: Option<u16>,
    /// Whether the peer is a trusted proxy.
    pub trusted_hop: bool,
    /// What was odd about it.
    pub note: ProxyNote,
}

/// What was odd about a request's proxy headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyNote {
    /// Nothing.
    #[default]
    None,
    /// A peer that is no trusted proxy sent listed headers; they were ignored.
    Untrusted,
    /// `Forwarded` and the `X-` headers contradict each other.
    Conflict,
    /// An entry that was reached is no address.
    Opaque,
    /// More than [`HOPS_MAX`] trusted proxies; the last one looked at counts as the client.
    TooManyHops,
}

impl ProxyNote {
    /// The event that it is counted and told as.
    #[must_use]
    pub fn event(self) -> Option<SecurityEvent> {
        match self {
            Self::None => None,
            Self::Untrusted => Some(SecurityEvent::ProxyHeaderUntrusted),
            Self::Conflict | Self::Opaque | Self::TooManyHops => Some(SecurityEvent::ProxyHeaderInvalid),
        }
    }
}

/// What one family of headers says.
#[derive(Clone, Copy, Default)]
struct Claims<'h> {
    ip: Option<IpAddr>,
    https: Option<bool>,
    host: Option<&'h str>,
    port: Option<u16>,
    note: ProxyNote,
}

/// Where a walk ended.
struct Walked {
    ip: IpAddr,
    /// Its entry, counted from the right.
    hop: usize,
    note: ProxyNote,
}

impl ProxyTrust {
    /// Listens to `headers` of peers in `ranges`.
    #[must_use]
    pub fn new(ranges: IpRanges, headers: ProxyHeaders) -> Self {
        Self { ranges, headers }
    }

    /// Whether a peer is a trusted proxy; the PROXY protocol asks too.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.ranges.contains(peer)
    }

    /// Who sent a request that came from `peer`: the TCP peer, or the source that the PROXY protocol named.
    #[must_use]
    pub fn client<'h>(&self, peer: IpAddr, transport_is_tls: bool, headers: &'h HeaderMap) -> Client<'h> {
        let peer = peer.to_canonical();
        let trusted_hop = self.trusts(peer);
        let direct =
            Client { ip: peer, https: transport_is_tls, host: None, port: None, trusted_hop, note: ProxyNote::None };
        if !trusted_hop {
            let told = self.headers.iter().any(|header| headers.contains_key(header.name()));
            return Client { note: if told { ProxyNote::Untrusted } else { ProxyNote::None }, ..direct };
        }
        let claims = merge(peer, self.forwarded(peer, headers), self.x_headers(peer, headers));
        Client {
            ip: claims.ip.unwrap_or(peer),
            https: claims.https.unwrap_or(transport_is_tls),
            host: claims.host,
            port: claims.port,
            note: claims.note,
            ..direct
        }
    }

    fn forwarded<'h>(&self, peer: IpAddr, headers: &'h HeaderMap) -> Claims<'h> {
        if !self.headers.contains(ProxyHeader::Forwarded) {
            return Claims::default();
        }
        let elements = forwarded::elements_from_right(headers, HOPS_MAX + 1);
        let Some(newest) = elements.first() else { return Claims::default() };
        let walked = self.walk(
            peer,
            elements.iter().map(|element| match element.node {
                Node::Ip(ip) => Some(ip),
                Node::Absent | Node::Opaque => None,
            }),
        );
        let reached = elements.get(walked.hop).unwrap_or(newest);
        let silent = newest.node == Node::Absent;
        Claims {
            ip: (!silent).then_some(walked.ip),
            https: reached.proto.and_then(|proto| scheme(proto.as_bytes())),
            host: reached.host,
            port: None,
            note: if silent { ProxyNote::None } else { walked.note },
        }
    }

    fn x_headers<'h>(&self, peer: IpAddr, headers: &'h HeaderMap) -> Claims<'h> {
        let heard = |header| self.headers.contains(header) && headers.contains_key(ProxyHeader::name(header));
        let walked = if heard(ProxyHeader::XForwardedFor) {
            let entries = from_right(headers, ProxyHeader::XForwardedFor);
            Some(self.walk(peer, entries.map(forwarded::address)))
        } else if heard(ProxyHeader::XRealIp) {
            // One address: with several, whose it is cannot be told.
            let mut entries = from_right(headers, ProxyHeader::XRealIp);
            let address = entries.next().filter(|_| entries.next().is_none()).and_then(forwarded::address);
            Some(match address {
                Some(ip) => Walked { ip, hop: 0, note: ProxyNote::None },
                None => Walked { ip: peer, hop: 0, note: ProxyNote::Opaque },
            })
        } else {
            None
        };
        let hop = walked.as_ref().map_or(0, |walked| walked.hop);
        let said = |header| heard(header).then(|| value_at(headers, header, hop));
        Claims {
            ip: walked.as_ref().map(|walked| walked.ip),
            https: said(ProxyHeader::XForwardedProto).and_then(scheme),
            host: said(ProxyHeader::XForwardedHost).map(|host| std::str::from_utf8(host).unwrap_or_default()),
            port: said(ProxyHeader::XForwardedPort).and_then(|port| parse_port(std::str::from_utf8(port).ok()?)),
            note: walked.map_or(ProxyNote::None, |walked| walked.note),
        }
    }

    fn walk(&self, peer: IpAddr, entries: impl Iterator<Item = Option<IpAddr>>) -> Walked {
        let mut walked = Walked { ip: peer, hop: 0, note: ProxyNote::None };
        for (hop, entry) in entries.enumerate() {
            if hop == HOPS_MAX {
                return Walked { note: ProxyNote::TooManyHops, ..walked };
            }
            match entry {
                Some(ip) => walked = Walked { ip, hop, note: ProxyNote::None },
                None => return Walked { hop, note: ProxyNote::Opaque, ..walked },
            }
            if !self.trusts(walked.ip) {
                break;
            }
        }
        walked
    }
}

/// The entries of all lines of a header, the last first, without blanks and without empty ones.
fn from_right(headers: &HeaderMap, header: ProxyHeader) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header.name()).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty())
}

/// The entry at `hop` from the right, or the leftmost; empty if there is none.
fn value_at(headers: &HeaderMap, header: ProxyHeader, hop: usize) -> &[u8] {
    from_right(headers, header).take(hop + 1).last().unwrap_or_default()
}

/// Whether a scheme is secure; some proxies name a WebSocket's own. `None` for anything else, which says nothing.
fn scheme(text: &[u8]) -> Option<bool> {
    let is = |name: &[u8]| text.eq_ignore_ascii_case(name);
    if is(b"https") || is(b"wss") {
        Some(true)
    } else if is(b"http") || is(b"ws") {
        Some(false)
    } else {
        None
    }
}

/// What both families together say; see the top of this file.
fn merge<'h>(peer: IpAddr, one: Claims<'h>, other: Claims<'h>) -> Claims<'h> {
    let mut note = if one.note == ProxyNote::None { other.note } else { one.note };
    let mut agree = |same: bool| {
        if !same {
            note = ProxyNote::Conflict;
        }
        same
    };
    let ip = match (one.ip, other.ip) {
        (Some(one), Some(other)) => Some(if agree(one == other) { one } else { peer }),
        (one, other) => one.or(other),
    };
    let https = match (one.https, other.https) {
        (Some(one), Some(other)) => Some(agree(one == other) && one),
        (one, other) => one.or(other),
    };
    let host = match (one.host, other.host) {
        (Some(one), Some(other)) => Some(if agree(one.eq_ignore_ascii_case(other)) { one } else { "" }),
        (one, other) => one.or(other),
    };
    Claims { ip, https, host, port: one.port.or(other.port), note }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
