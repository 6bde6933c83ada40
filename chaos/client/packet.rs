//! Just enough of Engine.IO and Socket.IO to drive a server: text packets of the root namespace, parsed where they lie.

use std::io::Write;

/// A packet from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Engine.IO: the transport is open.
    Open,
    /// Engine.IO: the transport ends.
    Close,
    /// Engine.IO: answer `3`.
    Ping,
    /// Engine.IO: nothing.
    Noop,
    /// The session stands; its JSON object.
    Connect(&'a [u8]),
    /// The session ends.
    Disconnect,
    /// The session is refused; its JSON object.
    ConnectError(&'a [u8]),
    /// The arguments, the event's name first.
    Event(Args<'a>),
    /// Of the event sent with this id.
    Ack(u64, Args<'a>),
    /// Nothing that this client understands.
    Unknown,
}

/// Reads one text frame.
#[must_use]
pub fn parse(text: &[u8]) -> Packet<'_> {
    match text {
        [b'4', b'2', rest @ ..] => match id_and_args(rest) {
            Some((_, args)) => Packet::Event(args),
            None => Packet::Unknown,
        },
        [b'4', b'3', rest @ ..] => match id_and_args(rest) {
            Some((Some(id), args)) => Packet::Ack(id, args),
            _ => Packet::Unknown,
        },
        [b'2'] => Packet::Ping,
        [b'6'] => Packet::Noop,
        [b'4', b'0', rest @ ..] => Packet::Connect(rest),
        [b'4', b'1'] => Packet::Disconnect,
        [b'4', b'4', rest @ ..] => Packet::ConnectError(rest),
        [b'0', ..] => Packet::Open,
        [b'1'] => Packet::Close,
        _ => Packet::Unknown,
    }
}

fn id_and_args(text: &[u8]) -> Option<(Option<u64>, Args<'_>)> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (id, array) = text.split_at(digits);
    let id = if id.is_empty() { None } else { Some(number(id)?) };
    match array {
        [b'[', inner @ .., b']'] => Some((id, Args(inner))),
        _ => None,
    }
}

/// A decimal number.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The elements of a JSON array, each as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args<'a>(&'a [u8]);

impl<'a> Args<'a> {
    /// All of them, without the brackets.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (mut depth, mut in_string, mut index) = (0_u32, false, 0);
        while let Some(byte) = self.0.get(index) {
            match (in_string, byte) {
                (true, b'\\') => index += 1,
                (_, b'"') => in_string = !in_string,
                (true, _) => {}
                (false, b'[' | b'{') => depth += 1,
                (false, b']' | b'}') => depth = depth.saturating_sub(1),
                (false, b',') if depth == 0 => break,
                (false, _) => {}
            }
            index += 1;
        }
        let end = index.min(self.0.len());
        let element = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(element)
    }
}

/// The inside of a JSON string that needs no unescaping.
#[must_use]
pub fn string(element: &[u8]) -> Option<&[u8]> {
    match element {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Some(inner),
        _ => None,
    }
}

/// `42<id>["event",` and nothing more: what the hot paths start with.
pub fn event_head(out: &mut Vec<u8>, id: u64, event: &str) {
    out.clear();
    // Writing to a vector cannot fail.
    let _ = write!(out, "42{id}[\"{event}\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str) -> Vec<&str> {
        Args(text.as_bytes()).map(|element| std::str::from_utf8(element).unwrap()).collect()
    }

    #[test]
    fn elements_are_split_at_the_top_only() {
        assert_eq!(elements(r#""m",1,"a,b","#), [r#""m""#, "1", r#""a,b""#]);
        assert_eq!(
            elements(r#""a\"],b",[1,[2,3]],{"x":"]","y":{}},null"#),
            [r#""a\"],b""#, "[1,[2,3]]", r#"{"x":"]","y":{}}"#, "null"]
        );
        assert_eq!(elements(""), [""; 0]);
        assert_eq!(elements(r#""cut\"#), [r#""cut\"#]);
    }

    #[test]
    fn packets() {
        type Expected = fn(Packet<'_>) -> bool;
        let cases: &[(&str, Expected)] = &[
            (r#"0{"sid":"x"}"#, |packet| packet == Packet::Open),
            ("2", |packet| packet == Packet::Ping),
            ("6", |packet| packet == Packet::Noop),
            ("1", |packet| packet == Packet::Close),
            ("41", |packet| packet == Packet::Disconnect),
            (r#"40{"sid":"s"}"#, |packet| packet == Packet::Connect(br#"{"sid":"s"}"#)),
            (r#"44{"message":"no"}"#, |packet| packet == Packet::ConnectError(br#"{"message":"no"}"#)),
            (r#"42["m",1]"#, |packet| packet == Packet::Event(Args(br#""m",1"#))),
            (r#"4217["m",1]"#, |packet| packet == Packet::Event(Args(br#""m",1"#))),
            ("430[]", |packet| packet == Packet::Ack(0, Args(b""))),
            (r#"4312["x"]"#, |packet| packet == Packet::Ack(12, Args(br#""x""#))),
            ("43[]", |packet| packet == Packet::Unknown),
            ("42", |packet| packet == Packet::Unknown),
            ("4299999999999999999999[]", |packet| packet == Packet::Unknown),
            ("", |packet| packet == Packet::Unknown),
            ("x", |packet| packet == Packet::Unknown),
        ];
        for (text, expected) in cases {
            assert!(expected(parse(text.as_bytes())), "{text}: {:?}", parse(text.as_bytes()));
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"1x"), None);
    }

    #[test]
    fn strings() {
        assert_eq!(string(br#""abc""#), Some(&b"abc"[..]));
        assert_eq!(string(br#""a\"c""#), None);
        assert_eq!(string(b"12"), None);
        assert_eq!(string(b"\""), None);
    }

    #[test]
    fn heads() {
        let mut out = b"old".to_vec();
        event_head(&mut out, 7, "echo");
        assert_eq!(out, br#"427["echo""#);
    }
}
