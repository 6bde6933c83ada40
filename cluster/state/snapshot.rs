//! The whole state as bytes: its format, then MessagePack; the same bytes for equal states.

use std::io::{self, BufReader, BufWriter, Read, Write};

use crate::codec::CodecError;
use crate::format::Format;
use crate::names;
use crate::state::State;

/// Handed on at once.
const BUFFER_BYTES: usize = 64 << 10;

impl State {
    /// Writes everything.
    ///
    /// # Errors
    /// [`CodecError::Io`].
    pub fn encode_snapshot(&self, writer: &mut impl Write) -> Result<(), CodecError> {
        // MessagePack is written and read in pieces of a few bytes; what stands behind compresses and checks them.
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        writer.write_all(&[self.format.number()])?;
        rmp_serde::encode::write(&mut writer, self).map_err(|error| CodecError::Io(io::Error::other(error)))?;
        Ok(writer.flush()?)
    }

    /// Reads everything.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode_snapshot(reader: impl Read) -> Result<Self, CodecError> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let mut version = [0];
        reader.read_exact(&mut version)?;
        let [version] = version;
        let format = Format::try_from(version).map_err(|_| CodecError::UnknownVersion(version))?;
        let read = names::sharing(|| rmp_serde::from_read(reader));
        let mut state: Self = read.map_err(|error| CodecError::Malformed(error.to_string()))?;
        if state.format != format {
            return Err(CodecError::Malformed(format!(
                "a state of format {} written in format {format}",
                state.format
            )));
        }
        #[cfg(feature = "planted-bugs")]
        crate::planted::loaded(&mut state);
        // What is derived is in no snapshot.
        state.sessions.iter().for_each(|session| state.rooms.count_user_of(session));
        state.once.index();
        Ok(state)
    }

    /// Equal states have equal hashes (FNV-1a over the snapshot's bytes).
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        // Hashing does not fail, see `write` below.
        let _ = self.encode_snapshot(&mut hash);
        hash.0
    }
}

struct Fnv(u64);

impl Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
