//! What a setting's text may be: one kind for each form, with its parser, its accepted form in words and its JSON Schema.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// Bytes of a host's name (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// Bytes of a web address.
const URL_BYTES_MAX: usize = 2_048;

/// A form of text.
pub trait Kind: Sync {
    /// What the text means.
    type Value;

    /// Reads text that is neither empty nor surrounded by blanks.
    ///
    /// # Errors
    /// Why it is refused, without the text itself: it may be a secret.
    fn parse(&self, text: &str) -> Result<Self::Value, String>;

    /// What would be accepted, in words.
    fn accepted(&self) -> String;

    /// The JSON Schema (draft 2020-12) of the value in a file.
    fn json_schema(&self) -> Value;
}

/// `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off`, in any case.
#[derive(Clone, Copy, Debug)]
pub struct Boolean;

impl Kind for Boolean {
    type Value = bool;

    fn parse(&self, text: &str) -> Result<bool, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("not a boolean".to_owned()),
        }
    }

    fn accepted(&self) -> String {
        "true, false, 1, 0, yes, no, on, off".to_owned()
    }

    fn json_schema(&self) -> Value {
        json!({"type": "boolean"})
    }
}

/// A whole number in a range, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// The least.
    pub from: u64,
    /// The greatest.
    pub to: u64,
}

impl Number {
    pub(super) const fn new(from: u64, to: u64) -> Self {
        Self { from, to }
    }
}

impl Kind for Number {
    type Value = u64;

    fn parse(&self, text: &str) -> Result<u64, String> {
        let number = text.parse().map_err(|_| "not a whole number".to_owned())?;
        in_range(number, self.from, self.to)
    }

    fn accepted(&self) -> String {
        format!("a whole number from {} to {}", self.from, self.to)
    }

    fn json_schema(&self) -> Value {
        json!({"type": "integer", "minimum": self.from, "maximum": self.to})
    }
}

fn in_range<T: PartialOrd>(value: T, from: T, to: T) -> Result<T, String> {
    if value < from || value > to { Err("out of range".to_owned()) } else { Ok(value) }
}

/// A duration in a range: `300` (seconds), `250ms`, `5m`, `1h30m`, `2d`.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The shortest.
    pub from: Duration,
    /// The longest.
    pub to: Duration,
}

impl Span {
    pub(super) const fn seconds(from: u64, to: u64) -> Self {
        Self { from: Duration::from_secs(from), to: Duration::from_secs(to) }
    }

    pub(super) const fn milliseconds(from: u64, to: u64) -> Self {
        Self { from: Duration::from_millis(from), to: Duration::from_millis(to) }
    }
}

impl Kind for Span {
    type Value = Duration;

    fn parse(&self, text: &str) -> Result<Duration, String> {
        in_range(parse_duration(text).ok_or("not a duration")?, self.from, self.to)
    }

    fn accepted(&self) -> String {
        format!("a duration such as 300 (seconds), 250ms, 5m or 1h30m, from {:?} to {:?}", self.from, self.to)
    }

    fn json_schema(&self) -> Value {
        json!({"type": ["integer", "string"], "minimum": 0, "pattern": r"^\s*([0-9]+|([0-9]+(ms|s|m|h|d))+)\s*$"})
    }
}

/// A size in bytes, in a range: `104857600`, `100MB` (10^6), `100MiB` (2^20).
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The least, in bytes.
    pub from: u64,
    /// The greatest, in bytes.
    pub to: u64,
}

impl Size {
    pub(super) const fn new(from: u64, to: u64) -> Self {
        Self { from, to }
    }
}

impl Kind for Size {
    type Value = u64;

    fn parse(&self, text: &str) -> Result<u64, String> {
        in_range(parse_size(text).ok_or("not a size")?, self.from, self.to)
    }

    fn accepted(&self) -> String {
        let (from, to) = (self.from, self.to);
        format!("a size such as 104857600, 100MB (10^6) or 100MiB (2^20), from {from} to {to} bytes")
    }

    fn json_schema(&self) -> Value {
        json!({"type": ["integer", "string"], "minimum": 0, "pattern": r"^\s*[0-9]+\s*([kKmMgG][iI]?)?[bB]?\s*$"})
    }
}

/// So many in a time: `10` or `10/s`, `600/m`, `3600/h`; `0`: no limit.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The greatest number.
    pub to: u64,
}

/// So many in a time; never none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(pub f64);

impl Kind for Rate {
    type Value = Option<PerSecond>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        let (number, unit) = text.split_once('/').map_or((text, "s"), |(number, unit)| (number.trim(), unit.trim()));
        let number: u64 = number.parse().map_err(|_| "not a rate".to_owned())?;
        let number = in_range(number, 0, self.to)?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err("not a rate".to_owned()),
        };
        #[allow(clippy::cast_precision_loss)]
        Ok((number > 0).then_some(PerSecond(number as f64 / seconds)))
    }

    fn accepted(&self) -> String {
        format!("a rate such as 10 (a second), 600/m or 3600/h, up to {}; 0: no limit", self.to)
    }

    fn json_schema(&self) -> Value {
        json!({"type": ["integer", "string"], "minimum": 0, "pattern": r"^\s*[0-9]+\s*(/\s*[smh])?\s*$"})
    }
}

/// One of a few words, in any case; several words may mean the same.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T: 'static> {
    /// The words and what they mean; the first word of a meaning is the one that is shown.
    pub words: &'static [(&'static str, T)],
}

impl<T> Choice<T> {
    pub(super) const fn of(words: &'static [(&'static str, T)]) -> Self {
        Self { words }
    }
}

impl<T: Copy + Sync> Kind for Choice<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        let found = self.words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, value)| *value).ok_or_else(|| "not one of the words".to_owned())
    }

    fn accepted(&self) -> String {
        self.words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    }

    fn json_schema(&self) -> Value {
        json!({"enum": self.words.iter().map(|(word, _)| *word).collect::<Vec<_>>()})
    }
}

/// Any text of bounded length without control characters.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Bytes at most.
    pub bytes_max: usize,
    /// What it is, in words.
    pub what: &'static str,
}

impl Text {
    pub(super) const fn of(what: &'static str, bytes_max: usize) -> Self {
        Self { bytes_max, what }
    }
}

impl Kind for Text {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        if text.len() > self.bytes_max {
            return Err(format!("{} bytes long", text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err("it has control characters".to_owned());
        }
        Ok(text.to_owned())
    }

    fn accepted(&self) -> String {
        format!("{}, at most {} bytes", self.what, self.bytes_max)
    }

    fn json_schema(&self) -> Value {
        json!({"type": "string", "maxLength": self.bytes_max})
    }
}

/// A path in the file system; whether something is there is asked by whoever uses it.
#[derive(Clone, Copy, Debug)]
pub struct FilePath {
    /// What is there, in words.
    pub what: &'static str,
}

impl FilePath {
    pub(super) const fn of(what: &'static str) -> Self {
        Self { what }
    }
}

impl Kind for FilePath {
    type Value = PathBuf;

    fn parse(&self, text: &str) -> Result<PathBuf, String> {
        if text.contains('\0') { Err("it has a zero byte".to_owned()) } else { Ok(PathBuf::from(text)) }
    }

    fn accepted(&self) -> String {
        format!("path of {}", self.what)
    }

    fn json_schema(&self) -> Value {
        json!({"type": "string"})
    }
}

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

/// Several of a kind, separated by commas; in a file also an array. Blanks around and empty places do not count.
#[derive(Clone, Copy, Debug)]
pub struct List<K> {
    /// What one of them is.
    pub of: K,
    /// How many at most.
    pub items_max: usize,
}

impl<K> List<K> {
    pub(super) const fn of(of: K, items_max: usize) -> Self {
        Self { of, items_max }
    }
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        if items.len() > self.items_max {
            return Err(format!("{} are too many", items.len()));
        }
        let one = |(index, item): (usize, &&str)| {
            self.of.parse(item).map_err(|reason| format!("item {} of the list: {reason}", index + 1))
        };
        items.iter().enumerate().map(one).collect()
    }

    fn accepted(&self) -> String {
        format!("a list with commas between, at most {}, each: {}", self.items_max, self.of.accepted())
    }

    fn json_schema(&self) -> Value {
        json!({"anyOf": [
            {"type": "array", "maxItems": self.items_max, "items": self.of.json_schema()},
            {"type": "string"},
        ]})
    }
}

/// Text that a function reads: for forms that other modules own.
#[derive(Clone, Copy)]
pub struct Parsed<T: 'static> {
    /// The reader; its error is the reason, without the text.
    pub read: fn(&str) -> Result<T, String>,
    /// What would be accepted, in words.
    pub what: &'static str,
}

impl<T> Kind for Parsed<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        (self.read)(text)
    }

    fn accepted(&self) -> String {
        self.what.to_owned()
    }

    fn json_schema(&self) -> Value {
        json!({"type": ["string", "object"]})
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
pub(crate) fn parse_size(text: &str) -> Option<u64> {
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
