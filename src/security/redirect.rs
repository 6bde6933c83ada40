//! Where a plain HTTP request is sent for HTTPS: to the configured address or to an allowed host, nowhere else.
//!
//! The caller redirects only what did not come over HTTPS ([`super::proxy::Client::https`] knows of TLS that ends at a
//! trusted proxy), so the answer's target is never redirected again. Browsers do not follow redirects of a WebSocket
//! handshake: those are refused instead, as is everything that [`HttpsRedirect::location`] has no target for.

use std::fmt::Write as _;

use http::{HeaderValue, Uri};
use thiserror::Error;

use super::host::{Authority, Host};
use super::hosts::JudgedHost;

/// Bytes of a `Location`; longer ones are refused by clients and proxies.
pub const LOCATION_BYTES_MAX: usize = 8 << 10;

const HTTPS_PORT: u16 = 443;

/// A text is no public URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a public URL (accepted: https://HOST or https://HOST:PORT, without a path)")]
pub struct PublicUrlError {
    /// What was written.
    pub text: String,
}

/// The address under which clients reach the service over HTTPS, without its default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    host: String,
    port: u16,
}

impl PublicUrl {
    /// `https://HOST` or `https://HOST:PORT`; a slash may follow.
    ///
    /// # Errors
    /// [`PublicUrlError`].
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let read = || {
            let (scheme, rest) = text.trim().split_once("://")?;
            let authority = Authority::parse(rest.strip_suffix('/').unwrap_or(rest))?;
            let is_https = scheme.eq_ignore_ascii_case("https");
            is_https.then(|| Self {
                host: authority.host.to_string().to_ascii_lowercase(),
                port: authority.port.unwrap_or(HTTPS_PORT),
            })
        };
        read().ok_or_else(|| PublicUrlError { text: text.to_owned() })
    }

    /// The host, an IPv6 address in brackets: for the list of allowed hosts.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// How the target's host and port are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpsRedirect {
    /// The configured ones, whatever the request asked for.
    PublicUrl(PublicUrl),
    /// The host that the request asked for, if the list of allowed hosts holds it, and this port.
    SameHost {
        /// Where clients reach the service over HTTPS.
        port: u16,
    },
}

impl HttpsRedirect {
    /// `https://HOST[:PORT]/path?query`, without a host that nobody vouches for; `None` if there is no such target, or
    /// it is longer than [`LOCATION_BYTES_MAX`].
    ///
    /// The path stands behind a host, so that one which begins with two slashes names no other host; bytes that are not
    /// visible ASCII are percent-encoded.
    #[must_use]
    pub fn location(&self, host: Option<&JudgedHost<'_>>, uri: &Uri) -> Option<HeaderValue> {
        let listed = || host.filter(|host| host.listed).map(|host| host.authority.host);
        let (host, port) = match self {
            Self::PublicUrl(url) => (Host::parse(&url.host)?, url.port),
            Self::SameHost { port } => (listed()?, *port),
        };
        let mut location = format!("https://{host}");
        if port != HTTPS_PORT {
            write!(location, ":{port}").ok()?;
        }
        let path = uri.path();
        // `*`, the target of OPTIONS, is no path (RFC 9112, section 3.2.4).
        if !path.starts_with('/') {
            location.push('/');
        }
        if path != "*" {
            push_encoded(&mut location, path);
        }
        if let Some(query) = uri.query() {
            location.push('?');
            push_encoded(&mut location, query);
        }
        if location.len() > LOCATION_BYTES_MAX {
            return None;
        }
        HeaderValue::try_from(location).ok()
    }
}

fn push_encoded(location: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            location.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(location, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn location(redirect: &HttpsRedirect, host: Option<(&str, bool)>, uri: &str) -> Option<String> {
        let host = host.map(|(text, listed)| JudgedHost { authority: Authority::parse(text).unwrap(), listed });
        let location = redirect.location(host.as_ref(), &uri.parse().unwrap())?;
        Some(location.to_str().unwrap().to_owned())
    }

    fn public(text: &str) -> HttpsRedirect {
        HttpsRedirect::PublicUrl(PublicUrl::parse(text).unwrap())
    }

    #[test]
    fn the_target_is_the_configured_address_or_the_allowed_host() {
        let same = |port| HttpsRedirect::SameHost { port };
        let table = [
            (same(443), Some(("a.example:80", true)), "/x?y=1", Some("https://a.example/x?y=1")),
            (same(8443), Some(("a.example:5000", true)), "/x?y=1", Some("https://a.example:8443/x?y=1")),
            (same(8443), Some(("[::1]:5000", true)), "/", Some("https://[::1]:8443/")),
            (same(443), Some(("evil.org", false)), "/x", None),
            (same(443), None, "/x", None),
            (public("https://b.example"), Some(("evil.org", false)), "/x?y=1", Some("https://b.example/x?y=1")),
            (public("HTTPS://B.example:8443/"), None, "/x", Some("https://b.example:8443/x")),
            (public("https://[2001:DB8::1]:443"), None, "/x", Some("https://[2001:db8::1]/x")),
        ];
        for (redirect, host, uri, expected) in table {
            assert_eq!(location(&redirect, host, uri).as_deref(), expected, "{redirect:?} {host:?} {uri}");
        }
    }

    #[test]
    fn no_path_leads_to_another_host_or_breaks_the_header() {
        let table = [
            ("//evil.org/x", "https://b.example//evil.org/x"),
            ("http://evil.org/x?y", "https://b.example/x?y"),
            ("http://evil.org", "https://b.example/"),
            ("/%0d%0aSet-Cookie:%20a=b", "https://b.example/%0d%0aSet-Cookie:%20a=b"),
            ("/@evil.org", "https://b.example/@evil.org"),
            ("/\u{e9}?\u{e9}", "https://b.example/%C3%A9?%C3%A9"),
            ("/x?", "https://b.example/x?"),
            ("/{a}|b", "https://b.example/%7Ba%7D%7Cb"),
            ("*", "https://b.example/"),
        ];
        for (uri, expected) in table {
            assert_eq!(location(&public("https://b.example"), None, uri).as_deref(), Some(expected), "{uri}");
        }
        let long = format!("/{}", "a".repeat(LOCATION_BYTES_MAX));
        assert_eq!(location(&public("https://b.example"), None, &long), None);
    }

    #[test]
    fn a_public_url_has_no_path_and_is_secure() {
        for text in [
            "http://a.example",
            "a.example",
            "https://",
            "https://a.example/x",
            "https://u@a.example",
            "https://a.example?x",
            "https://*.a.example",
            "https://a.example:0",
        ] {
            assert_eq!(PublicUrl::parse(text), Err(PublicUrlError { text: text.to_owned() }), "{text}");
        }
        let url = PublicUrl::parse("https://A.example:8443").unwrap();
        assert_eq!((url.host(), url.port()), ("a.example", 8443));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_target_is_on_the_host(path in "/[!-~]{0,30}|//[!-~]{0,30}|/\\PC{0,20}") {
            if let Ok(uri) = path.parse::<Uri>() {
                let location = public("https://b.example").location(None, &uri).unwrap();
                let parsed: Uri = location.to_str().unwrap().parse().unwrap();
                prop_assert_eq!(parsed.authority().unwrap().as_str(), "b.example");
                prop_assert!(location.as_bytes().iter().all(u8::is_ascii_graphic));
            }
        }
    }
}
