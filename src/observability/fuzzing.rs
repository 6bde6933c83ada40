//! Doors for the package fuzz: what receivers of logs, traces and alerts answer.

use std::time::{Duration, SystemTime};

use super::outbound;

/// A `Retry-After` header.
#[must_use]
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    outbound::retry_after(header, now)
}
