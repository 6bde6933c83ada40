//! Hosts: which run, in which of their lives, and which are held up.

use std::cell::{Cell, RefCell};

use crate::{clock, system};

/// A host's number.
pub type Host = usize;

#[derive(Clone, Copy, Default)]
struct State {
    alive: bool,
    life: u64,
    /// A process that gets no processor until then.
    frozen_until_us: u64,
    /// It lost its power: not even its system says a word.
    dark: bool,
    /// What its monotonic clock shows; no two hosts' began together.
    clock_us: u64,
    /// By how much its wall clock is wrong.
    wall_wrong_by_us: i64,
}

thread_local! {
    static HOSTS: RefCell<Vec<State>> = const { RefCell::new(Vec::new()) };
    static CURRENT: Cell<Option<Host>> = const { Cell::new(None) };
}

fn with<R>(host: Host, change: impl FnOnce(&mut State) -> R) -> R {
    HOSTS.with_borrow_mut(|hosts| {
        if hosts.len() <= host {
            hosts.resize(host + 1, State::default());
        }
        change(&mut hosts[host])
    })
}

/// A process starts; its life's number.
pub fn start(host: Host) -> u64 {
    with(host, |state| {
        (state.alive, state.dark, state.frozen_until_us) = (true, false, 0);
        state.life += 1;
        state.life
    })
}

/// The process is gone; its system closes what it had open.
pub fn kill(host: Host) {
    with(host, |state| state.alive = false);
}

/// The host has lost its power: its process is gone, and nobody closes anything.
pub fn darken(host: Host) {
    with(host, |state| (state.alive, state.dark) = (false, true));
}

/// Whether the host is without power.
#[must_use]
pub fn is_dark(host: Host) -> bool {
    with(host, |state| state.dark)
}

/// The process gets no processor until then.
pub fn freeze(host: Host, until_us: u64) {
    with(host, |state| state.frozen_until_us = state.frozen_until_us.max(until_us));
}

/// The process runs again.
pub fn thaw(host: Host) {
    with(host, |state| state.frozen_until_us = 0);
}

/// Whether a process runs there, frozen or not.
#[must_use]
pub fn is_alive(host: Host) -> bool {
    with(host, |state| state.alive)
}

/// Whether that life of the host is the present one.
#[must_use]
pub fn lives(host: Host, life: u64) -> bool {
    with(host, |state| state.alive && state.life == life)
}

/// Whether the process gets no processor now.
#[must_use]
pub fn is_frozen(host: Host) -> bool {
    with(host, |state| state.frozen_until_us > crate::clock::now_us())
}

/// The present life's number.
#[must_use]
pub fn life(host: Host) -> u64 {
    with(host, |state| state.life)
}

/// Whose code runs now.
#[must_use]
pub fn current() -> Option<Host> {
    CURRENT.get()
}

/// Says whose code runs from now on, and shows it its clocks.
pub fn enter(host: Option<Host>) {
    CURRENT.set(host);
    let (now_us, wall_wrong_by_us) = match host {
        None => (clock::now_us(), 0),
        Some(host) => with(host, |state| (state.clock_us, state.wall_wrong_by_us)),
    };
    system::show(now_us, wall_wrong_by_us);
}

/// The host's clocks go on by so much, whether a process runs there or not.
pub fn pass(host: Host, elapsed_us: u64) {
    with(host, |state| state.clock_us += elapsed_us);
}

/// The host's wall clock jumps.
pub fn jump_wall_clock(host: Host, by_us: i64) {
    with(host, |state| state.wall_wrong_by_us += by_us);
}
