//! The address of an issuer's JWK Set: https, or http on this machine only.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::security::endpoint::{Endpoint, EndpointError};

/// Where a JWK Set is fetched. Shown without its query, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JwksUrl(Endpoint);

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; accepted: https://HOST[:PORT]/PATH, http:// only for localhost and loopback addresses")]
pub struct JwksUrlError {
    /// What is wrong.
    pub reason: &'static str,
}

impl FromStr for JwksUrl {
    type Err = JwksUrlError;

    fn from_str(text: &str) -> Result<Self, JwksUrlError> {
        let endpoint: Endpoint = text.parse().map_err(|error: EndpointError| JwksUrlError { reason: error.reason })?;
        let host = endpoint.host();
        let local = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !endpoint.is_secure() && !local {
            return Err(JwksUrlError { reason: "keys that came unprotected could be anybody's" });
        }
        Ok(Self(endpoint))
    }
}

impl JwksUrl {
    /// Whether keys may be fetched from this address of the host: without TLS from this machine only, whatever a resolver
    /// says.
    pub(super) fn may_connect(&self, address: &SocketAddr) -> bool {
        self.0.is_secure() || address.ip().is_loopback()
    }

    /// Its parts.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwksUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        let table = [
            ("https://id.example.com/.well-known/jwks.json", "id.example.com", 443, "/.well-known/jwks.json"),
            ("https://id.example.com:8443/keys?tenant=1", "id.example.com", 8443, "/keys?tenant=1"),
            ("https://[2001:db8::1]/keys", "2001:db8::1", 443, "/keys"),
            ("https://id.example.com", "id.example.com", 443, "/"),
            ("http://localhost:8080/keys", "localhost", 8080, "/keys"),
            ("http://127.0.0.1/keys", "127.0.0.1", 80, "/keys"),
            ("http://[::1]:81/keys", "::1", 81, "/keys"),
        ];
        for (text, host, port, target) in table {
            let url: JwksUrl = text.parse().unwrap();
            let endpoint = url.endpoint();
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.target()), (host, port, target), "{text}");
        }
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        let table = [
            ("http://id.example.com/keys", "unprotected"),
            ("http://localhost.example.com/keys", "unprotected"),
            ("http://10.0.0.1/keys", "unprotected"),
            ("file:///etc/keys.json", "accepted: https://"),
            ("ftp://id.example.com/keys", "neither"),
            ("id.example.com/keys", "not an address"),
            ("/keys", "neither"),
            ("", "not an address"),
            ("https://", "not an address"),
            ("https://user:secret@id.example.com/keys", "user or password"),
            ("https://id.example.com:0/keys", "port"),
            ("https://id.example.com:99999/keys", "port"),
            ("https://id.example.com:/keys", "port"),
            ("https://id.example.com:x/keys", "accepted: https://"),
        ];
        for (text, reason) in table {
            let error = text.parse::<JwksUrl>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(format!("https://id.example.com/{}", "k".repeat(2048)).parse::<JwksUrl>().is_err());
    }

    #[test]
    fn a_query_is_not_shown() {
        let url: JwksUrl = "https://id.example.com:8443/keys?apikey=hush".parse().unwrap();
        assert_eq!(url.to_string(), "https://id.example.com:8443/keys");
        assert_eq!(format!("{url:?}"), "JwksUrl(https://id.example.com:8443/keys)");
    }

    #[test]
    fn without_tls_only_loopback_is_connected_to_whatever_the_resolver_says() {
        let plain: JwksUrl = "http://localhost/keys".parse().unwrap();
        let secure: JwksUrl = "https://id.example.com/keys".parse().unwrap();
        let (local, remote) = ("[::1]:80".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
        assert!(plain.may_connect(&local) && !plain.may_connect(&remote));
        assert!(secure.may_connect(&local) && secure.may_connect(&remote));
    }
}
