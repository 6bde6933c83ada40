//! A state from a backup goes on through the archived log, by the same `apply` as on every node, to where it is wanted.

use std::io::Read;

use serde::{Deserialize, Serialize};
use vedfolnir_state::{Format, Outcome, State, written_in};

use crate::archive::{ArchivedEntry, Segment, SegmentName};
use crate::backup::{BackupKey, LoadedBackup};
use crate::restore::RestoreError;

/// Up to where the log is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its end.
    End,
    /// This log index, included.
    Index(u64),
    /// What had been applied by this time, in milliseconds since 1970; see [`Segment::cut`].
    Time(u64),
}

/// Opens a segment.
pub type OpenSegment<'a> = dyn Fn(&SegmentName) -> Result<Box<dyn Read + Send>, String> + 'a;

/// The log from a backup on.
pub struct ArchivedLog<'a> {
    /// The segments, in order: each begins where the one before it ends, or before that.
    pub segments: &'a [SegmentName],
    /// Where they are.
    pub open: &'a OpenSegment<'a>,
    /// Up to where.
    pub until: Until,
    /// A segment that cannot be used ends the replay instead of refusing it: what is before it is better than nothing.
    pub as_far_as_sound: bool,
}

/// What was replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The last log index that is in the state.
    pub index: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Entries that were applied.
    pub entries: u64,
    /// The term of the last one.
    pub term: u64,
    /// How late it was when the last one had been applied, as far as the archive says: milliseconds since 1970.
    pub unix_ms: Option<u64>,
    /// Why it ended before its end.
    pub stopped: Option<String>,
}

impl LoadedBackup {
    /// Goes on through the archived log. A segment is applied once all of it was found sound.
    ///
    /// # Errors
    /// [`RestoreError::Refused`] names the segment; the state is of no use then.
    pub fn replay(&mut self, log: &ArchivedLog<'_>, key: Option<&BackupKey>) -> Result<Replayed, RestoreError> {
        replay(&mut self.state, &self.about.cluster_id, log, key)
    }
}

fn replay(
    state: &mut State,
    cluster_id: &str,
    log: &ArchivedLog<'_>,
    key: Option<&BackupKey>,
) -> Result<Replayed, RestoreError> {
    let mut replayed = Replayed { index: state.applied().index, ..Replayed::default() };
    let mut before: Vec<ArchivedEntry> = Vec::new();
    for name in log.segments {
        if matches!(log.until, Until::Index(index) if index <= replayed.index) {
            break;
        }
        let segment = match sound(name, cluster_id, replayed.index, &before, log, key) {
            Ok(segment) => segment,
            Err(reason) if log.as_far_as_sound => {
                replayed.stopped = Some(format!("{name}: {reason}"));
                break;
            }
            Err(reason) => return Err(RestoreError::Refused(format!("{name}: {reason}"))),
        };
        replayed.segments += 1;
        let cut = match log.until {
            Until::End => None,
            Until::Index(index) => (index < name.last()).then_some(index),
            Until::Time(unix_ms) => segment.cut(unix_ms),
        };
        let up_to = cut.unwrap_or(u64::MAX);
        for entry in segment.entries.iter().filter(|entry| entry.index <= up_to) {
            if entry.index <= replayed.index {
                continue;
            }
            apply(state, entry).map_err(|reason| RestoreError::Refused(format!("{name}: {reason}")))?;
            replayed.index = entry.index;
            replayed.term = replayed.term.max(entry.term);
            replayed.entries += 1;
        }
        let reached = segment.marks.iter().rfind(|mark| mark.index <= replayed.index);
        replayed.unix_ms = reached.map(|mark| mark.unix_ms).or(replayed.unix_ms);
        if cut.is_some() {
            break;
        }
        before = segment.entries;
    }
    Ok(replayed)
}

/// A segment that goes on where the state is, and agrees with the one before it.
fn sound(
    name: &SegmentName,
    cluster_id: &str,
    applied: u64,
    before: &[ArchivedEntry],
    log: &ArchivedLog<'_>,
    key: Option<&BackupKey>,
) -> Result<Segment, String> {
    if name.cluster_id() != cluster_id {
        return Err(format!("it is of cluster {}, and the backup of cluster {cluster_id}", name.cluster_id()));
    }
    if name.first() > applied.saturating_add(1) {
        return Err(format!("log entries {} to {} are missing before it", applied + 1, name.first() - 1));
    }
    let segment = Segment::read(name, (log.open)(name)?, key).map_err(|error| error.to_string())?;
    if let Some((index, written)) = segment.entries.iter().find_map(newer) {
        return Err(format!(
            "log entry {index} is written in format {written}, this binary reads up to {}: use the newer binary",
            Format::NEWEST
        ));
    }
    // Both are sorted and overlap by a few entries, if at all.
    let overlap = before.iter().rev().take_while(|entry| entry.index >= name.first());
    for known in overlap {
        let at = usize::try_from(known.index - name.first()).unwrap_or(usize::MAX);
        if let Some(entry) = segment.entries.get(at).filter(|entry| *entry != known) {
            return Err(format!(
                "log entry {} of term {} is another one in the piece before it, of term {}: they are of two histories",
                entry.index, entry.term, known.term
            ));
        }
    }
    Ok(segment)
}

/// The index and format of an entry that only a newer release can apply.
fn newer(entry: &ArchivedEntry) -> Option<(u64, u8)> {
    let written = entry.proposal.as_deref().and_then(written_in)?;
    (written > Format::NEWEST.number()).then_some((entry.index, written))
}

/// As the state machine does, but that nobody is there to hear of it.
fn apply(state: &mut State, entry: &ArchivedEntry) -> Result<(), String> {
    let Some(bytes) = &entry.proposal else {
        state.apply_empty(entry.index);
        return Ok(());
    };
    match state.apply(entry.index, bytes).outcome {
        Outcome::UnknownVersion { version } => {
            Err(format!("log entry {} is written in an unknown format {version}", entry.index))
        }
        // What every replica skipped is skipped.
        Outcome::Executed { .. } | Outcome::Malformed | Outcome::Gap { .. } | Outcome::NotLive => Ok(()),
    }
}
