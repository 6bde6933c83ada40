//! Engine.IO session ids: they name the owner's incarnation, authenticated, so that any node can route a poll to it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// The version that the first byte carries.
const VERSION: u8 = 2;

/// Version, node, generation, random: what the tag vouches for.
const CLAIM_LEN: usize = 1 + 8 + 8 + 12;
/// Bytes of the tag.
pub const ENGINE_SID_TAG_LEN: usize = 10;
const BINARY_LEN: usize = CLAIM_LEN + ENGINE_SID_TAG_LEN;

/// Length of the text form in characters.
pub const ENGINE_SID_LEN: usize = 52;

/// An Engine.IO session id. `node` and `generation` say where to look, and `tag` that a node of the cluster said so: a
/// made-up id is found out wherever it comes, before anybody else is asked. It is `random`, 96 bits that the owner
/// compares with its sessions, that makes the id a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EngineSid {
    /// The node that owns the session.
    pub node: u64,
    /// Which of the node's lives: a session ends with it.
    pub generation: u64,
    /// Names the session and keeps others from guessing it.
    pub random: [u8; 12],
    /// Authenticates [`EngineSid::claim`] under a key that only the cluster's nodes have; computed and compared, in
    /// constant time, by whoever holds the key.
    pub tag: [u8; ENGINE_SID_TAG_LEN],
}

impl EngineSid {
    /// The bytes that the tag authenticates.
    #[must_use]
    pub fn claim(&self) -> [u8; CLAIM_LEN] {
        let mut claim = [0; CLAIM_LEN];
        claim[0] = VERSION;
        claim[1..9].copy_from_slice(&self.node.to_be_bytes());
        claim[9..17].copy_from_slice(&self.generation.to_be_bytes());
        claim[17..].copy_from_slice(&self.random);
        claim
    }
}

/// The text is no session id of this server; to a client it is "Session ID unknown".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an Engine.IO session id of this server")]
pub struct EngineSidError;

impl fmt::Display for EngineSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut binary = [0; BINARY_LEN];
        binary[..CLAIM_LEN].copy_from_slice(&self.claim());
        binary[CLAIM_LEN..].copy_from_slice(&self.tag);
        f.write_str(&URL_SAFE_NO_PAD.encode(binary))
    }
}

/// Logs show where the session lives, never the secret.
impl fmt::Debug for EngineSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineSid({:016x}.{})", self.node, self.generation)
    }
}

impl FromStr for EngineSid {
    type Err = EngineSidError;

    /// Each id has exactly one text form; anything else is refused.
    fn from_str(text: &str) -> Result<Self, EngineSidError> {
        if text.len() != ENGINE_SID_LEN {
            return Err(EngineSidError);
        }
        let mut binary = [0; BINARY_LEN];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut binary) {
            Ok(BINARY_LEN) if binary[0] == VERSION => {}
            _ => return Err(EngineSidError),
        }
        let mut node = [0; 8];
        let mut generation = [0; 8];
        let mut random = [0; 12];
        let mut tag = [0; ENGINE_SID_TAG_LEN];
        node.copy_from_slice(&binary[1..9]);
        generation.copy_from_slice(&binary[9..17]);
        random.copy_from_slice(&binary[17..CLAIM_LEN]);
        tag.copy_from_slice(&binary[CLAIM_LEN..]);
        Ok(Self { node: u64::from_be_bytes(node), generation: u64::from_be_bytes(generation), random, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: EngineSid = EngineSid { node: 7, generation: 3, random: *b"0123456789ab", tag: *b"0123456789" };

    #[test]
    fn round_trip_in_a_url_safe_text() {
        let text = SID.to_string();
        assert_eq!(text.len(), ENGINE_SID_LEN);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(text.parse(), Ok(SID));
    }

    #[test]
    fn garbage_is_refused() {
        let text = SID.to_string();
        let other_version = format!("B{}", &text[1..]);
        for bad in ["", "abc", &text[1..], &format!("{text}A"), &text.replace('A', "!"), &other_version] {
            assert_eq!(bad.parse::<EngineSid>(), Err(EngineSidError), "{bad}");
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{SID:?}"), "EngineSid(0000000000000007.3)");
    }
}
