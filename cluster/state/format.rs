//! The one number that says how the log, snapshots and what peers say to each other are written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A format that this release reads and writes.
///
/// Invariant: from [`Format::FIRST`] to [`Format::NEWEST`]. A larger number is a newer release's, and is refused
/// wherever it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Format(u8);

impl Format {
    /// Before formats could be raised.
    pub const FIRST: Self = Self(1);
    /// The cluster's format is in the state and is raised by [`Command::RaiseFormat`](crate::Command::RaiseFormat).
    pub const RAISED: Self = Self(2);
    /// A broadcast may say which trace it belongs to ([`Publish::trace`](crate::Publish::trace)).
    pub const TRACED: Self = Self(3);
    /// A history may have ancestors: those of clusters whose backups were restored. A session notes when it last published.
    /// A publish may be made once under a key ([`Command::PublishOnce`](crate::Command::PublishOnce)).
    /// Sessions can be changed from outside ([`Command::Manage`](crate::Command::Manage)), and each is in a room of its user.
    pub const MANAGED: Self = Self(4);
    /// What this release writes once every member speaks it.
    pub const NEWEST: Self = Self::MANAGED;
    /// What a node can be told to speak instead of the newest one.
    pub const PREVIOUS: Self = Self(Self::NEWEST.0 - 1);

    /// As it is written.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether nothing needs to be said about it, as in format 1 nothing was.
    pub(crate) fn is_first(&self) -> bool {
        *self == Self::FIRST
    }
}

impl Default for Format {
    fn default() -> Self {
        Self::FIRST
    }
}

impl TryFrom<u8> for Format {
    type Error = UnknownFormat;

    fn try_from(number: u8) -> Result<Self, UnknownFormat> {
        if (Self::FIRST.0..=Self::NEWEST.0).contains(&number) { Ok(Self(number)) } else { Err(UnknownFormat(number)) }
    }
}

impl From<Format> for u8 {
    fn from(format: Format) -> Self {
        format.0
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A newer release's format, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("format {0} is not one of those that this binary knows, {oldest} to {newest}", oldest = Format::FIRST, newest = Format::NEWEST)]
pub struct UnknownFormat(pub u8);
