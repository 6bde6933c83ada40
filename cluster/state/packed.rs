//! Log positions in twelve bytes instead of sixteen or twenty-four, for tables that hold millions of them. In snapshots
//! they are what they stand for.

use serde::{Deserialize, Serialize};

use crate::identifier::LogPosition;

/// A position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LogPosition", into = "LogPosition")]
pub(crate) struct Packed {
    /// The index, its upper half first.
    index: [u32; 2],
    ordinal: u32,
}

impl From<LogPosition> for Packed {
    fn from(LogPosition { index, ordinal }: LogPosition) -> Self {
        // Both halves are meant.
        Self { index: [(index >> 32) as u32, index as u32], ordinal }
    }
}

impl From<Packed> for LogPosition {
    fn from(Packed { index: [upper, lower], ordinal }: Packed) -> Self {
        Self { index: u64::from(upper) << 32 | u64::from(lower), ordinal }
    }
}

/// A position or none. The last of all positions stands for none: no log reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<LogPosition>", into = "Option<LogPosition>")]
pub(crate) struct MaybePacked(Packed);

const NONE: LogPosition = LogPosition::end_of(u64::MAX);

impl From<Option<LogPosition>> for MaybePacked {
    fn from(position: Option<LogPosition>) -> Self {
        Self(position.unwrap_or(NONE).into())
    }
}

impl From<MaybePacked> for Option<LogPosition> {
    fn from(MaybePacked(position): MaybePacked) -> Self {
        Some(LogPosition::from(position)).filter(|position| *position != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        for index in [0, 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX - 1] {
            for ordinal in [0, 7, u32::MAX] {
                let position = LogPosition::new(index, ordinal);
                assert_eq!(LogPosition::from(Packed::from(position)), position);
                assert_eq!(Option::<LogPosition>::from(MaybePacked::from(Some(position))), Some(position));
            }
        }
        assert_eq!(Option::<LogPosition>::from(MaybePacked::from(None)), None);
        assert_eq!((size_of::<Packed>(), size_of::<MaybePacked>()), (12, 12));
    }
}
