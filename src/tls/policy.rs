//! What is spoken: the versions and the TLS 1.2 suites, from the two settings an operator writes.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};

use super::cipher_string::{CIPHER_STRING_FORMS, CipherStringError, evaluate, openssl_name};
use super::version::MinimumVersion;

/// Every TLS 1.3 suite: no cipher string concerns them, as with OpenSSL.
const TLS13_SUITES: [SupportedCipherSuite; 3] =
    [TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256];

/// Mozilla's intermediate configuration, in its order.
const INTERMEDIATE: [SupportedCipherSuite; 6] = [
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A configuration of Mozilla's server-side TLS guidelines, version 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// TLS 1.2 with forward secrecy and authenticated encryption, and TLS 1.3.
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

impl Profile {
    /// The profile of that name, in any case.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "intermediate" => Some(Self::Intermediate),
            "modern" => Some(Self::Modern),
            _ => None,
        }
    }
}

/// Why the settings allow no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The cipher string cannot be read.
    #[error(transparent)]
    CipherString(#[from] CipherStringError),
    /// TLS 1.2 is to be spoken, and no suite is left for it.
    #[error(
        "cipher string {text:?}: selects no TLS 1.2 suite that is offered{}, while the minimum version is TLSv1_2; \
         accepted: {CIPHER_STRING_FORMS}; or the minimum version TLSv1_3",
        but_only(dropped)
    )]
    NothingSelected {
        /// The string.
        text: String,
        /// What it does select, and is never offered.
        dropped: Vec<String>,
    },
}

fn but_only(dropped: &[String]) -> String {
    if dropped.is_empty() { String::new() } else { format!(" (only {})", dropped.join(", ")) }
}

/// Versions and suites.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The lowest version; `modern` raises it.
    pub minimum: MinimumVersion,
    /// TLS 1.2 suites in order of preference; empty if TLS 1.2 is not spoken.
    pub tls12: Vec<SupportedCipherSuite>,
    /// Suites that the cipher string selects and that are never offered.
    pub dropped: Vec<String>,
    /// Items of the cipher string that have no effect.
    pub ignored: Vec<String>,
}

impl Policy {
    /// From the minimum version and a cipher string or the name of a [`Profile`].
    ///
    /// # Errors
    /// [`PolicyError`]: an unreadable string, or one that leaves TLS 1.2 without suites while it is to be spoken.
    pub fn new(minimum: MinimumVersion, ciphers: &str) -> Result<Self, PolicyError> {
        let (minimum, tls12, dropped, ignored) = match Profile::named(ciphers) {
            Some(Profile::Modern) => (MinimumVersion::Tls13, Vec::new(), Vec::new(), Vec::new()),
            Some(Profile::Intermediate) => (minimum, INTERMEDIATE.to_vec(), Vec::new(), Vec::new()),
            None => {
                let selection = evaluate(ciphers)?;
                if selection.offered.is_empty() && minimum == MinimumVersion::Tls12 {
                    let text = ciphers.trim().to_owned();
                    return Err(PolicyError::NothingSelected { text, dropped: selection.dropped });
                }
                (minimum, selection.offered, selection.dropped, selection.ignored)
            }
        };
        let tls12 = if minimum == MinimumVersion::Tls12 { tls12 } else { Vec::new() };
        Ok(Self { minimum, tls12, dropped, ignored })
    }

    /// All suites, TLS 1.3 first.
    #[must_use]
    pub fn suites(&self) -> Vec<SupportedCipherSuite> {
        TLS13_SUITES.iter().chain(&self.tls12).copied().collect()
    }

    /// Their names as OpenSSL spells them, for status.
    #[must_use]
    pub fn suite_names(&self) -> Vec<&'static str> {
        self.suites().into_iter().map(openssl_name).collect()
    }

    /// One line for the log where the string asks for what is not offered.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.dropped.is_empty() {
            parts.push(format!(
                "selects {} that are never offered (only ECDHE with AES-GCM or ChaCha20-Poly1305 is): {}",
                if self.dropped.len() == 1 { "1 suite".to_owned() } else { format!("{} suites", self.dropped.len()) },
                self.dropped.join(", ")
            ));
        }
        if !self.ignored.is_empty() {
            parts.push(format!("has items without effect: {}", self.ignored.join(", ")));
        }
        (!parts.is_empty()).then(|| format!("the cipher string {}", parts.join("; it ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!MD5:!DSS";

    #[test]
    fn the_documents_string_keeps_six_suites_and_warns_once_of_three() {
        let policy = Policy::new(MinimumVersion::Tls12, DOCUMENT).unwrap();
        assert_eq!(policy.tls12.len(), 6);
        assert_eq!(
            policy.dropped,
            ["DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-CHACHA20-POLY1305"]
        );
        let warning = policy.warning().unwrap();
        assert!(warning.contains("3 suites"), "{warning}");
        assert!(policy.dropped.iter().all(|name| warning.contains(name)), "{warning}");
        assert!(!warning.contains('\n'));
    }

    #[test]
    fn the_minimum_tls_1_3_leaves_no_suite_of_tls_1_2_and_needs_none() {
        for ciphers in [DOCUMENT, "DHE+AESGCM", "modern", "intermediate"] {
            let policy = Policy::new(MinimumVersion::Tls13, ciphers).unwrap();
            assert!(policy.tls12.is_empty(), "{ciphers}");
            assert_eq!(
                policy.suite_names(),
                ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]
            );
        }
    }

    #[test]
    fn a_string_that_selects_nothing_is_refused_with_tls_1_2() {
        for ciphers in ["DHE+AESGCM", "", "!ALL", "RSA+ECDHE", "TLS_AES_256_GCM_SHA384", "RC4-SHA"] {
            let error = Policy::new(MinimumVersion::Tls12, ciphers).unwrap_err();
            assert!(matches!(error, PolicyError::NothingSelected { .. }), "{ciphers}: {error}");
        }
        let error = Policy::new(MinimumVersion::Tls12, "DHE+CHACHA20").unwrap_err().to_string();
        assert!(error.contains("only DHE-RSA-CHACHA20-POLY1305"), "{error}");
    }

    #[test]
    fn profiles_are_mozillas() {
        let policy = Policy::new(MinimumVersion::Tls12, "Intermediate").unwrap();
        assert_eq!(policy.minimum, MinimumVersion::Tls12);
        assert_eq!(
            policy.suite_names()[3..],
            [
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "ECDHE-ECDSA-CHACHA20-POLY1305",
                "ECDHE-RSA-CHACHA20-POLY1305"
            ]
        );
        assert_eq!(policy.warning(), None);
        assert_eq!(Policy::new(MinimumVersion::Tls12, "modern").unwrap().minimum, MinimumVersion::Tls13);
    }

    #[test]
    fn items_without_effect_are_named() {
        let policy = Policy::new(MinimumVersion::Tls12, "ECDHE+AESGCM:@SECLEVEL=2").unwrap();
        assert!(policy.warning().unwrap().contains("@SECLEVEL=2"));
    }
}
