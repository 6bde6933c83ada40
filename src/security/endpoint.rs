//! The address of a web service that is asked or told: `https://HOST[:PORT]/PATH`, or `http://` where nobody listens in. It
//! stands for receivers of log lines and alerts, and under further rules for an issuer's keys.

use std::fmt;
use std::str::FromStr;

use http::Uri;

const URL_BYTES_MAX: usize = 2048;

/// See the module. Shown without its query, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    secure: bool,
    /// A name or an address, IPv6 without brackets.
    host: String,
    port: u16,
    /// Host and port as in the address, for the `Host` header.
    authority: String,
    /// Path and query.
    target: String,
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; accepted: https://HOST[:PORT]/PATH or http://HOST[:PORT]/PATH")]
pub struct EndpointError {
    /// What is wrong.
    pub reason: &'static str,
}

impl Endpoint {
    /// Whether what is sent travels encrypted.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// A name or an address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as in the address, for the `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let refuse = |reason| Err(EndpointError { reason });
        if text.len() > URL_BYTES_MAX {
            return refuse("longer than 2048 bytes");
        }
        let Ok(uri) = text.parse::<Uri>() else { return refuse("not an address (URL)") };
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return refuse("neither https:// nor http://"),
        };
        let Some(authority) = uri.authority() else { return refuse("the host is missing") };
        if authority.as_str().contains('@') {
            return refuse("a user or password in it");
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).to_owned();
        if host.is_empty() {
            return refuse("the host is missing");
        }
        let usual = if secure { 443 } else { 80 };
        let port = match authority.port_u16() {
            Some(port) if port != 0 => port,
            None if authority.as_str() == authority.host() => usual,
            _ => return refuse("the port is not a number from 1 to 65535"),
        };
        let target = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        Ok(Self { secure, host, port, authority: authority.to_string(), target })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_query() {
        let table = [
            ("https://logs.example.com/api/ingest", "logs.example.com", 443, "/api/ingest"),
            ("http://10.0.0.1:3100/push?key=c4n4ry", "10.0.0.1", 3100, "/push?key=c4n4ry"),
            ("https://[2001:db8::1]", "2001:db8::1", 443, "/"),
        ];
        for (text, host, port, target) in table {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.target.as_str()), (host, port, target));
            assert!(!format!("{endpoint} {endpoint:?}").contains("c4n4ry"));
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "ftp://host/x",
            "host/x",
            "",
            "https://",
            "https://user:c4n4ry@host/",
            "https://host:0/",
            "https://host:x/",
            "https://host:99999/",
            "/x",
            "https://host:/",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("accepted: https://") && !error.contains("c4n4ry"), "{error}");
        }
    }
}
