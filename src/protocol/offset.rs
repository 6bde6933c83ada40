//! The offset that a client hands back: history, log index, ordinal and a check in one short opaque string.
//!
//! Layout before base64url: one byte of version (high nibble) and short ordinal (low nibble), four bytes of the history
//! id folded, the index as a varint, the ordinal as a varint if it is not in the nibble, two bytes of check over all of
//! it and the full history id. Fifteen characters for most logs.

use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

const VERSION: u8 = 1;

/// In the low nibble: ordinals below it stand for themselves.
const ORDINAL_LAST: u8 = 14;

/// In the low nibble: the ordinal follows the index as a varint.
const ORDINAL_FOLLOWS: u8 = 15;

/// Head, history, two varints and the check, at their longest.
const BINARY_LEN_MAX: usize = 1 + 4 + 10 + 5 + 2;

/// The longest text in characters.
pub const OFFSET_TEXT_LEN_MAX: usize = (BINARY_LEN_MAX * 4).div_ceil(3);

/// Why a text is no offset to resume from. Both are refused honestly, with a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OffsetError {
    /// Not made by this server, or damaged.
    #[error("not an offset")]
    Garbage,
    /// An offset into another history: before a restore, or of another cluster.
    #[error("an offset into another history")]
    Foreign,
}

/// An offset's text, held inline.
///
/// Invariant: the first `len` bytes are ASCII of the base64url alphabet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OffsetText {
    len: u8,
    text: [u8; OFFSET_TEXT_LEN_MAX],
}

impl OffsetText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // ASCII by the invariant, so the default is never taken.
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl Deref for OffsetText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for OffsetText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for OffsetText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for OffsetText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// The text of a position in a history. Each position has exactly one.
#[must_use]
pub fn encode_offset(history_id: u64, index: u64, ordinal: u32) -> OffsetText {
    let mut binary = Binary::default();
    let short = match ordinal {
        u32::MAX => ORDINAL_LAST,
        // Below 14, so it fits the nibble.
        0..14 => ordinal as u8,
        _ => ORDINAL_FOLLOWS,
    };
    binary.push(VERSION << 4 | short);
    for byte in fold(history_id).to_be_bytes() {
        binary.push(byte);
    }
    binary.push_varint(index);
    if short == ORDINAL_FOLLOWS {
        binary.push_varint(u64::from(ordinal));
    }
    for byte in check(history_id, binary.bytes()).to_be_bytes() {
        binary.push(byte);
    }
    let mut text = [0; OFFSET_TEXT_LEN_MAX];
    // The buffer has room for the longest offset and its length fits a byte, so neither default is taken.
    let len = URL_SAFE_NO_PAD.encode_slice(binary.bytes(), &mut text).unwrap_or_default();
    OffsetText { len: u8::try_from(len).unwrap_or_default(), text }
}

/// Reads an offset into the history `history_id`: the log index and the ordinal.
pub fn decode_offset(text: &str, history_id: u64) -> Result<(u64, u32), OffsetError> {
    if text.len() > OFFSET_TEXT_LEN_MAX {
        return Err(OffsetError::Garbage);
    }
    let mut buffer = [0; BINARY_LEN_MAX];
    let len = URL_SAFE_NO_PAD.decode_slice(text, &mut buffer).map_err(|_| OffsetError::Garbage)?;
    let (head, rest) = buffer[..len].split_first().ok_or(OffsetError::Garbage)?;
    if head >> 4 != VERSION {
        return Err(OffsetError::Garbage);
    }
    let (folded, mut rest) = rest.split_first_chunk::<4>().ok_or(OffsetError::Garbage)?;
    let index = take_varint(&mut rest)?;
    let ordinal = match head & 0x0f {
        ORDINAL_LAST => u32::MAX,
        ORDINAL_FOLLOWS => u32::try_from(take_varint(&mut rest)?).map_err(|_| OffsetError::Garbage)?,
        short => u32::from(short),
    };
    if rest.len() != 2 {
        return Err(OffsetError::Garbage);
    }
    if u32::from_be_bytes(*folded) != fold(history_id) {
        return Err(OffsetError::Foreign);
    }
    // Comparing texts checks the check, and that every part is in its one form, at once.
    if encode_offset(history_id, index, ordinal).as_str() != text {
        return Err(OffsetError::Garbage);
    }
    Ok((index, ordinal))
}

/// Which history it is, in half the bytes; the check covers the rest.
const fn fold(history_id: u64) -> u32 {
    (history_id >> 32) as u32 ^ history_id as u32
}

/// CRC-16 (polynomial 0x1021) over the full history id and the bytes before the check.
fn check(history_id: u64, binary: &[u8]) -> u16 {
    let mut crc = 0xffff_u16;
    for byte in history_id.to_be_bytes().iter().chain(binary) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
    }
    crc
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, OffsetError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(OffsetError::Garbage)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(OffsetError::Garbage);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(OffsetError::Garbage)
}

/// Bytes under construction; `BINARY_LEN_MAX` is room for every offset.
#[derive(Default)]
struct Binary {
    bytes: [u8; BINARY_LEN_MAX],
    len: usize,
}

impl Binary {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: u64 = 0x0123_4567_89ab_cdef;

    #[test]
    fn most_offsets_are_short() {
        assert_eq!(encode_offset(HISTORY, 1_000_000, 3).len(), 14);
        assert_eq!(encode_offset(HISTORY, 100_000_000, 63).len(), 16);
        assert_eq!(encode_offset(u64::MAX, u64::MAX, u32::MAX - 1).len(), OFFSET_TEXT_LEN_MAX);
    }

    #[test]
    fn edges_round_trip() {
        for index in [0, 1, 127, 128, 16_384, u64::from(u32::MAX), u64::MAX] {
            for ordinal in [0, 1, 13, 14, 15, 127, 128, u32::MAX - 1, u32::MAX] {
                let text = encode_offset(HISTORY, index, ordinal);
                assert_eq!(decode_offset(&text, HISTORY), Ok((index, ordinal)), "{text}");
            }
        }
    }

    #[test]
    fn another_history_is_foreign() {
        let text = encode_offset(HISTORY, 5, 0);
        assert_eq!(decode_offset(&text, HISTORY + 1), Err(OffsetError::Foreign));
    }

    #[test]
    fn a_history_with_the_same_fold_is_refused_by_the_check() {
        let same_fold = HISTORY ^ 0x0000_0001_0000_0001;
        let text = encode_offset(HISTORY, 5, 0);
        assert_eq!(decode_offset(&text, same_fold), Err(OffsetError::Garbage));
    }

    #[test]
    fn every_changed_character_is_refused() {
        let text = encode_offset(HISTORY, 123_456, 2).to_string();
        for position in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(decode_offset(&changed, HISTORY).is_err(), "{changed}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let text = encode_offset(HISTORY, 7, 0).to_string();
        for bad in ["", "A", "hello", "Q85OoEN", "é", &text[..text.len() - 1], &format!("{text}A"), &format!("{text}=")]
        {
            assert_eq!(decode_offset(bad, HISTORY), Err(OffsetError::Garbage), "{bad}");
        }
        assert_eq!(decode_offset(&"A".repeat(10_000), HISTORY), Err(OffsetError::Garbage));
    }
}
