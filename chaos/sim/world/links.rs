//! Links between hosts: how long something takes, and which directions are cut.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::hosts::Host;
use crate::random;

/// How links behave while they are not cut.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest way, microseconds.
    pub latency_us: u64,
    /// Added at random, microseconds.
    pub jitter_us: u64,
    /// So many in a thousand packets must be sent again.
    pub loss_per_mille: u64,
    /// What sending again takes at most, microseconds.
    pub resend_us: u64,
}

impl Weather {
    /// A quiet local network.
    pub const FAIR: Self = Self { latency_us: 150, jitter_us: 300, loss_per_mille: 0, resend_us: 60_000 };
}

struct Links {
    cut: BTreeSet<(Host, Host)>,
    weather: Weather,
}

thread_local! {
    static LINKS: RefCell<Links> = const { RefCell::new(Links { cut: BTreeSet::new(), weather: Weather::FAIR }) };
}

/// Nothing gets from one host to the other any more; the way back is another direction.
pub fn cut(from: Host, to: Host) {
    LINKS.with_borrow_mut(|links| links.cut.insert((from, to)));
}

/// The direction works again.
pub fn mend(from: Host, to: Host) {
    LINKS.with_borrow_mut(|links| links.cut.remove(&(from, to)));
}

/// Every direction works.
pub fn mend_all() {
    LINKS.with_borrow_mut(|links| links.cut.clear());
}

/// Whether packets get through.
#[must_use]
pub fn is_open(from: Host, to: Host) -> bool {
    LINKS.with_borrow(|links| !links.cut.contains(&(from, to)))
}

/// Another weather for all links.
pub fn set_weather(weather: Weather) {
    LINKS.with_borrow_mut(|links| links.weather = weather);
}

/// How long a packet takes, losses included.
pub fn travel_us(from: Host, to: Host) -> u64 {
    let weather = LINKS.with_borrow(|links| links.weather);
    if from == to {
        return 20;
    }
    let mut takes = weather.latency_us + random::below(weather.jitter_us + 1);
    while random::chance(weather.loss_per_mille) {
        takes += random::between(weather.latency_us * 3, weather.resend_us + weather.latency_us * 3 + 1);
    }
    takes
}
