//! How much memory a target held at once: an allocator that counts, and the bound it is compared with.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Memory that a target may hold at once, in bytes. It grows with the input by a factor, never by what the input claims.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// For every input: fixed buffers, and what is reserved before a claim is believed.
    pub base_bytes: usize,
    /// For each byte of the input.
    pub bytes_per_input_byte: usize,
}

impl Bound {
    /// For an input of this length.
    #[must_use]
    pub const fn of(self, input_bytes: usize) -> usize {
        self.base_bytes + self.bytes_per_input_byte * input_bytes
    }
}

/// What a decoder of MessagePack may hold for each list that is open: serde reserves this much for a list's announced
/// length before its first element is there (`serde::de::size_hint::cautious`).
pub const RESERVED_PER_LIST_BYTES: usize = 1 << 20;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted. libFuzzer's own memory is not: it does not go through Rust.
pub struct Counting;

impl Counting {
    fn grown(bytes: usize) {
        let live = LIVE_BYTES.fetch_add(bytes, Relaxed) + bytes;
        PEAK_BYTES.fetch_max(live, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of the caller's.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::grown(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::grown(layout.size());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Old and new may both be there while one is copied into the other.
        Self::grown(bytes);
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

/// The most memory that was held at once beyond what was there before.
pub fn peak_of(run: impl FnOnce()) -> usize {
    let before = LIVE_BYTES.load(Relaxed);
    PEAK_BYTES.store(before, Relaxed);
    run();
    PEAK_BYTES.load(Relaxed).saturating_sub(before)
}
