//! What a backup is called: `full_YYYYMMDD_HHMMSS`, UTC, with a number behind it from the second one in a second on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// In a second there are no more.
const IN_A_SECOND_MAX: u32 = 9_999;
/// The year 9999 is the last that has four digits.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A backup's name. Safe as the name of a file by its form: letters, digits and underscores.
///
/// Sorts by time, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId {
    unix_seconds: u64,
    /// From 1.
    number: u32,
}

/// A text that names no backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no backup's id; accepted: full_YYYYMMDD_HHMMSS, and _2 and so on behind it, as `vedfolnir backup list` shows"
)]
pub struct BackupIdError(String);

impl BackupId {
    /// The first one of a second.
    #[must_use]
    pub fn at(unix_seconds: u64) -> Self {
        Self { unix_seconds: unix_seconds.min(SECONDS_MAX), number: 1 }
    }

    /// The next one of the same second, or the first one of the next.
    #[must_use]
    pub fn next(self) -> Self {
        if self.number < IN_A_SECOND_MAX {
            Self { number: self.number + 1, ..self }
        } else {
            Self::at(self.unix_seconds.saturating_add(1))
        }
    }

    /// When it was begun, in seconds since 1970.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        self.unix_seconds
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.unix_seconds / 86_400, self.unix_seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "full_{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}")?;
        if self.number > 1 { write!(f, "_{}", self.number) } else { Ok(()) }
    }
}

impl FromStr for BackupId {
    type Err = BackupIdError;

    fn from_str(text: &str) -> Result<Self, BackupIdError> {
        let refused = || BackupIdError(text.chars().take(80).collect());
        let parse = || {
            let (date, rest) = text.strip_prefix("full_")?.split_at_checked(8)?;
            let (time, number) = rest.strip_prefix('_')?.split_at_checked(6)?;
            let part = |of: &str, from: usize, to: usize| of.get(from..to)?.parse::<u64>().ok();
            let days = days_of(part(date, 0, 4)?, part(date, 4, 6)?, part(date, 6, 8)?);
            let second = part(time, 0, 2)? * 3_600 + part(time, 2, 4)? * 60 + part(time, 4, 6)?;
            let number = match number.strip_prefix('_') {
                Some(number) => number.parse().ok().filter(|number| *number <= IN_A_SECOND_MAX)?,
                None => 1,
            };
            Some(Self { unix_seconds: days?.checked_mul(86_400)?.checked_add(second)?, number })
        };
        // One text for each id: no signs, no days that a month does not have, nothing behind it.
        parse().filter(|id| id.to_string() == text).ok_or_else(refused)
    }
}

impl TryFrom<String> for BackupId {
    type Error = BackupIdError;

    fn try_from(text: String) -> Result<Self, BackupIdError> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.to_string()
    }
}

/// The civil date of a day since 1970 (Hinnant, chrono-compatible low-level date algorithms).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The other way round; a date before 1970 or of no month is none.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || year < 1970 {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day.checked_sub(1)?;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_in_utc() {
        assert_eq!(BackupId::at(0).to_string(), "full_19700101_000000");
        assert_eq!(BackupId::at(1_738_060_200).to_string(), "full_20250128_103000");
        assert_eq!(BackupId::at(951_782_400).to_string(), "full_20000229_000000");
        assert_eq!(BackupId::at(u64::MAX).to_string(), "full_99991231_235959");
    }

    #[test]
    fn two_of_one_second_have_two_ids_in_order() {
        let first = BackupId::at(1_738_060_200);
        assert_eq!(first.next().to_string(), "full_20250128_103000_2");
        assert!(first < first.next() && first.next() < BackupId::at(1_738_060_201));
    }

    #[test]
    fn an_id_reads_back_on_every_day() {
        for day in 0..40_000 {
            let id = BackupId::at(day * 86_400 + day % 86_400);
            assert_eq!(id.to_string().parse::<BackupId>(), Ok(id));
            assert_eq!(id.next().to_string().parse::<BackupId>(), Ok(id.next()));
        }
    }

    #[test]
    fn what_is_no_id_is_no_path_either() {
        for bad in [
            "",
            "full_",
            "../full_20250128_103000",
            "full_20250128_103000/../x",
            "full_20250128_103000.vfb",
            "full_20250128_103000_1",
            "full_20250128_103000_02",
            "full_20250128_103000_-2",
            "full_20250128_103000_99999",
            "full_20250230_103000",
            "full_20251328_103000",
            "full_20250128_246000",
            "full_+0250128_103000",
            "full_2025é128_103000",
            "full_20250128_103000\0",
        ] {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }
}
