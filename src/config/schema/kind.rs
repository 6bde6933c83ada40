//! What a setting's text may be: one kind for each form, with its parser, its accepted form in words and its JSON Schema.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use super::address::{Host, HostPort, UrlPath, WebAddress, resolve};

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
