//! The C library's clock and randomness, answered by the world while one runs in this process.
//!
//! Whatever asks the system for either gets there: `std::time::Instant`, timers, the keys of hash maps, random ids. So
//! the code under test needs no clock and no randomness of its own to be passed in, and none can be forgotten. The
//! linker prefers these two functions to the C library's; before [`begin`] they ask the kernel, as those would.

#![allow(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use libc::{c_int, c_uint, c_void, clockid_t, size_t, ssize_t, timespec};

use crate::random::mix;

static RUNNING: AtomicBool = AtomicBool::new(false);
static MONOTONIC_US: AtomicU64 = AtomicU64::new(0);
static WALL_US: AtomicU64 = AtomicU64::new(0);
static ENTROPY: AtomicU64 = AtomicU64::new(0);

/// No clock begins at zero: an instant may be asked for what was a little before it.
const BEGINNING_US: u64 = 1_000_000;
/// 2026-01-01, microseconds since the epoch.
const WALL_BEGINNING_US: u64 = 1_767_225_600_000_000;

/// From now on this process lives in a world; there is no way back.
pub(crate) fn begin(seed: u64) {
    ENTROPY.store(seed ^ 0x5851_f42d_4c95_7f2d, Relaxed);
    show(0, 0);
    RUNNING.store(true, Relaxed);
}

/// What the clocks show from now on: microseconds since the world began, and by how much the wall clock is wrong.
pub(crate) fn show(now_us: u64, wall_wrong_by_us: i64) {
    MONOTONIC_US.store(BEGINNING_US + now_us, Relaxed);
    WALL_US.store((WALL_BEGINNING_US + now_us).saturating_add_signed(wall_wrong_by_us), Relaxed);
}

/// In place of the C library's function.
///
/// # Safety
/// `at` points to a `timespec` to be written, as for the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, at: *mut timespec) -> c_int {
    let wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    let monotonic = matches!(
        clock,
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_BOOTTIME
    );
    if !RUNNING.load(Relaxed) || !(wall || monotonic) {
        // SAFETY: the kernel checks the pointer, which is the caller's.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, at) } as c_int;
    }
    let now_us = if wall { WALL_US.load(Relaxed) } else { MONOTONIC_US.load(Relaxed) };
    let seconds = (now_us / 1_000_000) as libc::time_t;
    let nanoseconds = (now_us % 1_000_000 * 1_000) as libc::c_long;
    // SAFETY: the caller gives a `timespec` to be written.
    unsafe { at.write(timespec { tv_sec: seconds, tv_nsec: nanoseconds }) };
    0
}

/// In place of the C library's function.
///
/// # Safety
/// `buffer` points to `length` bytes to be written, as for the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if !RUNNING.load(Relaxed) {
        // SAFETY: the kernel checks the pointer, which is the caller's.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) } as ssize_t;
    }
    for at in 0..length {
        let state = ENTROPY.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        // SAFETY: `at` is below the length of the caller's buffer.
        unsafe { buffer.cast::<u8>().add(at).write(mix(state) as u8) };
    }
    length as ssize_t
}
