//! Which pieces of the log stay: those that lead on from a backup that is kept. And many small ones become one.

use std::collections::BTreeSet;

use vedfolnir_cluster::archive::{SEGMENT_BYTES_MAX, Segment, SegmentName, segment_about};
use vedfolnir_cluster::backup::{BackupId, Packing, about, read_manifest};

use super::super::location::{Location, LocationError, StoredSegment};
use crate::observability::read_rfc3339_ms;

/// A larger one is not worth being merged.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Of which cluster a backup is, up to which log index, and when it was begun (milliseconds since 1970).
pub(in super::super) fn origin(location: &dyn Location, id: BackupId) -> Result<(String, u64, u64), LocationError> {
    let refused = |error| LocationError::Backup { id, error };
    let manifest = read_manifest(location.open(id)?).map_err(refused)?;
    let about = about(&manifest.about).map_err(refused)?;
    let begun_ms = read_rfc3339_ms(&about.timestamp).unwrap_or_else(|| id.unix_seconds() * 1_000);
    Ok((about.cluster_id, about.raft_index, begun_ms))
}

/// When the last entry of a piece had been applied, in milliseconds since 1970; nothing of the file is verified by that.
pub(in super::super) fn until_ms(location: &dyn Location, name: &SegmentName) -> Result<u64, LocationError> {
    let read = |input| read_manifest(input).and_then(|manifest| segment_about(&manifest));
    let about = read(location.open_segment(name)?);
    let refused = |error| LocationError::Segment { segment: name.clone(), error };
    Ok(about.map_err(refused)?.until_unix_ms)
}

/// Removes the pieces that lead on from none of the backups that are kept; returns how many. The log of a cluster without any
/// backup here goes when it is older than all of them: a new cluster archives before its first backup is made.
///
/// # Errors
/// [`LocationError`]; what was removed before is gone.
pub(in super::super) fn prune_segments(location: &dyn Location, kept: &[BackupId]) -> Result<usize, LocationError> {
    let segments = location.segments()?;
    if segments.is_empty() {
        return Ok(0);
    }
    let clusters: BTreeSet<&str> = segments.iter().map(|segment| segment.name.cluster_id()).collect();
    let mut oldest_first = kept.to_vec();
    oldest_first.sort_unstable();
    // Each is a file to be opened: where there is one cluster, as there usually is, its oldest backup says everything.
    let (mut origins, mut removed) = (Vec::new(), 0);
    for id in oldest_first {
        let origin = match origin(location, id) {
            // Nobody here knows what leads on from it, and somebody else may: rather too much stays.
            Err(error @ LocationError::Backup { .. }) => {
                tracing::warn!(%error, "all of the archived log stays while this backup does");
                return Ok(0);
            }
            other => other?,
        };
        let is_enough = clusters.len() == 1 && clusters.contains(origin.0.as_str());
        origins.push(origin);
        if is_enough {
            break;
        }
    }
    let Some(oldest_ms) = origins.iter().map(|(_, _, begun_ms)| *begun_ms).min() else { return Ok(0) };
    for cluster in clusters {
        let own = || segments.iter().map(|segment| &segment.name).filter(|name| name.cluster_id() == cluster);
        let needed_behind = origins.iter().filter(|(id, ..)| id == cluster).map(|(_, index, _)| *index).min();
        let needed_behind = match (needed_behind, own().next_back()) {
            (Some(index), _) => index,
            (None, Some(last)) if until_ms(location, last)? < oldest_ms => u64::MAX,
            (None, _) => 0,
        };
        for name in own().filter(|name| name.last() <= needed_behind) {
            location.delete_segment(name)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Merges the small pieces of a cluster's log between two backups, so that each is rewritten once; returns how many are gone.
///
/// # Errors
/// [`LocationError`]; nothing is lost, since what is merged is removed after it was put in its place.
pub(super) fn merge(
    location: &dyn Location,
    cluster_id: &str,
    behind: u64,
    up_to: u64,
    packing: &Packing,
) -> Result<usize, LocationError> {
    let between = |stored: &StoredSegment| {
        let name = &stored.name;
        name.cluster_id() == cluster_id
            && name.last() > behind
            && name.last() <= up_to
            && stored.bytes < SMALL_BYTES_MAX
    };
    let mut removed = 0;
    let mut merged: Option<(Segment, Vec<SegmentName>)> = None;
    for StoredSegment { name, .. } in location.segments()?.into_iter().filter(between) {
        let refused = |error| LocationError::Segment { segment: name.clone(), error };
        let next = Segment::read(&name, location.open_segment(&name)?, packing.key.as_ref()).map_err(refused)?;
        match &mut merged {
            Some((segment, names)) if segment.goes_on_with(&next) && segment.bytes() < SEGMENT_BYTES_MAX => {
                segment.append(next);
                names.push(name);
            }
            _ => removed += finish(location, merged.replace((next, vec![name])), packing)?,
        }
    }
    Ok(removed + finish(location, merged, packing)?)
}

fn finish(
    location: &dyn Location,
    merged: Option<(Segment, Vec<SegmentName>)>,
    packing: &Packing,
) -> Result<usize, LocationError> {
    let Some((segment, names)) = merged.filter(|(_, names)| names.len() > 1) else { return Ok(0) };
    let first = names[0].clone();
    let (name, bytes) = segment.write(packing).map_err(|error| LocationError::Segment { segment: first, error })?;
    location.put_segment(&name, &bytes)?;
    for name in &names {
        location.delete_segment(name)?;
    }
    Ok(names.len() - 1)
}
