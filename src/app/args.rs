//! The arguments of an event: JSON text that is read where a handler wants it, and attachments.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use vedfolnir_cluster::state::Payload;
use vedfolnir_protocol::socket_io::args;

use super::placeholder;

/// What a client sent with an event, or with its ack of one.
///
/// Invariant: `array` is a checked JSON array whose first element, if it is `named`, is the event's name.
#[derive(Clone, Debug)]
pub struct Args {
    array: Bytes,
    attachments: Vec<Bytes>,
    named: bool,
    wants_ack: bool,
}

/// An argument is missing or not what was expected.
#[derive(Debug, thiserror::Error)]
pub enum ArgsRefused {
    /// Fewer arguments.
    #[error("argument {0} is missing")]
    Missing(usize),
    /// Another type.
    #[error("argument {0} is not as expected: {1}")]
    Unexpected(usize, serde_json::Error),
}

impl Args {
    /// Of a checked event.
    pub(crate) const fn new(array: Bytes, attachments: Vec<Bytes>) -> Self {
        Self { array, attachments, named: true, wants_ack: false }
    }

    /// Of a checked ack, which names no event.
    pub(crate) const fn of_ack(array: Bytes, attachments: Vec<Bytes>) -> Self {
        Self { array, attachments, named: false, wants_ack: false }
    }

    /// The same of an event that asks for an ack, or does not.
    pub(crate) fn asking(self, wants_ack: bool) -> Self {
        Self { wants_ack, ..self }
    }

    /// Whether the client asked for an ack.
    #[must_use]
    pub const fn wants_ack(&self) -> bool {
        self.wants_ack
    }

    /// The event's name; empty of an ack.
    #[must_use]
    pub fn event(&self) -> Cow<'_, str> {
        if !self.named {
            return Cow::Borrowed("");
        }
        args::event_name(&self.array).unwrap_or_default()
    }

    /// The arguments after the name, each as its JSON text. Attachments stand in them as placeholders.
    #[must_use]
    pub fn arguments(&self) -> Vec<&RawValue> {
        let mut elements = args::elements(&self.array).unwrap_or_default();
        if self.named && !elements.is_empty() {
            elements.remove(0);
        }
        elements
    }

    /// How many arguments there are after the name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arguments().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The attachments, as the placeholders number them.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// An argument, deserialised; the first after the name is 0.
    ///
    /// # Errors
    /// When it is missing or does not fit `T`.
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, ArgsRefused> {
        let arguments = self.arguments();
        let argument = arguments.get(index).ok_or(ArgsRefused::Missing(index))?;
        serde_json::from_str(argument.get()).map_err(|error| ArgsRefused::Unexpected(index, error))
    }

    /// The arguments from `index` on as an array of their own, with the attachments that they name, renumbered.
    #[must_use]
    pub fn tail(&self, index: usize) -> (Bytes, Vec<Bytes>) {
        match self.arguments().get(index) {
            None => (Bytes::from_static(b"[]"), Vec::new()),
            Some(first) => {
                // A slice of the array, so the distance is its offset in it.
                let start = first.get().as_ptr() as usize - self.array.as_ptr() as usize;
                let mut tail = Vec::with_capacity(1 + self.array.len() - start);
                tail.push(b'[');
                tail.extend_from_slice(&self.array[start..]);
                placeholder::renumber(Bytes::from(tail), &self.attachments)
            }
        }
    }

    /// Whether a text stands anywhere in the arguments, as it is written there.
    pub(crate) fn mention(&self, text: &str) -> bool {
        std::str::from_utf8(&self.array).is_ok_and(|array| array.contains(text))
    }

    /// As it travels.
    pub(crate) fn into_payload(self) -> Payload {
        Payload { text: self.array, attachments: self.attachments }
    }

    /// Bytes that it holds.
    pub(crate) fn size(&self) -> usize {
        self.array.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(json: &'static str) -> Args {
        Args::new(Bytes::from_static(json.as_bytes()), vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")])
    }

    #[test]
    fn arguments_are_counted_after_the_name() {
        let args = args(r#"["publish", "room" ,"event",{"x":1}]"#);
        assert_eq!(args.event(), "publish");
        assert_eq!((args.len(), args.get::<String>(0).unwrap()), (3, "room".to_owned()));
        assert!(matches!(args.get::<String>(2), Err(ArgsRefused::Unexpected(2, _))));
        assert!(matches!(args.get::<String>(3), Err(ArgsRefused::Missing(3))));
    }

    #[test]
    fn a_tail_brings_its_own_attachments() {
        let args = args(r#"["e",{"_placeholder":true,"num":0}, {"_placeholder":true,"num":1}]"#);
        assert_eq!(args.tail(2), (Bytes::from_static(b"[]"), vec![]));
        let (tail, attachments) = args.tail(1);
        assert_eq!(tail, r#"[{"_placeholder":true,"num":0}]"#);
        assert_eq!(attachments, [Bytes::from_static(b"b")]);
        assert_eq!(args.tail(0).1.len(), 2);
    }

    #[test]
    fn an_ack_has_arguments_and_no_name() {
        let ack = Args::of_ack(Bytes::from_static(b"[1,\"x\"]"), Vec::new());
        assert_eq!((ack.event().as_ref(), ack.len(), ack.get::<u8>(0).unwrap()), ("", 2, 1));
        assert_eq!(ack.tail(1).0, r#"["x"]"#);
        assert!(Args::of_ack(Bytes::from_static(b"[]"), Vec::new()).is_empty());
    }
}
