//! `Strict-Transport-Security`: browsers are told to come over HTTPS only (RFC 6797).

use http::HeaderValue;
use thiserror::Error;

/// Seconds below which the promise is too short to protect anybody (a day).
const SHORT_SECONDS: u64 = 86_400;
/// Seconds that the list built into browsers asks for (a year).
const PRELOAD_SECONDS_MIN: u64 = 31_536_000;

/// The list built into browsers takes no such domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HstsError {
    /// The promise is too short.
    #[error(
        "HSTS preload with max-age={0} is refused by the browsers' list (accepted: {PRELOAD_SECONDS_MIN} and more)"
    )]
    PreloadMaxAge(u64),
    /// Subdomains are left out.
    #[error("HSTS preload without includeSubDomains is refused by the browsers' list (accepted: both, or no preload)")]
    PreloadSubdomains,
}

/// The header, built once. It belongs on answers to HTTPS requests only (section 7.2); [`super::headers`] sees to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hsts {
    value: HeaderValue,
    max_age_seconds: u64,
}

impl Hsts {
    /// A promise for `max_age_seconds`; zero takes an earlier one back.
    ///
    /// # Errors
    /// [`HstsError`].
    pub fn new(max_age_seconds: u64, include_subdomains: bool, preload: bool) -> Result<Self, HstsError> {
        if preload && max_age_seconds < PRELOAD_SECONDS_MIN {
            return Err(HstsError::PreloadMaxAge(max_age_seconds));
        }
        if preload && !include_subdomains {
            return Err(HstsError::PreloadSubdomains);
        }
        let subdomains = if include_subdomains { "; includeSubDomains" } else { "" };
        let text = format!("max-age={max_age_seconds}{subdomains}{}", if preload { "; preload" } else { "" });
        // Digits and these words are a header's value.
        #[allow(clippy::expect_used)]
        let value = HeaderValue::try_from(text).expect("visible ASCII");
        Ok(Self { value, max_age_seconds })
    }

    /// Whether the promise is so short that a warning is due; zero is meant.
    #[must_use]
    pub fn is_short(&self) -> bool {
        (1..SHORT_SECONDS).contains(&self.max_age_seconds)
    }

    /// The header's value.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_what_is_configured() {
        let table = [
            ((31_536_000, true, true), "max-age=31536000; includeSubDomains; preload"),
            ((31_536_000, true, false), "max-age=31536000; includeSubDomains"),
            ((300, false, false), "max-age=300"),
            ((0, false, false), "max-age=0"),
            ((u64::MAX, false, false), "max-age=18446744073709551615"),
        ];
        for ((seconds, subdomains, preload), expected) in table {
            assert_eq!(Hsts::new(seconds, subdomains, preload).unwrap().value(), expected);
        }
    }

    #[test]
    fn preload_keeps_the_lists_rules() {
        assert_eq!(Hsts::new(31_535_999, true, true), Err(HstsError::PreloadMaxAge(31_535_999)));
        assert_eq!(Hsts::new(31_536_000, false, true), Err(HstsError::PreloadSubdomains));
    }

    #[test]
    fn short_promises_are_known_as_such() {
        let is_short = |seconds| Hsts::new(seconds, false, false).unwrap().is_short();
        assert!(is_short(1) && is_short(86_399));
        assert!(!is_short(0) && !is_short(86_400));
    }
}
