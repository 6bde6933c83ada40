//! Wall-clock time as log lines show it: RFC 3339 with milliseconds, and syslog's older form. Always UTC.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Milliseconds since 1970; a clock before that counts as 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A moment, taken apart.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
    milli: u64,
}

impl Civil {
    /// In the Gregorian calendar; counted in years that begin in March, so that the leap day is a year's last.
    const fn of(unix_ms: u64) -> Self {
        const DAYS_PER_ERA: u64 = 146_097; // 400 years
        const EPOCH_FROM_MARCH_OF_YEAR_0: u64 = 719_468;
        let seconds = unix_ms / 1000;
        let days = seconds / 86_400 + EPOCH_FROM_MARCH_OF_YEAR_0;
        let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + (month <= 2) as u64;
        Self { year, month, day, second_of_day: seconds % 86_400, milli: unix_ms % 1000 }
    }
}

/// Writes `2025-01-28T10:30:00.000Z`.
pub(crate) fn push_rfc3339(out: &mut String, unix_ms: u64) {
    // The last millisecond that four digits of a year hold: a clock beyond it is broken, the line's form is not.
    const YEAR_9999_ENDS_MS: u64 = 253_402_300_799_999;
    let at = Civil::of(if unix_ms < YEAR_9999_ENDS_MS { unix_ms } else { YEAR_9999_ENDS_MS });
    push_digits(out, at.year, 4);
    for (before, number) in [
        ('-', at.month),
        ('-', at.day),
        ('T', at.second_of_day / 3600),
        (':', at.second_of_day / 60 % 60),
        (':', at.second_of_day % 60),
    ] {
        out.push(before);
        push_digits(out, number, 2);
    }
    out.push('.');
    push_digits(out, at.milli, 3);
    out.push('Z');
}

/// Reads what [`push_rfc3339`] writes, and any other date and time of RFC 3339 with a zone; `None`: it is none, or before 1970.
pub(crate) fn read_rfc3339(text: &str) -> Option<u64> {
    let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A number with leading zeros; by hand because the formatting machinery costs ten times as much, on every line.
fn push_digits(out: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(char::from(b'0' + (number / 10_u64.pow(place) % 10) as u8));
    }
}

/// Writes `Jan 28 10:30:00` (RFC 3164, section 4.1.2; the day is padded with a space).
pub(crate) fn push_rfc3164(out: &mut String, unix_ms: u64) {
    let at = Civil::of(unix_ms);
    let month = MONTHS.get(at.month as usize - 1).copied().unwrap_or("Jan");
    let (hour, minute, second) = (at.second_of_day / 3600, at.second_of_day / 60 % 60, at.second_of_day % 60);
    // Writing into a string cannot fail.
    let _ = write!(out, "{month} {:2} {hour:02}:{minute:02}:{second:02}", at.day);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        for (millis, long, short) in [
            (0, "1970-01-01T00:00:00.000Z", "Jan  1 00:00:00"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z", "Feb 29 00:00:00"),
            (1_640_995_200_123, "2022-01-01T00:00:00.123Z", "Jan  1 00:00:00"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z", "Feb 29 23:59:59"),
            (1_738_060_200_000, "2025-01-28T10:30:00.000Z", "Jan 28 10:30:00"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "Mar  1 00:00:00"),
        ] {
            let (mut rfc3339, mut rfc3164) = (String::new(), String::new());
            push_rfc3339(&mut rfc3339, millis);
            push_rfc3164(&mut rfc3164, millis);
            assert_eq!((rfc3339.as_str(), rfc3164.as_str()), (long, short));
        }
    }

    #[test]
    fn a_broken_clock_keeps_the_form() {
        let mut text = String::new();
        push_rfc3339(&mut text, u64::MAX);
        assert_eq!(text, "9999-12-31T23:59:59.999Z");
        assert_eq!(unix_ms(UNIX_EPOCH - std::time::Duration::from_secs(1)), 0);
    }
}
