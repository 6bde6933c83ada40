//! The committed log as files beside the backups: what leads from a backup to any position after it.
//!
//! ```text
//!   committed entries, and marks: how far the log was at what time ─► a segment, sealed like a backup ─► beside the backups
//! ```
//! The body of a segment, integers little-endian:
//! ```text
//!   marks u32 │ index u64, milliseconds since 1970 u64 │ …
//!             │ index u64 │ term u64 │ length u32, all ones: nothing to apply │ the proposal as it was committed │ …
//! ```
//! Entries are contiguous. What is committed under an index is the same everywhere, so segments of one cluster may overlap:
//! two nodes that lead for a moment write what both know.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vedfolnir_storage::backup::{BackupError, BackupKey, BackupReader, BackupWriter, Manifest, Packing};

/// A segment is closed when its entries have so many bytes.
pub const SEGMENT_BYTES_MAX: usize = 16 << 20;
/// A body may have so many; its last entry may be a large one.
const BODY_BYTES_MAX: u64 = 256 << 20;
/// Of an entry in a segment, beside its proposal.
const ENTRY_HEAD_BYTES: usize = 20;
/// A mark for each second of two days.
const MARKS_MAX: u32 = 200_000;
/// Instead of a proposal's length.
const NOTHING: u32 = u32::MAX;
const CLUSTER_ID_DIGITS: usize = 32;

/// What a segment is called: `log_CLUSTER_FIRST_LAST`, so that names say which follow each other. Safe as the name of a
/// file by its form.
///
/// Sorts by cluster, then by position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SegmentName {
    cluster_id: String,
    first: u64,
    last: u64,
}

/// A text that names no segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of an archived piece of the log")]
pub struct SegmentNameError(String);

impl SegmentName {
    /// Of a cluster (32 hexadecimal digits), from one log index to another, both included; `None`: there is no such thing.
    #[must_use]
    pub fn new(cluster_id: &str, first: u64, last: u64) -> Option<Self> {
        let is_id = cluster_id.len() == CLUSTER_ID_DIGITS
            && cluster_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_id && first <= last).then(|| Self { cluster_id: cluster_id.to_owned(), first, last })
    }

    /// Whose log it is.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The first log index in it.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twenty digits hold every index: names sort as numbers do.
        write!(f, "log_{}_{:020}_{:020}", self.cluster_id, self.first, self.last)
    }
}

impl FromStr for SegmentName {
    type Err = SegmentNameError;

    fn from_str(text: &str) -> Result<Self, SegmentNameError> {
        let parse = || {
            let mut parts = text.strip_prefix("log_")?.split('_');
            let (id, first, last) = (parts.next()?, parts.next()?, parts.next()?);
            Self::new(id, first.parse().ok()?, last.parse().ok()?)
        };
        // One text for each name.
        parse()
            .filter(|name| name.to_string() == text)
            .ok_or_else(|| SegmentNameError(text.chars().take(120).collect()))
    }
}

impl TryFrom<String> for SegmentName {
    type Error = SegmentNameError;

    fn try_from(text: String) -> Result<Self, SegmentNameError> {
        text.parse()
    }
}

impl From<SegmentName> for String {
    fn from(name: SegmentName) -> Self {
        name.to_string()
    }
}

/// A committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedEntry {
    /// Its log index.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: u64,
    /// What is applied; `None`: nothing, as with the entries of Raft itself.
    pub proposal: Option<Bytes>,
}

impl ArchivedEntry {
    pub(crate) fn bytes(&self) -> usize {
        ENTRY_HEAD_BYTES + self.proposal.as_ref().map_or(0, Bytes::len)
    }
}

/// How far the log was at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Everything up to here had been applied.
    pub index: u64,
    /// By then, by the clock of the node that says so: milliseconds since 1970.
    pub unix_ms: u64,
}

/// What a segment says of itself, in its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentAbout {
    /// Tells it from a backup.
    pub archive_type: ArchiveType,
    /// 32 hexadecimal digits.
    pub cluster_id: String,
    /// 16 hexadecimal digits.
    pub history_id: String,
    /// The first log index in it.
    pub first_index: u64,
    /// The last one.
    pub last_index: u64,
    /// The term of the first entry.
    pub first_term: u64,
    /// And of the last one.
    pub last_term: u64,
    /// The last entry had been applied by then: milliseconds since 1970.
    pub until_unix_ms: u64,
    /// The release that wrote it.
    pub server_version: String,
    /// The node that wrote it.
    pub server_id: String,
}

/// See [`SegmentAbout::archive_type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveType {
    /// A piece of the log.
    Log,
}

/// A piece of the log.
///
/// Invariants: entries are contiguous and not empty, and their terms do not go down; marks go up and end with one of the last
/// entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whose log it is, 32 hexadecimal digits.
    pub cluster_id: String,
    /// Of what history, 16 hexadecimal digits.
    pub history_id: String,
    /// The node that writes it.
    pub server_id: String,
    /// The entries.
    pub entries: Vec<ArchivedEntry>,
    /// How far the log was, at what times.
    pub marks: Vec<Mark>,
}

impl Segment {
    /// The last entry that had been applied by then, if something of the segment had not: the index before the first one
    /// where nothing had. Where a clock went back, what follows counts as later.
    #[must_use]
    pub fn cut(&self, unix_ms: u64) -> Option<u64> {
        let mut reached = self.entries.first().map_or(0, |first| first.index.saturating_sub(1));
        for mark in &self.marks {
            if mark.unix_ms > unix_ms {
                return Some(reached);
            }
            reached = mark.index;
        }
        None
    }

    /// Whether another one begins where this one ends.
    #[must_use]
    pub fn goes_on_with(&self, next: &Self) -> bool {
        let end = self.entries.last().and_then(|last| last.index.checked_add(1));
        self.cluster_id == next.cluster_id && end.is_some() && end == next.entries.first().map(|first| first.index)
    }

    /// Takes what it [goes on with](Self::goes_on_with).
    pub fn append(&mut self, next: Self) {
        self.entries.extend(next.entries);
        self.marks.extend(next.marks);
    }

    /// Bytes of its entries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(ArchivedEntry::bytes).sum()
    }

    /// Its name, and why it is none.
    fn name(&self) -> Result<SegmentName, BackupError> {
        let damaged = |what: &str| Err(BackupError::Damaged(what.to_owned()));
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            return damaged("it holds no entries");
        };
        let in_order = |pair: &[ArchivedEntry]| match pair {
            [one, next] => one.index.checked_add(1) == Some(next.index) && one.term <= next.term,
            _ => true,
        };
        if !self.entries.windows(2).all(in_order) {
            return damaged("its entries do not follow each other");
        }
        let ascend = |pair: &[Mark]| !matches!(pair, [one, next] if one.index >= next.index);
        let marked = self.marks.last().is_some_and(|mark| mark.index == last.index);
        if !marked || !self.marks.windows(2).all(ascend) {
            return damaged("its marks do not lead to its end");
        }
        match SegmentName::new(&self.cluster_id, first.index, last.index) {
            Some(name) => Ok(name),
            None => damaged("it is of no cluster"),
        }
    }

    /// As a file, and what that is called.
    ///
    /// # Errors
    /// [`BackupError`]: it is none ([`Segment`]'s invariants), or it cannot be packed.
    pub fn write(&self, packing: &Packing) -> Result<(SegmentName, Vec<u8>), BackupError> {
        let name = self.name()?;
        let term = |entry: Option<&ArchivedEntry>| entry.map_or(0, |entry| entry.term);
        let about = SegmentAbout {
            archive_type: ArchiveType::Log,
            cluster_id: self.cluster_id.clone(),
            history_id: self.history_id.clone(),
            first_index: name.first,
            last_index: name.last,
            first_term: term(self.entries.first()),
            last_term: term(self.entries.last()),
            until_unix_ms: self.marks.last().map_or(0, |mark| mark.unix_ms),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            server_id: self.server_id.clone(),
        };
        let Value::Object(said) = serde_json::to_value(&about).map_err(io::Error::other)? else {
            return Err(io::Error::other("what is said of a segment is no object").into());
        };
        let mut out = BackupWriter::create(Vec::new(), said, packing)?;
        let marks = u32::try_from(self.marks.len()).ok().filter(|count| *count <= MARKS_MAX);
        let too_large = BackupError::TooLarge { bytes_max: BODY_BYTES_MAX };
        out.write_all(&marks.ok_or(too_large)?.to_le_bytes())?;
        for mark in &self.marks {
            out.write_all(&mark.index.to_le_bytes())?;
            out.write_all(&mark.unix_ms.to_le_bytes())?;
        }
        for ArchivedEntry { index, term, proposal } in &self.entries {
            let length = proposal.as_ref().map_or(Ok(NOTHING), |bytes| u32::try_from(bytes.len()));
            let too_large = |_| BackupError::TooLarge { bytes_max: BODY_BYTES_MAX };
            out.write_all(&index.to_le_bytes())?;
            out.write_all(&term.to_le_bytes())?;
            out.write_all(&length.map_err(too_large)?.to_le_bytes())?;
            out.write_all(proposal.as_deref().unwrap_or_default())?;
        }
        Ok((name, out.finish()?.0))
    }

    /// Reads a file: nothing of it is handed out before every byte was found sound, and to be what its name says.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn read(name: &SegmentName, input: impl Read, key: Option<&BackupKey>) -> Result<Self, BackupError> {
        let mut reader = BackupReader::open(input, key, BODY_BYTES_MAX)?;
        let about = segment_about(reader.manifest())?;
        let body = read_body(&mut reader);
        let verified = reader.finish()?;
        let (entries, marks) = body.map_err(|error| BackupError::Damaged(format!("its body: {error}")))?;
        let SegmentAbout { cluster_id, history_id, server_id, until_unix_ms, .. } = about;
        let segment = Self { cluster_id, history_id, server_id, entries, marks };
        let until = segment.marks.last().map(|mark| mark.unix_ms);
        if verified.left > 0 || segment.name()? != *name || until != Some(until_unix_ms) {
            return Err(BackupError::Damaged("it is another piece of the log than its name says".to_owned()));
        }
        Ok(segment)
    }
}

/// What the manifest of a segment says.
///
/// # Errors
/// [`BackupError::Damaged`].
pub fn segment_about(manifest: &Manifest) -> Result<SegmentAbout, BackupError> {
    let said: Map<String, Value> = manifest.about.clone();
    serde_json::from_value(Value::Object(said))
        .map_err(|error| BackupError::Damaged(format!("its manifest is not one of a piece of the log: {error}")))
}

fn read_body(input: &mut impl Read) -> io::Result<(Vec<ArchivedEntry>, Vec<Mark>)> {
    let count = u32::from_le_bytes(array(input)?);
    if count > MARKS_MAX {
        return Err(io::Error::other("it has too many marks"));
    }
    let mut marks = Vec::new();
    for _ in 0..count {
        marks.push(Mark { index: u64::from_le_bytes(array(input)?), unix_ms: u64::from_le_bytes(array(input)?) });
    }
    let mut entries = Vec::new();
    let mut head = Vec::with_capacity(ENTRY_HEAD_BYTES);
    loop {
        head.clear();
        // What is read grows with what is there, whatever length is claimed.
        if input.by_ref().take(ENTRY_HEAD_BYTES as u64).read_to_end(&mut head)? == 0 {
            return Ok((entries, marks));
        }
        let mut fields = head.as_slice();
        let (index, term) = (u64::from_le_bytes(array(&mut fields)?), u64::from_le_bytes(array(&mut fields)?));
        let proposal = match u32::from_le_bytes(array(&mut fields)?) {
            NOTHING => None,
            length => {
                let mut bytes = Vec::new();
                if input.by_ref().take(u64::from(length)).read_to_end(&mut bytes)? < length as usize {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Some(Bytes::from(bytes))
            }
        };
        entries.push(ArchivedEntry { index, term, proposal });
    }
}

fn array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "segment_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
