//! What is committed with a session beside what the log needs: who connected, from where and when, for exports; and the
//! application's data, which is all that handlers see of it.
//!
//! ```text
//!   data of a session: MARK · version · length of the notes, u32 · the notes, JSON · the application's data
//! ```
//!
//! The mark begins neither JSON nor MessagePack: data without it is the application's alone.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const MARK: u8 = 0xc1;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 6;
/// Of what a client says of itself.
const USER_AGENT_BYTES_MAX: usize = 512;

/// What is noted of a session when it begins. It is displayed and exported; nothing is decided by it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// The connection's name in the log, with the namespace behind it unless that is `/`.
    #[serde(rename = "c")]
    pub(crate) connection_id: String,
    /// When, in milliseconds since 1970, by the clock of the node.
    #[serde(rename = "t")]
    pub(crate) connected_at_ms: u64,
    /// From where.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) ip: Option<String>,
    /// What the client calls itself.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_agent: Option<String>,
    /// Of a session that came with an import only.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Box<Origin>>,
}

/// What an imported connection had and ours have not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The session that it belonged to.
    #[serde(rename = "s")]
    pub(crate) session_id: String,
    /// As it stood there: a number or a text.
    #[serde(rename = "u")]
    pub(crate) user_id: Box<RawValue>,
    /// In milliseconds since 1970.
    #[serde(rename = "l")]
    pub(crate) last_activity_ms: u64,
}

impl Notes {
    /// Cuts what the client says of itself to its bound.
    pub(crate) fn user_agent(text: &str) -> String {
        let mut end = text.len().min(USER_AGENT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].to_owned()
    }
}

/// Notes and the application's data as one.
pub(crate) fn join(notes: &Notes, app: &Bytes) -> Bytes {
    // Texts and numbers are written without fail.
    let Ok(written) = serde_json::to_vec(notes) else { return app.clone() };
    let Ok(length) = u32::try_from(written.len()) else { return app.clone() };
    let mut data = BytesMut::with_capacity(HEAD_BYTES + written.len() + app.len());
    data.extend_from_slice(&[MARK, VERSION]);
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(&written);
    data.extend_from_slice(app);
    data.freeze()
}

/// Other data of the application with the notes that stand in `data`, if some do.
pub(crate) fn replace_app(data: &Bytes, app: &Bytes) -> Bytes {
    match notes_end(data) {
        None => app.clone(),
        Some(end) => [&data[..end], app].concat().into(),
    }
}

/// The application's part.
pub(crate) fn app(data: &Bytes) -> Bytes {
    notes_end(data).map_or_else(|| data.clone(), |end| data.slice(end..))
}

/// The notes; `None`: there are none, or they cannot be read.
pub(crate) fn notes(data: &Bytes) -> Option<Notes> {
    serde_json::from_slice(data.get(HEAD_BYTES..notes_end(data)?)?).ok()
}

fn notes_end(data: &Bytes) -> Option<usize> {
    let [MARK, VERSION, a, b, c, d, ..] = **data else { return None };
    let end = HEAD_BYTES.checked_add(u32::from_le_bytes([a, b, c, d]) as usize)?;
    (end <= data.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_come_back_as_they_were() {
        let notes = Notes { connection_id: "c".to_owned(), connected_at_ms: 7, ..Notes::default() };
        for text in ["", "{\"a\":1}", "\u{1}binary"] {
            let data = join(&notes, &Bytes::from_static(text.as_bytes()));
            assert_eq!(app(&data), text.as_bytes());
            let replaced = replace_app(&data, &Bytes::from_static(b"other"));
            assert_eq!((app(&replaced), replaced.len()), (Bytes::from_static(b"other"), data.len() - text.len() + 5));
            let read = super::notes(&replaced).unwrap();
            assert_eq!((read.connection_id.as_str(), read.connected_at_ms, read.ip), ("c", 7, None));
        }
    }

    #[test]
    fn data_without_notes_is_the_applications_alone() {
        for text in [&b""[..], b"{}", b"\xc1", b"\xc1\x01\xff\xff\xff\xff{}", b"\xc1\x02\x00\x00\x00\x00x"] {
            let data = Bytes::copy_from_slice(text);
            assert_eq!(app(&data), data);
            assert!(super::notes(&data).is_none());
            assert_eq!(replace_app(&data, &Bytes::from_static(b"other")), "other");
        }
    }

    #[test]
    fn a_user_agent_is_cut_between_characters() {
        let long = "é".repeat(USER_AGENT_BYTES_MAX);
        assert_eq!(Notes::user_agent(&long).len(), USER_AGENT_BYTES_MAX);
        assert_eq!(Notes::user_agent(&format!("x{long}")).len(), USER_AGENT_BYTES_MAX - 1);
        assert_eq!(Notes::user_agent("short"), "short");
    }
}
