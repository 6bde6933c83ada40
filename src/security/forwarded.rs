//! Reads `Forwarded` (RFC 7239), and the single addresses that it and `X-Forwarded-For` name.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use http::header::FORWARDED;

/// What one proxy said of whoever connected to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Element<'h> {
    /// What `for` says.
    pub node: Node,
    /// What `proto` says.
    pub proto: Option<&'h str>,
    /// What `host` says; empty when it cannot be read, which is no host.
    pub host: Option<&'h str>,
}

/// What `for` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Node {
    /// Nothing.
    #[default]
    Absent,
    /// No address: `unknown`, an obfuscated name, or junk.
    Opaque,
    /// An address; its port, if any, is not kept.
    Ip(IpAddr),
}

impl Node {
    fn of(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Opaque, Self::Ip)
    }
}

/// An address as it stands in `X-Forwarded-For` and `X-Real-IP`: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:80`. Anything else is no address.
#[must_use]
pub fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = match text.parse::<Ipv6Addr>() {
        Ok(address) => Some(address.into()),
        Err(_) => node(text),
    };
    address.map(|address: IpAddr| address.to_canonical())
}

/// RFC 7239, section 6: IPv6 in brackets, and a port in digits or obfuscated.
fn node(text: &str) -> Option<IpAddr> {
    let (address, rest): (IpAddr, _) = match text.strip_prefix('[') {
        Some(inner) => {
            let (inner, rest) = inner.split_once(']')?;
            (inner.parse::<Ipv6Addr>().ok()?.into(), rest)
        }
        None => {
            let (address, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (address.parse::<Ipv4Addr>().ok()?.into(), rest)
        }
    };
    let port_is_whole = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    port_is_whole.then(|| address.to_canonical())
}

fn is_port(text: &str) -> bool {
    if let Some(name) = text.strip_prefix('_') {
        return !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    }
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The elements of all `Forwarded` lines, the newest first, `elements_max` at most.
///
/// A line that breaks the grammar, an unbalanced quote of the client's for instance, becomes one opaque element: what
/// stands in it is nobody's word, and nothing to its left can be reached.
#[must_use]
pub fn elements_from_right(headers: &HeaderMap, elements_max: usize) -> Vec<Element<'_>> {
    let mut elements = Vec::new();
    for line in headers.get_all(FORWARDED).iter().rev() {
        match parse_line(line.as_bytes(), elements_max) {
            Some(parsed) => elements.extend(parsed.into_iter().rev().take(elements_max - elements.len())),
            None => elements.push(Element { node: Node::Opaque, ..Element::default() }),
        }
        if elements.len() >= elements_max {
            break;
        }
    }
    elements
}

/// The last `elements_max` elements of a line; `None` when it breaks the grammar.
fn parse_line(line: &[u8], elements_max: usize) -> Option<VecDeque<Element<'_>>> {
    let mut elements = VecDeque::new();
    let mut draft = Draft::default();
    let mut cursor = Cursor(line);
    loop {
        cursor.skip_blanks();
        let delimiter = cursor.0.first().copied();
        match delimiter {
            None | Some(b',') => {
                if let Some(element) = std::mem::take(&mut draft).finish() {
                    if elements.len() == elements_max {
                        elements.pop_front();
                    }
                    elements.push_back(element);
                }
                if delimiter.is_none() {
                    return Some(elements);
                }
                cursor.skip(1);
            }
            Some(b';') => cursor.skip(1),
            Some(_) => {
                let (name, value) = cursor.pair()?;
                draft.set(name, value)?;
                cursor.skip_blanks();
                if !matches!(cursor.0.first(), None | Some(b',' | b';')) {
                    return None;
                }
            }
        }
    }
}

/// An element under way.
#[derive(Default)]
struct Draft<'h> {
    node: Option<Node>,
    proto: Option<&'h str>,
    host: Option<&'h str>,
    begun: bool,
}

impl<'h> Draft<'h> {
    /// `None` when the parameter was there already (RFC 7239, section 4). Unknown ones are skipped.
    fn set(&mut self, name: &[u8], value: &'h str) -> Option<()> {
        self.begun = true;
        let first = if name.eq_ignore_ascii_case(b"for") {
            self.node.replace(Node::of(node(value))).is_none()
        } else if name.eq_ignore_ascii_case(b"proto") {
            self.proto.replace(value).is_none()
        } else if name.eq_ignore_ascii_case(b"host") {
            self.host.replace(value).is_none()
        } else {
            true
        };
        first.then_some(())
    }

    fn finish(self) -> Option<Element<'h>> {
        let element = Element { node: self.node.unwrap_or_default(), proto: self.proto, host: self.host };
        self.begun.then_some(element)
    }
}

/// What is left of a line.
struct Cursor<'h>(&'h [u8]);

impl<'h> Cursor<'h> {
    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// `token=token` or `token="quoted"`. A value with escapes or bytes beyond ASCII is read as empty: no address,
    /// scheme or host needs them.
    fn pair(&mut self) -> Option<(&'h [u8], &'h str)> {
        let name = self.token()?;
        self.0 = self.0.strip_prefix(b"=")?;
        let value = match self.0.strip_prefix(b"\"") {
            Some(rest) => {
                self.0 = rest;
                self.quoted()?
            }
            None => self.token()?,
        };
        let plain = !value.contains(&b'\\') && value.is_ascii();
        Some((name, if plain { std::str::from_utf8(value).ok()? } else { "" }))
    }

    fn token(&mut self) -> Option<&'h [u8]> {
        let end = self.0.iter().position(|byte| !is_token(*byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Up to the closing quote, the opening one being read already (RFC 9110, section 5.6.4).
    fn quoted(&mut self) -> Option<&'h [u8]> {
        let mut at = 0;
        loop {
            match self.0.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        let value = &self.0[..at];
        self.skip(at + 1);
        Some(value)
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, HeaderValue::from_bytes(line).unwrap());
        }
        headers
    }

    fn nodes(lines: &[&str]) -> Vec<Node> {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        elements_from_right(&headers(&lines), 32).iter().map(|element| element.node).collect()
    }

    fn ip(text: &str) -> Node {
        Node::Ip(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        let table = [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:8080", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
            ("\"192.0.2.1\"", None),
            ("\"; drop", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:99999", None),
            ("192.0.2.1:+1", None),
            ("192.0.2.1 192.0.2.2", None),
            ("192.0.2", None),
            ("192.0.2.01", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]x", None),
            ("fe80::1%eth0", None),
        ];
        for (text, expected) in table {
            assert_eq!(address(text.as_bytes()), expected.map(|ip| ip.parse().unwrap()), "{text}");
        }
        assert_eq!(address(b"\xff"), None);
        assert_eq!(address(&vec![b'1'; 10_000]), None);
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        assert_eq!(nodes(&["for=\"_gazonk\""]), [Node::Opaque]);
        assert_eq!(nodes(&["For=\"[2001:db8:cafe::17]:4711\""]), [ip("2001:db8:cafe::17")]);
        assert_eq!(nodes(&["for=192.0.2.43, for=198.51.100.17"]), [ip("198.51.100.17"), ip("192.0.2.43")]);
        assert_eq!(nodes(&["for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown"]).len(), 3);
        assert_eq!(nodes(&["for=192.0.2.43", "for=198.51.100.17"]), [ip("198.51.100.17"), ip("192.0.2.43")]);
        let map = headers(&[b"for=192.0.2.60;proto=http;by=203.0.113.43;host=\"a.example:8080\""]);
        let element = elements_from_right(&map, 32)[0];
        assert_eq!(element, Element { node: ip("192.0.2.60"), proto: Some("http"), host: Some("a.example:8080") });
        assert_eq!(nodes(&["for=192.0.2.1; proto=https ,, ;"]), [ip("192.0.2.1")]);
        assert_eq!(nodes(&["proto=https"]), [Node::Absent]);
        assert_eq!(nodes(&["for=\"192.0.2.1:_port\""]), [ip("192.0.2.1")]);
        assert_eq!(nodes(&[r#"by="a\", for=6.6.6.6";for=192.0.2.1"#]), [ip("192.0.2.1")]);
    }

    #[test]
    fn a_line_that_breaks_the_grammar_is_nobodys_word() {
        let table = [
            "for=\"x, for=192.0.2.1",
            "for=\"x, for=\"[2001:db8::1]\"",
            "for=\"a\\, for=\"[2001:db8::1]\"",
            "for=192.0.2.1;for=192.0.2.2",
            "for=[2001:db8::1]",
            "for=192.0.2.1:80",
            "for = 192.0.2.1",
            "192.0.2.1",
            "for=",
            "=192.0.2.1",
            "for=\"",
            "for=\"\\",
        ];
        for line in table {
            assert_eq!(nodes(&[line]), [Node::Opaque], "{line}");
            assert_eq!(nodes(&[line, "for=192.0.2.9"]), [ip("192.0.2.9"), Node::Opaque], "{line}");
        }
        // In quotes, but not what the quotes may hold.
        assert_eq!(nodes(&["for=\"2001:db8::1\"", "for=\"192.0.2\\.1\""]), [Node::Opaque, Node::Opaque]);
        let map = headers(&[b"for=192.0.2.1;host=\"\xff\""]);
        assert_eq!(elements_from_right(&map, 32)[0].host, Some(""));
    }

    #[test]
    fn only_the_newest_elements_are_kept() {
        let line = (0..200).map(|n| format!("for=192.0.2.{n}")).collect::<Vec<_>>().join(",");
        let kept = nodes(&["for=198.51.100.1", &line]);
        assert_eq!(kept.len(), 32);
        assert_eq!(kept[0], ip("192.0.2.199"));
        assert_eq!(kept[31], ip("192.0.2.168"));
    }

    /// Bytes that a header's value may hold.
    fn header_bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..len_max)
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(
            lines in prop::collection::vec(header_bytes(60), 0..4),
            elements_max in 1_usize..5,
        ) {
            let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
            prop_assert!(elements_from_right(&headers(&lines), elements_max).len() <= elements_max);
        }

        #[test]
        fn nothing_that_a_client_writes_before_a_proxys_element_moves_that_element(
            junk in "[a-z0-9=;,\"\\\\ .:\\[\\]]{0,40}"
        ) {
            let appended = format!("{junk}, for=203.0.113.7");
            let read = nodes(&[&appended]);
            prop_assert!(read[0] == ip("203.0.113.7") || read == [Node::Opaque], "{:?}", read);
        }
    }
}
