//! Wall-clock time as RFC 3339 with milliseconds, as the log writes it; only ever displayed.

use std::time::SystemTime;

use super::logging::push_rfc3339;
pub(crate) use super::logging::unix_ms;

/// `2025-01-28T10:30:00.000Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    rfc3339_ms(unix_ms(time))
}

/// The same of milliseconds since 1970.
#[must_use]
pub fn rfc3339_ms(unix_ms: u64) -> String {
    let mut text = String::new();
    push_rfc3339(&mut text, unix_ms);
    text
}

/// Milliseconds since 1970 of such a text, or of any other date and time of RFC 3339.
#[must_use]
pub fn read_rfc3339_ms(text: &str) -> Option<u64> {
    super::logging::read_rfc3339(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn known_instants() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_640_995_200_123, "2022-01-01T00:00:00.123Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(millis)), text);
            assert_eq!(read_rfc3339_ms(text), Some(millis));
        }
    }
}
