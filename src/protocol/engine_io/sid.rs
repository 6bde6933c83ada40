//! Engine.IO session ids: they name the owner's incarnation, so that any node can route a poll to it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// The version that the first byte carries.
const VERSION: u8 = 1;

/// Version, node, generation, random.
const BINARY_LEN: usize = 1 + 8 + 8 + 12;

/// Length of the text form in characters.
pub const ENGINE_SID_LEN: usize = 39;

/// An Engine.IO session id. `node` and `generation` only say where to look: it is `random`, 96 bits that the owner
/// compares with its sessions, that makes the id a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EngineSid {
    /// The node that owns the session.
    pub node: u64,
    /// Which of the node's lives: a session ends with it.
    pub generation: u64,
    /// Names the session and keeps others from guessing it.
    pub random: [u8; 12],
}

/// The text is no session id of this server; to a client it is "Session ID unknown".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an Engine.IO session id of this server")]
pub struct EngineSidError;

impl fmt::Display for EngineSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut binary = [0; BINARY_LEN];
        binary[0] = VERSION;
        binary[1..9].copy_from_slice(&self.node.to_be_bytes());
        binary[9..17].copy_from_slice(&self.generation.to_be_bytes());
        binary[17..].copy_from_slice(&self.random);
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
        node.copy_from_slice(&binary[1..9]);
        generation.copy_from_slice(&binary[9..17]);
        random.copy_from_slice(&binary[17..]);
        Ok(Self { node: u64::from_be_bytes(node), generation: u64::from_be_bytes(generation), random })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: EngineSid = EngineSid { node: 7, generation: 3, random: *b"0123456789ab" };

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
