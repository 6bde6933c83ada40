//! Why handshakes fail, in kinds that a metric can count.

use std::io;

use rustls::{AlertDescription, Error, PeerIncompatible};

/// A kind of failure; the name is the value of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailureKind {
    /// The client speaks no version that is spoken here.
    ProtocolVersion,
    /// The client offers no suite, group, signature or protocol (ALPN) that is offered here.
    NoSharedCipher,
    /// The client's certificate is missing, wrong, or not from an accepted authority.
    ClientCertificate,
    /// The client does not accept the certificate it was shown.
    ServerCertificate,
    /// What came first was no TLS, and no HTTP either.
    NotTls,
    /// The handshake took too long.
    Timeout,
    /// The connection broke, or was closed before the handshake was over.
    Io,
    /// Anything else: damaged messages, a client that breaks the protocol.
    Other,
}

impl HandshakeFailureKind {
    /// Every kind, to initialise a metric's labels with.
    pub const ALL: [Self; 8] = [
        Self::ProtocolVersion,
        Self::NoSharedCipher,
        Self::ClientCertificate,
        Self::ServerCertificate,
        Self::NotTls,
        Self::Timeout,
        Self::Io,
        Self::Other,
    ];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProtocolVersion => "protocol_version",
            Self::NoSharedCipher => "no_shared_cipher",
            Self::ClientCertificate => "client_certificate",
            Self::ServerCertificate => "server_certificate",
            Self::NotTls => "not_tls",
            Self::Timeout => "timeout",
            Self::Io => "io",
            Self::Other => "other",
        }
    }

    /// The kind of the TLS library's error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::PeerIncompatible(reason) => match reason {
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13 => Self::ProtocolVersion,
                _ => Self::NoSharedCipher,
            },
            Error::NoApplicationProtocol => Self::NoSharedCipher,
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Self::ClientCertificate,
            Error::AlertReceived(alert) => match alert {
                AlertDescription::ProtocolVersion => Self::ProtocolVersion,
                AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => Self::NoSharedCipher,
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA => Self::ServerCertificate,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
#[error("TLS handshake failed ({}): {reason}", kind.as_str())]
pub struct HandshakeFailure {
    /// The kind, for a metric.
    pub kind: HandshakeFailureKind,
    /// The reason, for a log; without anything the client chose freely.
    pub reason: String,
}

impl HandshakeFailure {
    pub(super) fn new(kind: HandshakeFailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// From the stream's error, which wraps the TLS library's.
    pub(super) fn from_io(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let kind = inner.map_or(HandshakeFailureKind::Io, HandshakeFailureKind::of);
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn the_librarys_errors_have_kinds() {
        use HandshakeFailureKind as Kind;
        for (error, kind) in [
            (Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), Kind::ProtocolVersion),
            (Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), Kind::NoSharedCipher),
            (Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon), Kind::NoSharedCipher),
            (Error::NoApplicationProtocol, Kind::NoSharedCipher),
            (Error::NoCertificatesPresented, Kind::ClientCertificate),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), Kind::ClientCertificate),
            (Error::AlertReceived(AlertDescription::UnknownCA), Kind::ServerCertificate),
            (Error::AlertReceived(AlertDescription::UserCanceled), Kind::Other),
            (Error::DecryptError, Kind::Other),
        ] {
            let wrapped = io::Error::new(io::ErrorKind::InvalidData, error.clone());
            assert_eq!(HandshakeFailure::from_io(&wrapped).kind, kind, "{error:?}");
        }
        assert_eq!(HandshakeFailure::from_io(&io::ErrorKind::UnexpectedEof.into()).kind, Kind::Io);
    }

    #[test]
    fn labels_are_distinct() {
        let labels: std::collections::HashSet<_> = HandshakeFailureKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(labels.len(), HandshakeFailureKind::ALL.len());
    }
}
