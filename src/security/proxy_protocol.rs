//! The PROXY protocol, versions 1 and 2: what a TCP load balancer says of the client before the client's first byte.
//!
//! Source: HAProxy's `doc/proxy-protocol.txt`, sections 2.1, 2.2. The caller reads into a buffer, never more than
//! [`Parsed::NeedMore`] asks for, and hands in all of it each time; so the byte behind the header stays in the socket,
//! for TLS or HTTP to read. A receiver must not guess whether a header is there (section 2): with a mode other than
//! [`Mode::Off`] every connection needs one, and comes from a trusted proxy, or is closed. [`Mode::Auto`] guesses the
//! version only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use super::host::parse_port;

/// Bytes of a header. Version 1 ends within 107; version 2 could announce 64 KiB, of which this holds the addresses and
/// more extensions than any load balancer sends.
pub const HEADER_BYTES_MAX: usize = 4096;

const V1_BYTES_MAX: usize = 107;
/// `PROXY UNKNOWN` and its line end.
const V1_BYTES_MIN: usize = 15;
const V1_START: &[u8] = b"PROXY ";
/// Blanks in a version 1 header with addresses.
const V1_BLANKS: usize = 5;
const V2_START: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part of a version 2 header that is always there.
const V2_FIXED_BYTES: usize = 16;

const TLV_CRC32C: u8 = 0x03;
const TLV_SSL: u8 = 0x20;
/// In the first byte of [`TLV_SSL`]: the client came over TLS.
const SSL_CLIENT: u8 = 0x01;

/// Which versions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// None: connections begin with the client's bytes.
    #[default]
    Off,
    /// The text form.
    V1,
    /// The binary form.
    V2,
    /// Either form, but one of them.
    Auto,
}

/// A text is no [`Mode`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a PROXY protocol mode (accepted: off, v1, v2, auto)")]
pub struct UnknownMode {
    /// What was written.
    pub text: String,
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text.trim().to_ascii_lowercase().as_str() {
            "off" => Ok(Self::Off),
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            "auto" => Ok(Self::Auto),
            _ => Err(UnknownMode { text: text.to_owned() }),
        }
    }
}

/// What the bytes read so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is not whole yet.
    NeedMore {
        /// Bytes that may be read without reading past its end; at least 1.
        at_most: usize,
    },
    /// A whole header.
    Header(Header),
    /// The connection does not begin with a header.
    NotThere,
    /// It begins like a header that is none.
    Invalid(ProxyProtocolError),
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client. `None` when the load balancer speaks for itself (LOCAL, a health check) or does not know (UNKNOWN,
    /// no TCP): then the peer is the client.
    pub source: Option<SocketAddr>,
    /// Whether the load balancer says that the client came over TLS, which it took off.
    pub client_tls: bool,
    /// Bytes of the header.
    pub consumed: usize,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProxyProtocolError {
    /// No line end where one must be.
    #[error("the PROXY header has no line end within {V1_BYTES_MAX} bytes")]
    LineEnd,
    /// A field of version 1 is none.
    #[error("the PROXY header is not `PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT` or `PROXY UNKNOWN`")]
    Line,
    /// Neither version 2, nor LOCAL or PROXY.
    #[error("the PROXY header has the version and command {0:#04x} (accepted: 0x20, 0x21)")]
    VersionOrCommand(u8),
    /// An address family or transport that is not defined.
    #[error("the PROXY header has the family and transport {0:#04x}, which is not defined")]
    Family(u8),
    /// The announced length does not hold what must be there.
    #[error("the PROXY header's {0} bytes do not hold its addresses")]
    TooShort(u16),
    /// The announced length is out of bounds.
    #[error("the PROXY header announces {0} bytes (accepted: up to {max})", max = HEADER_BYTES_MAX - V2_FIXED_BYTES)]
    TooLong(u16),
    /// An extension reaches beyond the header.
    #[error("the PROXY header's extensions do not fit into it")]
    Extensions,
    /// The checksum is wrong.
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// Judges the bytes read from a connection so far.
#[must_use]
pub fn parse(mode: Mode, bytes: &[u8]) -> Parsed {
    let begins = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
    let (v1, v2) = match mode {
        Mode::Off => (false, false),
        Mode::V1 => (true, false),
        Mode::V2 => (false, true),
        Mode::Auto => (true, true),
    };
    let parsed = if v1 && begins(V1_START) {
        parse_v1(bytes)
    } else if v2 && begins(V2_START) {
        parse_v2(bytes)
    } else {
        return Parsed::NotThere;
    };
    parsed.unwrap_or_else(Parsed::Invalid)
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    // Neither half of a line end may stand alone.
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return need_more_v1(window, 0);
    };
    match window[end..] {
        [b'\r'] => need_more_v1(window, 1),
        [b'\r', b'\n', ..] => {
            let (source, consumed) = (parse_line(&window[..end])?, end + 2);
            Ok(Parsed::Header(Header { source, client_tls: false, consumed }))
        }
        _ => Err(ProxyProtocolError::LineEnd),
    }
}

/// The least that is still to come: a field behind each missing blank, then the line end.
fn need_more_v1(window: &[u8], of_line_end: usize) -> Result<Parsed, ProxyProtocolError> {
    let is_of_tcp = window.starts_with(b"PROXY TCP");
    let blanks = window.iter().filter(|byte| **byte == b' ').count();
    let fields = if is_of_tcp { V1_BLANKS.saturating_sub(blanks) } else { 0 };
    let line_end = 2 - of_line_end;
    let room = V1_BYTES_MAX - window.len();
    if line_end > room {
        return Err(ProxyProtocolError::LineEnd);
    }
    let to_come = if of_line_end > 0 { line_end } else { line_end + 2 * fields };
    Ok(Parsed::NeedMore { at_most: to_come.max(V1_BYTES_MIN.saturating_sub(window.len())).min(room) })
}

/// A line without its end.
fn parse_line(line: &[u8]) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let line = std::str::from_utf8(line).map_err(|_| ProxyProtocolError::Line)?;
    let mut fields = line.split(' ').skip(1);
    let family = fields.next();
    if family == Some("UNKNOWN") {
        // Whatever follows is to be ignored.
        return Ok(None);
    }
    let four = [fields.next(), fields.next(), fields.next(), fields.next()];
    let ([Some(source), Some(destination), Some(source_port), Some(destination_port)], None) = (four, fields.next())
    else {
        return Err(ProxyProtocolError::Line);
    };
    let address = |text: &str| match family {
        Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => None,
    };
    let read = || {
        let (ip, port) = (address(source)?, port(source_port)?);
        address(destination).and(port_or_none(destination_port)).map(|()| SocketAddr::new(ip.to_canonical(), port))
    };
    read().map(Some).ok_or(ProxyProtocolError::Line)
}

/// A number without leading zeros (section 2.1); 0 is one here.
fn port(text: &str) -> Option<u16> {
    if text == "0" { Some(0) } else { parse_port(text).filter(|_| !text.starts_with('0')) }
}

fn port_or_none(text: &str) -> Option<()> {
    port(text).map(drop)
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED_BYTES>() else {
        return Ok(Parsed::NeedMore { at_most: V2_FIXED_BYTES - bytes.len() });
    };
    let [.., command, family, length_high, length_low] = *fixed;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyProtocolError::VersionOrCommand(command)),
    };
    let length = u16::from_be_bytes([length_high, length_low]);
    let consumed = V2_FIXED_BYTES + usize::from(length);
    if consumed > HEADER_BYTES_MAX {
        return Err(ProxyProtocolError::TooLong(length));
    }
    let addresses_len = match (is_local, family) {
        // The family of a LOCAL header is to be ignored, and so is what follows.
        (true, _) | (_, 0x00) => 0,
        (_, 0x11 | 0x12) => 12,
        (_, 0x21 | 0x22) => 36,
        (_, 0x31 | 0x32) => 216,
        _ => return Err(ProxyProtocolError::Family(family)),
    };
    if usize::from(length) < addresses_len {
        return Err(ProxyProtocolError::TooShort(length));
    }
    let Some(header) = bytes.get(..consumed) else {
        return Ok(Parsed::NeedMore { at_most: consumed - bytes.len() });
    };
    if is_local {
        return Ok(Parsed::Header(Header { source: None, client_tls: false, consumed }));
    }
    let (addresses, extensions) = header[V2_FIXED_BYTES..].split_at(addresses_len);
    // Datagrams and local sockets have no address that is a TCP client's.
    let source = match family {
        0x11 => source_v4(addresses),
        0x21 => source_v6(addresses),
        _ => None,
    };
    let client_tls = read_extensions(header, extensions)?;
    Ok(Parsed::Header(Header { source, client_tls, consumed }))
}

/// Source and destination address, source and destination port.
fn source_v4(addresses: &[u8]) -> Option<SocketAddr> {
    let (address, port) = (addresses.first_chunk::<4>()?, addresses.get(8..10)?.first_chunk::<2>()?);
    Some(SocketAddr::new(Ipv4Addr::from(*address).into(), u16::from_be_bytes(*port)))
}

fn source_v6(addresses: &[u8]) -> Option<SocketAddr> {
    let (address, port) = (addresses.first_chunk::<16>()?, addresses.get(32..34)?.first_chunk::<2>()?);
    Some(SocketAddr::new(IpAddr::from(*address).to_canonical(), u16::from_be_bytes(*port)))
}

/// Type, length, value, each within the header (section 2.2). Checks the checksum, if one is there, and says whether
/// the client came over TLS.
fn read_extensions(header: &[u8], mut rest: &[u8]) -> Result<bool, ProxyProtocolError> {
    let mut client_tls = false;
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<3>().ok_or(ProxyProtocolError::Extensions)?;
        let [kind, length_high, length_low] = *head;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let (value, tail) = tail.split_at_checked(length).ok_or(ProxyProtocolError::Extensions)?;
        match kind {
            TLV_CRC32C => {
                let at = header.len() - tail.len() - length;
                let told: [u8; 4] = value.try_into().map_err(|_| ProxyProtocolError::Extensions)?;
                if crc32c_with_zeros(header, at) != u32::from_be_bytes(told) {
                    return Err(ProxyProtocolError::Checksum);
                }
            }
            TLV_SSL => client_tls = value.first().ok_or(ProxyProtocolError::Extensions)? & SSL_CLIENT != 0,
            _ => {}
        }
        rest = tail;
    }
    Ok(client_tls)
}

/// CRC-32C (RFC 3309, appendix) of a header whose four bytes at `zeros_at` count as zero. Bit by bit: a header is
/// short, and there is one per connection.
fn crc32c_with_zeros(header: &[u8], zeros_at: usize) -> u32 {
    let zeros = zeros_at..zeros_at + 4;
    let bytes = header.iter().enumerate().map(|(at, byte)| if zeros.contains(&at) { 0 } else { *byte });
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 })
    })
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
