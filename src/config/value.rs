//! Parsers of single values: booleans, numbers, durations, sizes, addresses.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::ConfigError;

/// Bytes of a host's name (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 255;

/// A setting as typed: its names and its text; empty text counts as unset.
pub(super) struct Given<'a> {
    pub(super) setting: &'static str,
    pub(super) text: &'a str,
}

pub(super) fn given<'a>(setting: &'static str, text: Option<&'a String>) -> Option<Given<'a>> {
    let text = text?.trim();
    (!text.is_empty()).then_some(Given { setting, text })
}

impl Given<'_> {
    pub(super) fn refuse(&self, reason: impl Into<String>, accepted: impl Into<String>) -> ConfigError {
        ConfigError::new(self.setting, self.text, reason, accepted)
    }

    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        match self.text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(self.refuse("not a boolean", "true, false, 1, 0, yes, no, on, off")),
        }
    }

    pub(super) fn number(&self, from: u64, to: u64) -> Result<u64, ConfigError> {
        let accepted = || format!("a whole number from {from} to {to}");
        let number: u64 = self.text.parse().map_err(|_| self.refuse("not a number", accepted()))?;
        if number < from || number > to {
            return Err(self.refuse("out of range", accepted()));
        }
        Ok(number)
    }

    pub(super) fn duration(&self, from: Duration, to: Duration) -> Result<Duration, ConfigError> {
        let accepted = || format!("a duration such as 300, 250ms, 5m or 1h30m, from {from:?} to {to:?}");
        let duration = parse_duration(self.text).ok_or_else(|| self.refuse("not a duration", accepted()))?;
        if duration < from || duration > to {
            return Err(self.refuse("out of range", accepted()));
        }
        Ok(duration)
    }

    pub(super) fn size(&self, from: u64, to: u64) -> Result<u64, ConfigError> {
        let accepted = || format!("a size such as 104857600, 100MB (10^6) or 100MiB (2^20), from {from} to {to} bytes");
        let size = parse_size(self.text).ok_or_else(|| self.refuse("not a size", accepted()))?;
        if size < from || size > to {
            return Err(self.refuse("out of range", accepted()));
        }
        Ok(size)
    }

    /// An address to bind: the host may be a name, the first address it resolves to counts.
    pub(super) fn bind(&self) -> Result<SocketAddr, ConfigError> {
        const ACCEPTED: &str = "HOST:PORT, where HOST is an address or name of this machine";
        self.peer()?;
        resolve(self.text).map_err(|reason| self.refuse(reason, ACCEPTED))
    }

    /// HOST:PORT of another machine: only its form is checked.
    pub(super) fn peer(&self) -> Result<(), ConfigError> {
        check_host_port(self.text)
            .map(drop)
            .map_err(|reason| self.refuse(reason, "HOST:PORT, IPv6 in brackets, port 0 to 65535"))
    }
}

pub(super) fn resolve(host_port: &str) -> Result<SocketAddr, String> {
    match host_port.to_socket_addrs() {
        Ok(mut addresses) => addresses.next().ok_or_else(|| "the name has no address".to_owned()),
        Err(error) => Err(format!("the name does not resolve ({error})")),
    }
}

pub(super) fn check_host_port(text: &str) -> Result<u16, String> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let host_is_whole = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !host_is_whole || host.len() > HOST_BYTES_MAX {
        return Err("the host is not a name or address".to_owned());
    }
    port.parse::<u16>().map_err(|_| "the port is not a number from 0 to 65535".to_owned())
}

/// `300` (seconds), `250ms`, `5m`, `1h30m`, `2d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let part = match &rest[..unit_end] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// `104857600`, `100MB` (powers of 1000), `100MiB` (powers of 1024).
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}
