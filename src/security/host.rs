//! A host with its port as it stands in `Host`, `Origin` and URLs: parsed strictly, compared without regard to case.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a host's name without its trailing dot (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// Bytes between two dots (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Digits of a port.
const PORT_DIGITS_MAX: usize = 5;

/// A name or an address. A name has no trailing dot: `example.com.` names what `example.com` names.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A DNS name in ASCII; international names come in punycode.
    Name(&'a str),
    /// An IPv4 address, or an IPv6 address (in brackets where it stands in text).
    Ip(IpAddr),
}

impl<'a> Host<'a> {
    /// A host alone; `None` when `text` is none. What a browser would read as a number (`127.1`, `0x7f000001`) is an
    /// address in four decimal parts or nothing, so that no two spellings of an address pass for two hosts.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Ip(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > NAME_BYTES_MAX || !name.split('.').all(is_label) {
            return None;
        }
        let last = name.rsplit('.').next()?;
        let hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return name.parse::<Ipv4Addr>().ok().map(|address| Self::Ip(address.into()));
        }
        Some(Self::Name(name))
    }
}

/// Underscores are no host name's, yet in use.
fn is_label(label: &str) -> bool {
    let fits = (1..=LABEL_BYTES_MAX).contains(&label.len());
    fits && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(other)) => one.eq_ignore_ascii_case(other),
            (Self::Ip(one), Self::Ip(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Ip(IpAddr::V4(address)) => address.fmt(formatter),
            Self::Ip(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

/// A host and, where it is written, its port (RFC 9110, section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host.
    pub host: Host<'a>,
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// `HOST` or `HOST:PORT`; `None` for anything else: user information, an empty or zero port, a path, blanks.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = split_port(text)?;
        Some(Self { host: Host::parse(host)?, port })
    }
}

/// Splits off the port; the host is not judged.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let host_end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(host_end);
    if rest.is_empty() {
        return Some((host, None));
    }
    parse_port(rest.strip_prefix(':')?).map(|port| (host, Some(port)))
}

/// A port from 1 on, in digits only.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.len() <= PORT_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?.filter(|port| *port != 0)
}

/// The hosts that a setting stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name.
    Name(String),
    /// `*.` and this name: every name with exactly one label more, as in certificates (RFC 9525, section 6.3). Neither
    /// the name itself nor names two labels down.
    OneLabelBelow(String),
    /// This address.
    Ip(IpAddr),
}

impl HostPattern {
    /// `None` when `text` is neither a host nor `*.` and a name of at least two labels: `*.com` is half the internet.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("*.") {
            return match Host::parse(rest)? {
                Host::Name(name) if name.contains('.') => Some(Self::OneLabelBelow(name.to_ascii_lowercase())),
                _ => None,
            };
        }
        Some(match Host::parse(text)? {
            Host::Name(name) => Self::Name(name.to_ascii_lowercase()),
            Host::Ip(address) => Self::Ip(address),
        })
    }

    /// Whether it stands for `host`.
    #[must_use]
    pub fn matches(&self, host: Host<'_>) -> bool {
        match (self, host) {
            (Self::Name(own), Host::Name(name)) => own.eq_ignore_ascii_case(name),
            (Self::OneLabelBelow(own), Host::Name(name)) => {
                name.split_once('.').is_some_and(|(_, rest)| own.eq_ignore_ascii_case(rest))
            }
            (Self::Ip(own), Host::Ip(address)) => *own == address,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_and_ports_are_read_strictly() {
        let table = [
            ("example.com", Some(("example.com", None))),
            ("Example.COM:8443", Some(("Example.COM", Some(8443)))),
            ("example.com.", Some(("example.com", None))),
            ("a_b-c.example", Some(("a_b-c.example", None))),
            ("127.0.0.1:80", Some(("127.0.0.1", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("[2001:DB8::1]:5000", Some(("[2001:db8::1]", Some(5000)))),
            ("", None),
            (".", None),
            ("..", None),
            ("a..b", None),
            (".example.com", None),
            ("example.com:", None),
            ("example.com:0", None),
            ("example.com:65536", None),
            ("example.com:+80", None),
            ("example.com:000080", None),
            ("example.com:80:80", None),
            ("user@example.com", None),
            ("example.com/path", None),
            ("example.com?x", None),
            ("example.com\\@evil.org", None),
            ("exa mple.com", None),
            ("exämple.com", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[fe80::1%25eth0]", None),
            ("[127.0.0.1]", None),
            ("127.1", None),
            ("2130706433", None),
            ("0x7f000001", None),
            ("127.0.0.0x1", None),
            ("127.0.0.01", None),
            ("*.example.com", None),
        ];
        for (text, expected) in table {
            let parsed = Authority::parse(text).map(|authority| (authority.host.to_string(), authority.port));
            assert_eq!(parsed, expected.map(|(host, port)| (host.to_owned(), port)), "{text:?}");
        }
        assert!(Host::parse(&"a".repeat(64)).is_none());
        assert!(Host::parse(&format!("{}a", "a.".repeat(126))).is_some());
        assert!(Host::parse(&format!("{}aa", "a.".repeat(126))).is_none());
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        let matches =
            |pattern: &str, host: &str| HostPattern::parse(pattern).unwrap().matches(Host::parse(host).unwrap());
        assert!(matches("*.example.com", "a.EXAMPLE.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "evilexample.com"));
        assert!(!matches("*.example.com", "a.example.com.evil.org"));
        assert!(matches("Example.com", "eXample.com."));
        assert!(!matches("127.0.0.1", "localhost"));
        assert!(matches("[::1]", "[0:0::1]"));
        for refused in ["*", "*.com", "*.*.com", "a.*.com", "*a.example.com", "*.127.0.0.1", "*.[::1]", "https://a", ""]
        {
            assert_eq!(HostPattern::parse(refused), None, "{refused}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_reads_the_same_when_written(text in "\\PC{0,40}|[a-z0-9.:\\[\\]*-]{0,24}") {
            if let Some(host) = Host::parse(&text) {
                let written = host.to_string();
                prop_assert_eq!(Host::parse(&written), Some(host));
                prop_assert!(!written.contains(|c: char| c.is_whitespace() || "/@?#\\".contains(c)));
            }
            let _ = HostPattern::parse(&text);
        }
    }
}
