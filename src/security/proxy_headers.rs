//! The headers with which proxies tell of the client, and the set of them that is listened to.

use std::str::FromStr;

use thiserror::Error;

/// A header with which a proxy tells of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ProxyHeader {
    /// Addresses of the client and of the proxies passed, the newest last.
    XForwardedFor,
    /// The scheme that the client used.
    XForwardedProto,
    /// The host that the client asked for.
    XForwardedHost,
    /// The port that the client connected to.
    XForwardedPort,
    /// The address of whoever connected to the proxy.
    XRealIp,
    /// All of these in one (RFC 7239).
    Forwarded,
}

impl ProxyHeader {
    /// Every header known.
    pub const ALL: [Self; 6] = [
        Self::XForwardedFor,
        Self::XForwardedProto,
        Self::XForwardedHost,
        Self::XForwardedPort,
        Self::XRealIp,
        Self::Forwarded,
    ];

    /// Its name, in the lower case that `HeaderMap` asks for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::XForwardedProto => "x-forwarded-proto",
            Self::XForwardedHost => "x-forwarded-host",
            Self::XForwardedPort => "x-forwarded-port",
            Self::XRealIp => "x-real-ip",
            Self::Forwarded => "forwarded",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A name is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{name}` is not a proxy header (accepted: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, \
     X-Real-IP, Forwarded)"
)]
pub struct UnknownProxyHeader {
    /// What was written.
    pub name: String,
}

/// A set of headers. List those that the proxies in front write or remove, and no others: what a proxy passes on
/// untouched is the client's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeaders(u8);

impl ProxyHeaders {
    /// With `header` too.
    #[must_use]
    pub const fn with(self, header: ProxyHeader) -> Self {
        Self(self.0 | header.bit())
    }

    /// Whether `header` is listened to.
    #[must_use]
    pub const fn contains(self, header: ProxyHeader) -> bool {
        self.0 & header.bit() != 0
    }

    /// The headers in the set.
    pub fn iter(self) -> impl Iterator<Item = ProxyHeader> {
        ProxyHeader::ALL.into_iter().filter(move |header| self.contains(*header))
    }

    /// Whether both `Forwarded` and an `X-` header that says the same are listened to: worth a warning at start, since
    /// few proxies write both, and the other one is then the client's word.
    #[must_use]
    pub fn has_two_families(self) -> bool {
        let forwarded = ProxyHeader::Forwarded.bit();
        self.0 & forwarded != 0 && self.0 & !forwarded != 0
    }
}

impl FromStr for ProxyHeaders {
    type Err = UnknownProxyHeader;

    /// Names with commas between them, in any case; empty parts are skipped.
    fn from_str(text: &str) -> Result<Self, UnknownProxyHeader> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.into_iter().try_fold(Self::default(), |headers, name| {
            let known = ProxyHeader::ALL.into_iter().find(|header| header.name().eq_ignore_ascii_case(name));
            known.map(|header| headers.with(header)).ok_or_else(|| UnknownProxyHeader { name: name.to_owned() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_is_listed() {
        let headers: ProxyHeaders = "X-Forwarded-For, x-real-ip,,X-Forwarded-Proto".parse().unwrap();
        let held: Vec<_> = headers.iter().map(ProxyHeader::name).collect();
        assert_eq!(held, ["x-forwarded-for", "x-forwarded-proto", "x-real-ip"]);
        assert!(!headers.has_two_families());
        assert!("forwarded,x-real-ip".parse::<ProxyHeaders>().unwrap().has_two_families());
        assert!(!"forwarded".parse::<ProxyHeaders>().unwrap().has_two_families());
        assert_eq!("".parse::<ProxyHeaders>().unwrap().iter().count(), 0);
        let error = "X-Forwarded-For,X-Client-IP".parse::<ProxyHeaders>().unwrap_err();
        assert_eq!(error.name, "X-Client-IP");
    }
}
