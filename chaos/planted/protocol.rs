//! Planted bugs of the protocol.

use bytes::Bytes;
use vedfolnir_planted::{Bug, is};

pub(crate) fn offset<'a>(offset: Option<&'a str>, attachments: &[Bytes]) -> Option<&'a str> {
    offset.filter(|_| attachments.is_empty() || !is(Bug::BinaryWithoutOffset))
}

pub(crate) fn is_patient_for_ever() -> bool {
    is(Bug::PingTimeoutIgnored)
}
