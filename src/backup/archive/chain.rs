//! Which pieces of the log follow a backup without a gap, and which backup leads to a point in time.

use std::fmt;

use vedfolnir_cluster::archive::SegmentName;
use vedfolnir_cluster::backup::BackupId;
use vedfolnir_cluster::restore::Until;

use crate::observability::{read_rfc3339_ms, rfc3339_ms};

/// What follows a log index without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// In order; each begins where the one before it ends, or before that.
    pub segments: Vec<SegmentName>,
    /// The last log index of it.
    pub end: u64,
    /// What is missing behind it before there is more: the first index and the last one.
    pub gap: Option<(u64, u64)>,
}

impl Chain {
    /// Of the log of a cluster, behind an index. The order of the segments does not matter.
    #[must_use]
    pub fn behind<'a>(segments: impl IntoIterator<Item = &'a SegmentName>, cluster_id: &str, index: u64) -> Self {
        let own = segments.into_iter().filter(|name| name.cluster_id() == cluster_id && name.last() > index);
        let mut rest: Vec<&SegmentName> = own.collect();
        rest.sort_unstable_by_key(|name| (name.first(), name.last()));
        let mut chain = Self { segments: Vec::new(), end: index, gap: None };
        let mut at = 0;
        loop {
            // Of those that go on here, the one that leads farthest.
            let mut next: Option<&SegmentName> = None;
            while let Some(name) = rest.get(at).filter(|name| name.first() <= chain.end.saturating_add(1)) {
                if name.last() > next.map_or(chain.end, SegmentName::last) {
                    next = Some(name);
                }
                at += 1;
            }
            let Some(name) = next else { break };
            chain.end = name.last();
            chain.segments.push(name.clone());
        }
        chain.gap = rest.get(at).map(|name| (chain.end + 1, name.first() - 1));
        chain
    }
}

/// A text that says no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--to {0:?} is none; accepted: a log index such as 12345, a time such as 2025-01-28T10:30:00Z, or end")]
pub struct PointError(String);

/// Reads `12345`, a date and time of RFC 3339, or `end`.
///
/// # Errors
/// [`PointError`].
pub fn read_point(text: &str) -> Result<Until, PointError> {
    let is_index = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let point = match text {
        "end" | "latest" => Some(Until::End),
        _ if is_index => text.parse().ok().map(Until::Index),
        _ => read_rfc3339_ms(text).map(Until::Time),
    };
    point.ok_or_else(|| PointError(text.chars().take(80).collect()))
}

/// A point, for people.
pub(super) struct Shown(pub(super) Until);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Until::End => f.write_str("the end of the archived log"),
            Until::Index(index) => write!(f, "log index {index}"),
            Until::Time(unix_ms) => f.write_str(&rfc3339_ms(unix_ms)),
        }
    }
}

/// A backup from which the log may lead on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub id: BackupId,
    /// Whose it is.
    pub cluster_id: String,
    /// The last log index in it.
    pub index: u64,
    /// When it was begun, in milliseconds since 1970.
    pub begun_ms: u64,
}

/// How a point is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// From which backup.
    pub backup: BackupId,
    /// Through these pieces of the log, in order.
    pub segments: Vec<SegmentName>,
}

/// Why a point is not reached; nothing was read but names and manifests.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// There is nothing.
    #[error("there is no backup to start from")]
    NoBackup,
    /// The point is before all of them.
    #[error(
        "{point} is before the oldest backup of the cluster, {id}, which ends at log index {index} and was begun {begun}"
    )]
    BeforeOldest {
        /// The point.
        point: String,
        /// The oldest backup.
        id: BackupId,
        /// Where it ends.
        index: u64,
        /// When it was begun.
        begun: String,
    },
    /// The point is before the one that was named.
    #[error(
        "{point} is before {id}, which ends at log index {index} and was begun {begun}: name an earlier backup, or latest"
    )]
    BeforeBackup {
        /// The point.
        point: String,
        /// The backup.
        id: BackupId,
        /// Where it ends.
        index: u64,
        /// When it was begun.
        begun: String,
    },
    /// The log is not archived as far as that.
    #[error("{point} is behind the end of the archived log: it leads from {id} to log index {end}, {until}")]
    BehindEnd {
        /// The point.
        point: String,
        /// The backup.
        id: BackupId,
        /// The last log index.
        end: u64,
        /// How late it was then.
        until: String,
    },
    /// Something is missing on the way.
    #[error(
        "log entries {from} to {to} are not in the archive, so {point} is not reached from {id}; what is archived before them \
         ends at log index {end}, {until}: --to {end}"
    )]
    Gap {
        /// The first missing index.
        from: u64,
        /// The last one.
        to: u64,
        /// The point.
        point: String,
        /// The backup.
        id: BackupId,
        /// The last log index before it.
        end: u64,
        /// How late it was then.
        until: String,
    },
    /// A manifest could not be read.
    #[error("{0}")]
    Unreadable(String),
}

/// How a point is reached from a backup: the one that is named or, of those that are not after it, the newest.
///
/// A log index is one of the newest backup's cluster; so is the end. `until` tells how late it was at the end of a segment.
///
/// # Errors
/// [`RouteError`].
pub fn route(
    origins: &[Origin],
    segments: &[SegmentName],
    named: Option<BackupId>,
    point: Until,
    until: impl Fn(&SegmentName) -> Result<u64, String>,
) -> Result<Route, RouteError> {
    let mut newest_first: Vec<&Origin> = origins.iter().collect();
    newest_first.sort_unstable_by_key(|origin| std::cmp::Reverse(origin.id));
    let newest = newest_first.first().ok_or(RouteError::NoBackup)?;
    let reaches = |origin: &Origin| match point {
        Until::End => true,
        Until::Index(index) => origin.index <= index && (named.is_some() || origin.cluster_id == newest.cluster_id),
        Until::Time(unix_ms) => origin.begun_ms <= unix_ms,
    };
    let shown = Shown(point).to_string();
    let before = |origin: &Origin| (shown.clone(), origin.id, origin.index, rfc3339_ms(origin.begun_ms));
    let origin = match named {
        Some(id) => {
            let origin = newest_first.iter().find(|origin| origin.id == id).ok_or(RouteError::NoBackup)?;
            if !reaches(origin) {
                let (point, id, index, begun) = before(origin);
                return Err(RouteError::BeforeBackup { point, id, index, begun });
            }
            origin
        }
        None => match newest_first.iter().find(|origin| reaches(origin)) {
            Some(origin) => origin,
            None => {
                let same =
                    |origin: &&&Origin| origin.cluster_id == newest.cluster_id || matches!(point, Until::Time(_));
                let (point, id, index, begun) = before(newest_first.iter().rev().find(same).unwrap_or(newest));
                return Err(RouteError::BeforeOldest { point, id, index, begun });
            }
        },
    };
    let Chain { mut segments, end, gap } = Chain::behind(segments, &origin.cluster_id, origin.index);
    let last_ms = || segments.last().map_or(Ok(origin.begun_ms), &until).map_err(RouteError::Unreadable);
    let is_reached = match point {
        Until::End => gap.is_none(),
        Until::Index(index) => index <= end,
        Until::Time(unix_ms) => unix_ms <= last_ms()?,
    };
    if !is_reached {
        let (point, id, until) = (shown, origin.id, rfc3339_ms(last_ms()?));
        return Err(match gap {
            Some((from, to)) => RouteError::Gap { from, to, point, id, end, until },
            None => RouteError::BehindEnd { point, id, end, until },
        });
    }
    if let Until::Index(index) = point {
        let mut at = origin.index;
        segments.retain(|name| std::mem::replace(&mut at, name.last()) < index);
    }
    Ok(Route { backup: origin.id, segments })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OLD: &str = "0000000000000000000000000000000a";
    const NEW: &str = "0000000000000000000000000000000b";

    fn piece(cluster: &str, first: u64, last: u64) -> SegmentName {
        SegmentName::new(cluster, first, last).unwrap()
    }

    fn origin(seconds: u64, cluster: &str, index: u64) -> Origin {
        Origin { id: BackupId::at(seconds), cluster_id: cluster.to_owned(), index, begun_ms: seconds * 1_000 }
    }

    fn ends(chain: &Chain) -> Vec<(u64, u64)> {
        chain.segments.iter().map(|name| (name.first(), name.last())).collect()
    }

    #[test]
    fn a_chain_goes_on_over_overlaps_and_stops_at_a_gap_and_at_another_cluster() {
        let pieces = [
            piece(OLD, 31, 40),
            piece(OLD, 1, 10),
            piece(OLD, 11, 20),
            // Two leaders for a moment.
            piece(OLD, 11, 25),
            piece(OLD, 18, 30),
            piece(OLD, 26, 28),
            piece(NEW, 41, 50),
            piece(OLD, 60, 70),
        ];
        let chain = Chain::behind(&pieces, OLD, 5);
        assert_eq!(ends(&chain), [(1, 10), (11, 25), (18, 30), (31, 40)]);
        assert_eq!((chain.end, chain.gap), (40, Some((41, 59))));
        let chain = Chain::behind(&pieces, OLD, 40);
        assert_eq!((ends(&chain), chain.end, chain.gap), (vec![], 40, Some((41, 59))));
        let chain = Chain::behind(&pieces, OLD, 65);
        assert_eq!((ends(&chain), chain.end, chain.gap), (vec![(60, 70)], 70, None));
        let chain = Chain::behind(&pieces, OLD, 70);
        assert_eq!((ends(&chain), chain.end, chain.gap), (vec![], 70, None));
        assert_eq!(Chain::behind(&pieces, NEW, 45).end, 50);
    }

    #[test]
    fn a_point_is_an_index_a_time_or_the_end() {
        assert_eq!(read_point("12345"), Ok(Until::Index(12_345)));
        assert_eq!(read_point("end"), Ok(Until::End));
        assert_eq!(read_point("latest"), Ok(Until::End));
        assert_eq!(read_point("1970-01-01T01:00:00.5+01:00"), Ok(Until::Time(500)));
        for bad in ["", "yesterday", "-1", "2025-01-28", "2025-01-28T10:30:00", "99999999999999999999999"] {
            assert!(read_point(bad).unwrap_err().to_string().contains("accepted"), "{bad}");
        }
    }

    /// Backups of the old cluster at 10 and 20, of one restored from it at 31; a gap before 51.
    fn world() -> (Vec<Origin>, Vec<SegmentName>) {
        let origins = vec![origin(100, OLD, 10), origin(200, OLD, 20), origin(300, NEW, 31)];
        let pieces =
            vec![piece(OLD, 5, 15), piece(OLD, 16, 25), piece(NEW, 31, 40), piece(NEW, 41, 45), piece(NEW, 51, 60)];
        (origins, pieces)
    }

    fn way(named: Option<u64>, point: Until) -> Result<(String, Vec<(u64, u64)>), String> {
        let (origins, pieces) = world();
        // An entry a second; the newest backup is at 300 s.
        let until = |name: &SegmentName| {
            Ok(if name.cluster_id() == OLD { name.last() * 10_000 } else { 270_000 + name.last() * 1_000 })
        };
        route(&origins, &pieces, named.map(BackupId::at), point, until)
            .map(|route| {
                let segments = route.segments.iter().map(|name| (name.first(), name.last()));
                (route.backup.to_string(), segments.collect())
            })
            .map_err(|error| error.to_string())
    }

    fn id(seconds: u64) -> String {
        BackupId::at(seconds).to_string()
    }

    #[test]
    fn a_point_is_reached_from_the_newest_backup_that_is_not_after_it() {
        assert_eq!(way(None, Until::Index(43)), Ok((id(300), vec![(31, 40), (41, 45)])));
        assert_eq!(way(None, Until::Index(40)), Ok((id(300), vec![(31, 40)])));
        assert_eq!(way(None, Until::Index(31)), Ok((id(300), vec![])), "the backup is the point");
        assert_eq!(way(None, Until::Time(220_000)), Ok((id(200), vec![(16, 25)])), "a time is one of any cluster's");
        assert_eq!(way(None, Until::Time(150_000)), Ok((id(100), vec![(5, 15), (16, 25)])));
        assert_eq!(way(Some(100), Until::Index(22)), Ok((id(100), vec![(5, 15), (16, 25)])));
        assert_eq!(way(Some(100), Until::End), Ok((id(100), vec![(5, 15), (16, 25)])));
    }

    #[test]
    fn a_point_that_is_not_reached_is_refused_and_the_line_says_what_is() {
        let refused = |named, point| way(named, point).unwrap_err();
        let line = refused(None, Until::Index(30));
        assert!(line.contains("log index 30 is before the oldest") && line.contains("log index 31"), "{line}");
        let line = refused(None, Until::Time(99_999));
        assert!(line.contains("before the oldest") && line.contains(&id(100)), "{line}");
        let line = refused(Some(200), Until::Index(19));
        assert!(line.contains("is before full_") && line.contains("name an earlier"), "{line}");
        let line = refused(Some(200), Until::Index(26));
        assert!(
            line.contains("behind the end") && line.contains("to log index 25, 1970-01-01T00:04:10.000Z"),
            "{line}"
        );
        let line = refused(Some(200), Until::Time(250_001));
        assert!(line.contains("behind the end"), "{line}");
        for point in [Until::Index(46), Until::Index(55), Until::Time(320_000), Until::End] {
            let line = refused(None, point);
            assert!(line.contains("log entries 46 to 50 are not in the archive") && line.contains("--to 45"), "{line}");
        }
        assert!(matches!(route(&[], &[], None, Until::End, |_| Ok(0)), Err(RouteError::NoBackup)));
    }
}
