//! Every frame on the wire: version, kind, group, length, body.
//!
//! ```text
//!   version u8 · kind u8 · group u32 · length u32 · body (length bytes)        numbers are big-endian
//! ```
//!
//! The body of a request and of a stream's opening begins with one byte, the caller's own kind.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version of the frame's layout.
pub(super) const FRAME_VERSION: u8 = 1;
/// Bytes of a body at most; checked before anything is allocated for it.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// Bytes before the body.
pub(super) const FRAME_HEADER_BYTES: usize = 10;
/// The one Raft group so far; the field is there so that the log can be split later.
const GROUP: u32 = 0;
/// A body up to this size is copied behind its header: one chunk to send instead of two.
const SMALL_BODY_BYTES: usize = 2 << 10;
/// Memory taken for a body before it arrives; the rest follows with the bytes.
const RESERVE_BYTES_MAX: usize = 256 << 10;

/// What a frame is; the numbers are on the wire and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The first frame in each direction of a connection.
    Hello = 1,
    /// Opens a request; the caller's kind is the body's first byte.
    Request = 2,
    /// The answer to a request.
    Answer = 3,
    /// The answer to a request that failed at the peer: a text.
    Refusal = 4,
    /// Opens a stream; the caller's kind is the body's first byte.
    Stream = 5,
    /// One frame of an open stream.
    Data = 6,
    /// A volatile frame.
    Volatile = 7,
}

impl FrameKind {
    fn from_wire(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Request, Self::Answer, Self::Refusal, Self::Stream, Self::Data, Self::Volatile]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are no frame, or a frame is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another layout, or no frame at all.
    #[error("frame version {found} instead of {FRAME_VERSION}: no peer, or one of an incompatible release")]
    Version {
        /// The first byte.
        found: u8,
    },
    /// Not one of the known kinds.
    #[error("unknown frame kind {found}")]
    Kind {
        /// The second byte.
        found: u8,
    },
    /// Not a known Raft group.
    #[error("unknown group {found}")]
    Group {
        /// The group's number.
        found: u32,
    },
    /// Refused before anything was allocated for it.
    #[error("a frame of {length} bytes; at most {FRAME_BYTES_MAX} are accepted")]
    TooLong {
        /// Bytes of the body, as announced or as handed in.
        length: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// A known kind where it does not belong.
    #[error("a frame of kind {found} where {expected} was expected")]
    Unexpected {
        /// What belongs here.
        expected: &'static str,
        /// The kind found.
        found: u8,
    },
    /// The stream ended where a frame was owed.
    #[error("the stream ended before {expected}")]
    Missing {
        /// What was owed.
        expected: &'static str,
    },
    /// A Hello that is none.
    #[error("not a Hello of a vedfolnir node")]
    NoHello,
}

/// A frame as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) body: Bytes,
}

/// The chunks of one frame to send: the header (with a small body), and the body if it is not small.
pub(super) fn encode(kind: FrameKind, prefix: &[u8], body: Bytes) -> Result<([Bytes; 2], usize), FrameError> {
    let length = prefix.len() + body.len();
    let small = body.len() <= SMALL_BODY_BYTES;
    let mut head = BytesMut::with_capacity(FRAME_HEADER_BYTES + prefix.len() + if small { body.len() } else { 0 });
    put_header(&mut head, kind, length)?;
    head.put_slice(prefix);
    if small {
        head.put_slice(&body);
        return Ok(([head.freeze(), Bytes::new()], 1));
    }
    Ok(([head.freeze(), body], 2))
}

/// Appends a whole frame.
pub(super) fn append(buffer: &mut BytesMut, kind: FrameKind, body: &[u8]) -> Result<(), FrameError> {
    put_header(buffer, kind, body.len())?;
    buffer.put_slice(body);
    Ok(())
}

fn put_header(buffer: &mut BytesMut, kind: FrameKind, length: usize) -> Result<(), FrameError> {
    let announced = u32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX);
    let announced = announced.ok_or(FrameError::TooLong { length })?;
    buffer.reserve(FRAME_HEADER_BYTES);
    buffer.put_u8(FRAME_VERSION);
    buffer.put_u8(kind as u8);
    buffer.put_u32(GROUP);
    buffer.put_u32(announced);
    Ok(())
}

/// Cuts frames out of the chunks that arrive.
///
/// Invariant: `bytes` holds at most one incomplete frame and what arrived in the same read behind it.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: BytesMut,
    /// Kind and length of the frame whose body is still arriving.
    header: Option<(FrameKind, usize)>,
}

impl FrameBuffer {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
    }

    /// Whether the stream may end here.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.header.is_none()
    }

    /// The next whole frame, if it has arrived.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let (kind, length) = match self.header {
            Some(header) => header,
            None if self.bytes.len() < FRAME_HEADER_BYTES => {
                // What speaks another protocol is found out by its first byte, not by the tenth.
                return match self.bytes.first() {
                    Some(&found) if found != FRAME_VERSION => Err(FrameError::Version { found }),
                    _ => Ok(None),
                };
            }
            None => self.take_header()?,
        };
        if self.bytes.len() < length {
            return Ok(None);
        }
        self.header = None;
        Ok(Some(Frame { kind, body: self.bytes.split_to(length).freeze() }))
    }

    fn take_header(&mut self) -> Result<(FrameKind, usize), FrameError> {
        let version = self.bytes.get_u8();
        if version != FRAME_VERSION {
            return Err(FrameError::Version { found: version });
        }
        let kind = self.bytes.get_u8();
        let kind = FrameKind::from_wire(kind).ok_or(FrameError::Kind { found: kind })?;
        let group = self.bytes.get_u32();
        if group != GROUP {
            return Err(FrameError::Group { found: group });
        }
        let length = self.bytes.get_u32() as usize;
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { length });
        }
        self.header = Some((kind, length));
        self.bytes.reserve(length.saturating_sub(self.bytes.len()).min(RESERVE_BYTES_MAX));
        Ok((kind, length))
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
