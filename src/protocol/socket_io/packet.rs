//! Socket.IO packets: what stands in an Engine.IO text message, decoded as slices of it.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::args::{self, ArgsError};
use super::namespace::{self, NAMESPACE_BYTES_MAX};
use crate::ack::ACK_ID_MAX;

/// The empty argument array.
const NO_ARGS: Bytes = Bytes::from_static(b"[]");

/// One Socket.IO packet.
///
/// Invariants of a decoded one: argument payloads are JSON arrays without space around them, auth payloads are JSON
/// objects, placeholders are below `attachments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Which namespace it is for, without a query string.
    pub namespace: Box<str>,
    /// What it says.
    pub data: PacketData,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketData {
    /// `0`: joins the namespace, or from the server: joined. A JSON object.
    Connect(Option<Bytes>),
    /// `1`: leaves the namespace.
    Disconnect,
    /// `2`, or `5` with attachments.
    Event {
        /// The JSON array `["name",…]`.
        args: Bytes,
        /// The id under which an acknowledgement is wanted.
        ack_id: Option<u64>,
        /// How many binary messages follow; 0 for a plain event.
        attachments: usize,
    },
    /// `3`, or `6` with attachments.
    Ack {
        /// The JSON array of the answer.
        args: Bytes,
        /// Which event it acknowledges.
        id: u64,
        /// How many binary messages follow; 0 for a plain ack.
        attachments: usize,
    },
    /// `4`: the namespace refuses, from the server only. A JSON object or string, unchecked.
    ConnectError(Option<Bytes>),
}

/// Why a text is not a Socket.IO packet.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PacketError {
    /// No type.
    #[error("empty Socket.IO packet")]
    Empty,
    /// Not UTF-8.
    #[error("Socket.IO packet is not valid UTF-8")]
    NotUtf8,
    /// A first byte that is no type.
    #[error("unknown Socket.IO packet type 0x{0:02x}; the first byte must be a type from 0 to 6")]
    UnknownType(u8),
    /// A binary packet whose count is missing, zero or no number.
    #[error("a binary Socket.IO packet needs its attachment count, at least 1, and a dash")]
    IllegalAttachments,
    /// More attachments than allowed.
    #[error("{attachments} attachments exceed the limit of {attachments_max}")]
    TooManyAttachments {
        /// How many were announced.
        attachments: u64,
        /// The bound.
        attachments_max: usize,
    },
    /// A name longer than `NAMESPACE_BYTES_MAX`.
    #[error("the namespace has {0} bytes, more than {NAMESPACE_BYTES_MAX}")]
    NamespaceTooLong(usize),
    /// An ack id that JavaScript cannot hold exactly.
    #[error("the ack id is larger than {ACK_ID_MAX}")]
    AckIdTooLarge,
    /// An ack without an id.
    #[error("an ack needs the id of the event that it answers")]
    AckWithoutId,
    /// An event without arguments, or a disconnect with some.
    #[error("the packet's payload does not fit its type")]
    UnexpectedPayload,
    /// Its arguments.
    #[error(transparent)]
    Args(#[from] ArgsError),
}

impl Packet {
    /// Reads the text of an Engine.IO message (without the leading `4`). Payloads are slices of it.
    pub fn decode(text: &Bytes, attachments_max: usize) -> Result<Self, PacketError> {
        let packet = std::str::from_utf8(text).map_err(|_| PacketError::NotUtf8)?;
        let kind = *packet.as_bytes().first().ok_or(PacketError::Empty)?;
        if !matches!(kind, b'0'..=b'6') {
            return Err(PacketError::UnknownType(kind));
        }
        let rest = &packet[1..];
        let (attachments, rest) =
            if matches!(kind, b'5' | b'6') { split_attachments(rest, attachments_max)? } else { (0, rest) };
        let (namespace, rest) = namespace::split(rest);
        if namespace.len() > NAMESPACE_BYTES_MAX {
            return Err(PacketError::NamespaceTooLong(namespace.len()));
        }
        let (id, rest) = split_number(rest)?;
        if id.is_some_and(|id| id > ACK_ID_MAX) {
            return Err(PacketError::AckIdTooLarge);
        }
        let json = rest.trim_matches([' ', '\t', '\r', '\n']);
        let payload = (!rest.is_empty()).then(|| text.slice_ref(json.as_bytes()));
        let data = match (kind, payload) {
            (b'0', payload) => {
                if payload.is_some() {
                    args::check_object(json)?;
                }
                PacketData::Connect(payload)
            }
            (b'1', None) => PacketData::Disconnect,
            (b'2' | b'5', Some(args)) => {
                args::check_event(json, attachments)?;
                PacketData::Event { args, ack_id: id, attachments }
            }
            (b'3' | b'6', payload) => {
                let id = id.ok_or(PacketError::AckWithoutId)?;
                if payload.is_some() {
                    args::check_ack(json, attachments)?;
                }
                PacketData::Ack { args: payload.unwrap_or(NO_ARGS), id, attachments }
            }
            (b'4', payload) => PacketData::ConnectError(payload),
            _ => return Err(PacketError::UnexpectedPayload),
        };
        Ok(Self { namespace: namespace.into(), data })
    }

    /// The text of the Engine.IO message with its leading `4`; attachments follow as messages of their own.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, attachments, id, payload): (u8, usize, Option<u64>, &[u8]) = match &self.data {
            PacketData::Connect(auth) => (b'0', 0, None, auth.as_deref().unwrap_or_default()),
            PacketData::Disconnect => (b'1', 0, None, b""),
            PacketData::Event { args, ack_id, attachments } => {
                (if *attachments > 0 { b'5' } else { b'2' }, *attachments, *ack_id, args)
            }
            PacketData::Ack { args, id, attachments } => {
                (if *attachments > 0 { b'6' } else { b'3' }, *attachments, Some(*id), args)
            }
            PacketData::ConnectError(data) => (b'4', 0, None, data.as_deref().unwrap_or_default()),
        };
        let mut text = begin(kind, attachments, &self.namespace, id, payload.len());
        text.put_slice(payload);
        text.freeze()
    }
}

/// Everything of a packet before its payload, with room for it: `4`, type, `N-`, `/namespace,`, id.
pub(crate) fn begin(kind: u8, attachments: usize, name: &str, id: Option<u64>, payload_len: usize) -> BytesMut {
    let mut text = BytesMut::with_capacity(48 + name.len() + payload_len);
    text.put_slice(&[b'4', kind]);
    if attachments > 0 {
        put_number(&mut text, attachments as u64);
        text.put_u8(b'-');
    }
    if name != namespace::ROOT {
        text.put_slice(name.as_bytes());
        text.put_u8(b',');
    }
    if let Some(id) = id {
        put_number(&mut text, id);
    }
    text
}

fn put_number(text: &mut BytesMut, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.put_slice(&digits[start..]);
}

fn split_attachments(text: &str, attachments_max: usize) -> Result<(usize, &str), PacketError> {
    let (Ok((Some(count), rest)), true) = (split_number(text), text.starts_with(|first: char| first.is_ascii_digit()))
    else {
        return Err(PacketError::IllegalAttachments);
    };
    let rest = rest.strip_prefix('-').ok_or(PacketError::IllegalAttachments)?;
    match usize::try_from(count) {
        Ok(0) => Err(PacketError::IllegalAttachments),
        Ok(attachments) if attachments <= attachments_max => Ok((attachments, rest)),
        _ => Err(PacketError::TooManyAttachments { attachments: count, attachments_max }),
    }
}

/// The decimal number that a text begins with, if it does.
fn split_number(text: &str) -> Result<(Option<u64>, &str), PacketError> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return Ok((None, text));
    }
    let number = text[..end].parse().map_err(|_| PacketError::AckIdTooLarge)?;
    Ok((Some(number), &text[end..]))
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
