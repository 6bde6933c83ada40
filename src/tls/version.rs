//! The lowest version of TLS that the public listener speaks.

use std::fmt;
use std::str::FromStr;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static FROM_TLS13: [&SupportedProtocolVersion; 1] = [&TLS13];

/// What [`MinimumVersion`] is written as.
pub const MINIMUM_VERSION_FORMS: &str = "TLSv1_2 (or TLSv1.2), TLSv1_3 (or TLSv1.3)";

/// The lowest version of TLS that is spoken; every later one is spoken too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MinimumVersion {
    /// TLS 1.2 (RFC 5246) and TLS 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446) alone.
    Tls13,
}

/// Why a text names no version that is spoken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// A version that RFC 8996 or RFC 7568 forbids.
    #[error("{text}: refused as weak (RFC 8996, RFC 7568); accepted: {MINIMUM_VERSION_FORMS}")]
    Weak {
        /// The version as written.
        text: String,
    },
    /// No version of TLS.
    #[error("{text:?}: not a version of TLS; accepted: {MINIMUM_VERSION_FORMS}")]
    Unknown {
        /// The text as written.
        text: String,
    },
}

impl MinimumVersion {
    /// The versions that are spoken, in the form the TLS library takes.
    #[must_use]
    pub fn protocol_versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => &FROM_TLS12,
            Self::Tls13 => &FROM_TLS13,
        }
    }

    /// The spelling of the configuration: `TLSv1_2`, `TLSv1_3`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1_2",
            Self::Tls13 => "TLSv1_3",
        }
    }
}

impl fmt::Display for MinimumVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MinimumVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().replace('.', "_").as_str() {
            "tlsv1_2" => Ok(Self::Tls12),
            "tlsv1_3" => Ok(Self::Tls13),
            "sslv2" | "sslv3" | "sslv23" | "tlsv1" | "tlsv1_0" | "tlsv1_1" => {
                Err(VersionError::Weak { text: text.trim().to_owned() })
            }
            _ => Err(VersionError::Unknown { text: text.trim().to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_in_any_case_name_the_minimum() {
        for (text, version) in [
            ("TLSv1_2", MinimumVersion::Tls12),
            ("TLSv1.2", MinimumVersion::Tls12),
            ("tlsv1_2", MinimumVersion::Tls12),
            (" TLSV1.3 ", MinimumVersion::Tls13),
            ("TLSv1_3", MinimumVersion::Tls13),
        ] {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
    }

    #[test]
    fn weak_versions_are_refused_as_weak() {
        for text in ["SSLv2", "SSLv3", "sslv23", "TLSv1", "TLSv1_0", "TLSv1.0", "TLSv1_1", "tlsv1.1"] {
            let error = text.parse::<MinimumVersion>().unwrap_err();
            assert!(matches!(error, VersionError::Weak { .. }), "{text}");
            assert!(error.to_string().contains("refused as weak"), "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn anything_else_is_unknown() {
        for text in ["", "1.2", "TLS1.2", "TLSv1_4", "TLSv1_2,TLSv1_3", "DTLSv1_2"] {
            assert!(matches!(text.parse::<MinimumVersion>(), Err(VersionError::Unknown { .. })), "{text}");
        }
    }

    #[test]
    fn the_minimum_includes_what_is_later() {
        assert_eq!(MinimumVersion::Tls12.protocol_versions().len(), 2);
        assert_eq!(MinimumVersion::Tls13.protocol_versions(), &[&TLS13]);
        assert!(MinimumVersion::Tls12 < MinimumVersion::Tls13);
    }
}
