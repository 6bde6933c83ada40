//! The one source of randomness (SplitMix64).

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn reset(seed: u64) {
    // Neighbouring seeds begin far apart.
    STATE.set(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(0x2545_f491_4f6c_dd1d));
}

/// 64 random bits.
pub fn bits() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    mix(state)
}

/// SplitMix64's last step: neighbouring states give numbers that have nothing in common.
pub(crate) fn mix(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number below `end`; 0 when `end` is 0.
pub fn below(end: u64) -> u64 {
    if end == 0 { 0 } else { bits() % end }
}

/// A number of `start..end`; `start` when the range is empty.
pub fn between(start: u64, end: u64) -> u64 {
    start + below(end.saturating_sub(start))
}

/// True in so many of a thousand cases.
pub fn chance(per_mille: u64) -> bool {
    below(1_000) < per_mille
}

/// One of them; they must not be none.
pub fn pick<T: Copy>(of: &[T]) -> T {
    of[below(of.len() as u64) as usize]
}

/// Any order.
pub fn shuffle<T>(list: &mut [T]) {
    for last in (1..list.len()).rev() {
        list.swap(last, below(last as u64 + 1) as usize);
    }
}

/// Random bytes.
pub fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&bits().to_le_bytes()[..chunk.len()]);
    }
}
