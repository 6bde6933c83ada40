//! What is wrong, or doubtful, about the files of a listener's TLS.

use std::fmt;
use std::path::{Path, PathBuf};

/// How much of a doubt is tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Faults that clients or auditors would find stop the start.
    Production,
    /// They are warnings: development and tests.
    Relaxed,
}

/// What a finding means for a start or a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The files are used; the log says what is doubtful.
    Warning,
    /// The files are not used.
    Error,
}

impl Severity {
    /// `warning` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a file is for; each has a setting of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The certificate, perhaps with intermediates.
    Certificate,
    /// Its private key.
    Key,
    /// Further intermediates.
    Chain,
    /// The authorities that client certificates must come from.
    ClientCa,
    /// The authorities that the served chain is checked against.
    Trust,
}

/// A kind of fault; the name is stable, for JSON and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The file is not there, no regular file, or may not be read.
    Unreadable,
    /// The file is larger, or holds more certificates, than any such file.
    TooLarge,
    /// The file is empty.
    Empty,
    /// The file is not PEM, or a section of it is damaged or of the wrong kind.
    NotPem,
    /// The private key is encrypted.
    Encrypted,
    /// The private key is of a kind or size that is not served.
    UnusableKey,
    /// A certificate cannot be read or used.
    UnusableCertificate,
    /// The private key belongs to another certificate.
    KeyMismatch,
    /// The private key belongs to a certificate of the file that is not the first.
    LeafNotFirst,
    /// A certificate's time is over.
    Expired,
    /// A certificate's time has not begun.
    NotYetValid,
    /// A certificate's time is over soon.
    ExpiresSoon,
    /// Others than owner and group may read the private key, or others than the owner write it.
    KeyExposed,
    /// The issuer of the leaf is not in the file, and the leaf is not its own.
    ChainIncomplete,
    /// Certificates do not each precede their issuer.
    ChainUnordered,
    /// A signature of the chain, or a constraint in it, does not hold.
    ChainBroken,
    /// A certificate is signed with SHA-1 or MD5.
    WeakSignature,
    /// A key of the chain is shorter than 2048 bits (RSA).
    WeakKey,
    /// The certificate may not identify a server.
    NotForServers,
    /// The leaf is a certificate of an authority.
    LeafIsAuthority,
    /// The leaf has no names: clients ignore the common name (RFC 9110, section 4.3.4).
    NoNames,
    /// The leaf's names do not include the public host.
    NameMismatch,
    /// The leaf has no issuer but itself.
    SelfSigned,
    /// The chain does not lead to a trusted authority.
    Untrusted,
}

impl Fault {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
            Self::Empty => "empty",
            Self::NotPem => "not_pem",
            Self::Encrypted => "encrypted",
            Self::UnusableKey => "unusable_key",
            Self::UnusableCertificate => "unusable_certificate",
            Self::KeyMismatch => "key_mismatch",
            Self::LeafNotFirst => "leaf_not_first",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::ExpiresSoon => "expires_soon",
            Self::KeyExposed => "key_exposed",
            Self::ChainIncomplete => "chain_incomplete",
            Self::ChainUnordered => "chain_unordered",
            Self::ChainBroken => "chain_broken",
            Self::WeakSignature => "weak_signature",
            Self::WeakKey => "weak_key",
            Self::NotForServers => "not_for_servers",
            Self::LeafIsAuthority => "leaf_is_authority",
            Self::NoNames => "no_names",
            Self::NameMismatch => "name_mismatch",
            Self::SelfSigned => "self_signed",
            Self::Untrusted => "untrusted",
        }
    }

    /// What the fault means: unusable files are always errors, what clients refuse is one in production.
    #[must_use]
    pub fn severity(self, strictness: Strictness) -> Severity {
        match self {
            Self::Unreadable
            | Self::TooLarge
            | Self::Empty
            | Self::NotPem
            | Self::Encrypted
            | Self::UnusableKey
            | Self::UnusableCertificate
            | Self::KeyMismatch
            | Self::LeafNotFirst => Severity::Error,
            Self::Expired
            | Self::NotYetValid
            | Self::KeyExposed
            | Self::ChainBroken
            | Self::WeakSignature
            | Self::WeakKey
            | Self::NotForServers
            | Self::NameMismatch
            | Self::Untrusted => match strictness {
                Strictness::Production => Severity::Error,
                Strictness::Relaxed => Severity::Warning,
            },
            Self::ExpiresSoon
            | Self::ChainIncomplete
            | Self::ChainUnordered
            | Self::LeafIsAuthority
            | Self::NoNames
            | Self::SelfSigned => Severity::Warning,
        }
    }
}

/// One fault of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub fault: Fault,
    /// What it means.
    pub severity: Severity,
    /// What the file is for.
    pub role: FileRole,
    /// The file.
    pub file: PathBuf,
    /// What is wrong, with the value (never of a key).
    pub reason: String,
    /// What is accepted, or what mends it.
    pub accepted: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; accepted: {}", self.file.display(), self.reason, self.accepted)
    }
}

/// A fault before it has a file.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) fault: Fault,
    pub(super) reason: String,
    pub(super) accepted: &'static str,
}

impl Refusal {
    pub(super) fn new(fault: Fault, reason: impl Into<String>, accepted: &'static str) -> Self {
        Self { fault, reason: reason.into(), accepted }
    }
}

/// Collects findings at one strictness.
pub(super) struct Findings {
    strictness: Strictness,
    list: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(strictness: Strictness) -> Self {
        Self { strictness, list: Vec::new() }
    }

    pub(super) fn add(&mut self, role: FileRole, file: &Path, refusal: Refusal) {
        let Refusal { fault, reason, accepted } = refusal;
        let severity = fault.severity(self.strictness);
        self.list.push(Finding { fault, severity, role, file: file.to_owned(), reason, accepted });
    }

    /// The value, or nothing and a finding.
    pub(super) fn keep<T>(&mut self, role: FileRole, file: &Path, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|refusal| self.add(role, file, refusal)).ok()
    }

    pub(super) fn has_error(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_makes_errors_of_what_clients_refuse() {
        for (fault, relaxed, production) in [
            (Fault::KeyMismatch, Severity::Error, Severity::Error),
            (Fault::Encrypted, Severity::Error, Severity::Error),
            (Fault::Expired, Severity::Warning, Severity::Error),
            (Fault::KeyExposed, Severity::Warning, Severity::Error),
            (Fault::ChainIncomplete, Severity::Warning, Severity::Warning),
        ] {
            assert_eq!(fault.severity(Strictness::Relaxed), relaxed, "{fault:?}");
            assert_eq!(fault.severity(Strictness::Production), production, "{fault:?}");
        }
    }

    #[test]
    fn a_finding_names_file_reason_and_accepted_form() {
        let mut findings = Findings::new(Strictness::Production);
        let refusal = Refusal::new(Fault::Empty, "the file is empty", "a PEM file");
        assert_eq!(findings.keep::<()>(FileRole::Key, Path::new("/etc/key.pem"), Err(refusal)), None);
        assert!(findings.has_error());
        let list = findings.into_list();
        assert_eq!(list[0].to_string(), "/etc/key.pem: the file is empty; accepted: a PEM file");
        assert_eq!((list[0].role, list[0].fault.as_str()), (FileRole::Key, "empty"));
    }
}
