//! World time, and what happens at which moment of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::system;

type Event = Box<dyn FnOnce()>;

thread_local! {
    static NOW_US: Cell<u64> = const { Cell::new(0) };
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    /// By time, then by the order of their making.
    static EVENTS: RefCell<BTreeMap<(u64, u64), Event>> = const { RefCell::new(BTreeMap::new()) };
}

/// Microseconds since the world began.
#[must_use]
pub fn now_us() -> u64 {
    NOW_US.get()
}

/// Does something later; outside of every host.
pub fn after(delay_us: u64, event: impl FnOnce() + 'static) {
    at(now_us().saturating_add(delay_us), event);
}

/// Does something at a moment, or at once if it is past.
pub fn at(at_us: u64, event: impl FnOnce() + 'static) {
    let number = NUMBER.get();
    NUMBER.set(number + 1);
    EVENTS.with_borrow_mut(|events| events.insert((at_us, number), Box::new(event)));
}

/// Lets everything happen that is due up to a moment, and goes there.
pub fn advance_to(until_us: u64) {
    loop {
        let next = EVENTS.with_borrow_mut(|events| {
            let due = events.first_key_value().is_some_and(|((at, _), _)| *at <= until_us);
            due.then(|| events.pop_first()).flatten()
        });
        let Some(((at, _), event)) = next else { break };
        go_to(at);
        event();
    }
    go_to(until_us);
}

fn go_to(at_us: u64) {
    NOW_US.set(at_us.max(now_us()));
    system::show(now_us(), 0);
}
