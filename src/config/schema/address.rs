//! Kinds of settings that are addresses: of this machine, of others, of the web.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use serde_json::{Value, json};

use super::kind::Kind;

/// Bytes of a host's name (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// Bytes of a web address.
const URL_BYTES_MAX: usize = 2_048;

/// The path of a URL on this server: begins with one slash, no query.
#[derive(Clone, Copy, Debug)]
pub struct UrlPath;

impl Kind for UrlPath {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
        if !text.starts_with('/') || text.starts_with("//") {
            return Err("it does not begin with one slash".to_owned());
        }
        if !text.chars().all(plain) || text.split('/').any(|part| part == "..") {
            return Err("not a plain path".to_owned());
        }
        let trimmed = text.trim_end_matches('/');
        if trimmed.is_empty() {
            return Err("the root is not free".to_owned());
        }
        Ok(trimmed.to_owned())
    }

    fn accepted(&self) -> String {
        "an absolute path such as /websocket/health, of letters, digits, '/', '-', '_', '.', '~'".to_owned()
    }

    fn json_schema(&self) -> Value {
        json!({"type": "string", "pattern": "^/[A-Za-z0-9/_.~-]+$"})
    }
}

/// A web address without user and password, fragment or blanks; trailing slashes are dropped.
#[derive(Clone, Copy, Debug)]
pub struct WebAddress;

impl Kind for WebAddress {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("{} bytes long", text.len()));
        }
        let lower = text.to_ascii_lowercase();
        let rest = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://"));
        let rest = rest.ok_or("not a web address")?;
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            return Err("not a web address".to_owned());
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("it holds a user's name or password".to_owned());
        }
        let with_port = if authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']')) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        check_host_port(&with_port)?;
        Ok(text.trim_end_matches('/').to_owned())
    }

    fn accepted(&self) -> String {
        "http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]".to_owned()
    }

    fn json_schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://", "maxLength": URL_BYTES_MAX})
    }
}

/// HOST:PORT; the host is a name or an address (IPv6 in brackets) and is not resolved yet.
#[derive(Clone, Copy, Debug)]
pub struct HostPort;

impl Kind for HostPort {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        check_host_port(text).map(|_| text.to_owned())
    }

    fn accepted(&self) -> String {
        "HOST:PORT, IPv6 in brackets, port 0 to 65535".to_owned()
    }

    fn json_schema(&self) -> Value {
        json!({"type": "string", "pattern": ":[0-9]+$"})
    }
}

/// A host without a port: a name or an address, IPv6 with or without brackets.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Kind for Host {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if bare.parse::<IpAddr>().is_ok() {
            return Ok(bare.to_owned());
        }
        check_host_port(&format!("{text}:0")).map(|_| text.to_owned())
    }

    fn accepted(&self) -> String {
        "an address or name of this machine, such as 127.0.0.1, ::1 or 0.0.0.0".to_owned()
    }

    fn json_schema(&self) -> Value {
        json!({"type": "string", "maxLength": HOST_BYTES_MAX})
    }
}

/// Address to listen on: the first that the host resolves to.
///
/// # Errors
/// Why it has none.
pub(crate) fn resolve(host_port: &str) -> Result<SocketAddr, String> {
    match host_port.to_socket_addrs() {
        Ok(mut addresses) => addresses.next().ok_or_else(|| "the name has no address".to_owned()),
        Err(error) => Err(format!("the name does not resolve ({error})")),
    }
}

/// The port of a well-formed HOST:PORT.
pub(crate) fn check_host_port(text: &str) -> Result<u16, String> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let host_is_whole = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !host_is_whole || host.len() > HOST_BYTES_MAX {
        return Err("the host is not a name or address".to_owned());
    }
    port.parse::<u16>().map_err(|_| "the port is not a number from 0 to 65535".to_owned())
}
