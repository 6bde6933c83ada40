//! What happened, as one hash: two runs of a seed are the same if their hashes are.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;

use crate::clock;

/// Lines that are kept for a report.
const LINES_MAX: usize = 400;

thread_local! {
    static HASH: Cell<u64> = const { Cell::new(0xcbf2_9ce4_8422_2325) };
    static NOTES: Cell<u64> = const { Cell::new(0) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static LOUD: bool = std::env::var_os("SIM_TRACE").is_some();
}

fn fold(word: u64) {
    let mut hash = HASH.get();
    for byte in word.to_le_bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    HASH.set(hash);
}

/// Something happened now.
pub fn note(what: &str, words: &[u64]) {
    fold(clock::now_us());
    for chunk in what.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        fold(u64::from_le_bytes(word));
    }
    words.iter().copied().for_each(fold);
    NOTES.set(NOTES.get() + 1);
    if LOUD.with(|loud| *loud) {
        let mut line = format!("{:>12.6} {what}", clock::now_us() as f64 / 1e6);
        for word in words {
            let _ = write!(line, " {word:x}");
        }
        eprintln!("{line}");
    }
}

/// As [`note`], and kept as a line for the report of a failure.
pub fn tell(what: &str) {
    note(what, &[]);
    LINES.with_borrow_mut(|lines| {
        if lines.len() >= LINES_MAX {
            lines.remove(0);
        }
        lines.push(format!("{:>10.3} s  {what}", clock::now_us() as f64 / 1e6));
    });
}

/// The hash so far, and how many notes are in it.
#[must_use]
pub fn hash() -> (u64, u64) {
    (HASH.get(), NOTES.get())
}

/// The last lines that were told.
#[must_use]
pub fn lines() -> Vec<String> {
    LINES.with_borrow(Clone::clone)
}
