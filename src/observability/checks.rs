//! What the node's checks of its own parts have found: a check fails when it failed several times in a row, and is well
//! again the first time that it is.

use std::time::{Duration, Instant};

use serde::Serialize;

/// A part of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The data directory takes writes.
    Storage,
    /// There is room on its file system.
    DiskSpace,
    /// The certificates of the public listener.
    Tls,
    /// Resident memory, against the limit.
    Memory,
    /// Open files, against the limit.
    OpenFiles,
    /// The schedule of backups, on the node that makes them.
    Backup,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 6] = [Self::Storage, Self::DiskSpace, Self::Tls, Self::Memory, Self::OpenFiles, Self::Backup];

    /// In answers and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::DiskSpace => "disk_space",
            Self::Tls => "tls",
            Self::Memory => "memory",
            Self::OpenFiles => "open_files",
            Self::Backup => "backup",
        }
    }

    /// Whether the node can do nothing for clients without it.
    const fn is_vital(self) -> bool {
        matches!(self, Self::Storage)
    }
}

/// What one check found: what there is to know, or what is wrong.
pub type Finding = Result<String, String>;

/// How the node is, by its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Nothing is wrong.
    Healthy,
    /// Something is wrong, and clients are served all the same.
    Degraded,
    /// Something is wrong without which clients cannot be served.
    Unhealthy,
}

/// One check, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckView {
    /// `ok`, `failing` (not often enough yet) or `failed`.
    pub status: &'static str,
    /// What was found last.
    pub message: String,
    /// Seconds since then.
    pub age: f64,
}

struct Entry {
    finding: Finding,
    failures: u32,
    at: Instant,
}

/// The last findings of every check; none before the first round.
pub struct Checks {
    retries: u32,
    entries: [Option<Entry>; Part::ALL.len()],
}

impl Checks {
    /// A check has failed after `retries` failures in a row, at least one.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        Self { retries: retries.max(1), entries: std::array::from_fn(|_| None) }
    }

    /// A check was made. Tells whether it failed, or got well, with this one: worth a line in the log.
    pub fn record(&mut self, part: Part, finding: Finding, now: Instant) -> bool {
        let entry = &mut self.entries[part as usize];
        let before = entry.as_ref().map_or(0, |entry| entry.failures);
        let failures = if finding.is_ok() { 0 } else { before.saturating_add(1) };
        *entry = Some(Entry { finding, failures, at: now });
        (before >= self.retries) != (failures >= self.retries)
    }

    /// Whether a check has failed.
    #[must_use]
    pub fn has_failed(&self, part: Part) -> bool {
        self.entries[part as usize].as_ref().is_some_and(|entry| entry.failures >= self.retries)
    }

    /// The worst of all, and why.
    #[must_use]
    pub fn condition(&self) -> (Condition, Option<String>) {
        let failed = Part::ALL.into_iter().filter(|part| self.has_failed(*part));
        let worst = failed.max_by_key(|part| part.is_vital());
        let Some(worst) = worst else { return (Condition::Healthy, None) };
        let entry = self.entries[worst as usize].as_ref();
        let reason = entry.and_then(|entry| entry.finding.as_ref().err()).cloned().unwrap_or_default();
        let condition = if worst.is_vital() { Condition::Unhealthy } else { Condition::Degraded };
        (condition, Some(format!("{}: {reason}", worst.as_str())))
    }

    /// Every check that was made, with its name.
    #[must_use]
    pub fn view(&self, now: Instant) -> Vec<(&'static str, CheckView)> {
        let made = Part::ALL.into_iter().filter_map(|part| Some((part, self.entries[part as usize].as_ref()?)));
        made.map(|(part, entry)| {
            let status = match entry.failures {
                0 => "ok",
                failures if failures >= self.retries => "failed",
                _ => "failing",
            };
            let message = entry.finding.as_ref().map_or_else(Clone::clone, Clone::clone);
            let age = now.saturating_duration_since(entry.at);
            (part.as_str(), CheckView { status, message, age: seconds(age) })
        })
        .collect()
    }
}

fn seconds(age: Duration) -> f64 {
    (age.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong() -> Finding {
        Err("no room".to_owned())
    }

    #[test]
    fn a_check_fails_after_so_many_failures_in_a_row_and_one_success_makes_it_well() {
        let (mut checks, now) = (Checks::new(3), Instant::now());
        let of = |checks: &Checks| checks.condition().0;
        assert_eq!(of(&checks), Condition::Healthy);
        assert!(!checks.record(Part::Storage, wrong(), now));
        assert!(!checks.record(Part::Storage, wrong(), now));
        assert_eq!(of(&checks), Condition::Healthy);
        assert_eq!(checks.view(now)[0].1.status, "failing");
        assert!(checks.record(Part::Storage, wrong(), now), "told once");
        assert!(!checks.record(Part::Storage, wrong(), now));
        assert_eq!(checks.condition(), (Condition::Unhealthy, Some("storage: no room".to_owned())));
        assert!(checks.record(Part::Storage, Ok("well".to_owned()), now));
        assert_eq!(of(&checks), Condition::Healthy);
        assert!(!checks.record(Part::Storage, wrong(), now), "the count begins anew");
        assert_eq!(of(&checks), Condition::Healthy);
    }

    #[test]
    fn the_worst_stands_and_not_every_part_is_vital() {
        let (mut checks, now) = (Checks::new(1), Instant::now());
        checks.record(Part::Tls, Err("expires tomorrow".to_owned()), now);
        assert_eq!(checks.condition().0, Condition::Degraded);
        checks.record(Part::Storage, wrong(), now);
        checks.record(Part::OpenFiles, wrong(), now);
        assert_eq!(checks.condition(), (Condition::Unhealthy, Some("storage: no room".to_owned())));
    }

    #[test]
    fn a_view_tells_how_old_a_finding_is() {
        let (mut checks, now) = (Checks::new(1), Instant::now());
        assert!(checks.view(now).is_empty());
        checks.record(Part::Memory, Ok("80 MiB".to_owned()), now);
        let later = now + Duration::from_millis(12_340);
        let expected = CheckView { status: "ok", message: "80 MiB".to_owned(), age: 12.3 };
        assert_eq!(checks.view(later), [("memory", expected)]);
    }
}
