//! A span that is over: what is exported.

use std::borrow::Cow;

use vedfolnir_cluster::state::TraceContext;

/// Bytes of a text in an attribute.
const TEXT_BYTES_MAX: usize = 256;
/// Attributes of one span.
const ATTRIBUTES_MAX: usize = 16;

/// What part a span has in the exchange (opentelemetry.proto.trace.v1.Span.SpanKind); the numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// Inside of the cluster.
    Internal = 1,
    /// Handles what a client sent.
    Server = 2,
    /// Puts a message on its way.
    Producer = 4,
    /// Takes a message off it.
    Consumer = 5,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text; of a long one the beginning.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::Text(text[..end].to_owned())
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Attribute {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A span. It never holds a payload, an address or a secret.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) context: TraceContext,
    /// `None`: the trace begins with it.
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    /// Nanoseconds since 1970.
    pub(crate) began_unix_ns: u64,
    /// The same.
    pub(crate) ended_unix_ns: u64,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

impl Span {
    /// Says something; what is too much is left out.
    pub(crate) fn set(&mut self, key: &'static str, value: Attribute) {
        if self.attributes.len() < ATTRIBUTES_MAX {
            self.attributes.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let Attribute::Text(text) = Attribute::from("ü".repeat(TEXT_BYTES_MAX).as_str()) else { panic!("a text") };
        assert_eq!(text.len(), TEXT_BYTES_MAX);
        let Attribute::Text(text) = Attribute::from(format!("x{}", "ü".repeat(TEXT_BYTES_MAX)).as_str()) else {
            panic!("a text")
        };
        assert_eq!(text.len(), TEXT_BYTES_MAX - 1);
        assert_eq!(Attribute::from(u64::MAX), Attribute::Number(i64::MAX));
    }
}
