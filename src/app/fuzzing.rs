//! Doors for the package fuzz: arguments as a handler gets them.

use bytes::Bytes;

use super::Args;

/// The arguments of a checked event.
#[must_use]
pub fn args(array: Bytes, attachments: Vec<Bytes>) -> Args {
    Args::new(array, attachments)
}
