//! Doors for the package fuzz: what a receiver of traces answers.

use super::otlp;

/// How many spans it did not take, and why; `None`: it took all.
#[must_use]
pub fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    otlp::rejected(answer)
}
