//! Takes the node's figures for the other nodes every few seconds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::metrics::{connection_errors, message_errors};
use super::node::{Node, Parts};
use super::process;
use crate::service::Vitals;

/// How often, and over how long.
const EVERY: Duration = Duration::from_secs(2);

/// Counters that only grow, at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading {
    cpu_seconds: f64,
    answers: u64,
    answers_us: u64,
    errors: u64,
    /// Connections and messages, those that failed included.
    all: u64,
}

/// Takes them until `stop`.
pub(crate) async fn run(node: Arc<Node>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last: Option<(Instant, Reading)> = None;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(parts) = node.parts() else { continue };
        let (now, reading) = (Instant::now(), read(parts));
        if let Some((before, earlier)) = last.replace((now, reading)) {
            let vitals = between(&earlier, &reading, now.saturating_duration_since(before));
            let (memory_bytes, connections) = (process::resident_bytes(), node.connections());
            parts.service.set_vitals(Vitals { memory_bytes, connections, ..vitals });
        }
    }
}

fn read(parts: &Parts) -> Reading {
    let (stats, security) = (parts.service.stats(), parts.service.security_counters());
    let times = [&stats.distributions.http_answers, &stats.distributions.acks];
    let errors = connection_errors(stats, security) + message_errors(stats);
    let came = stats.connections_total.load(Ordering::Relaxed) + stats.events_in_total.load(Ordering::Relaxed);
    Reading {
        cpu_seconds: process::read().cpu_seconds,
        answers: times.iter().flat_map(|times| times.buckets()).map(|(_, count)| count).sum(),
        answers_us: times.iter().map(|times| times.sum()).sum(),
        errors,
        all: came + errors,
    }
}

fn between(earlier: &Reading, later: &Reading, time: Duration) -> Vitals {
    let (answers, all) = (later.answers.saturating_sub(earlier.answers), later.all.saturating_sub(earlier.all));
    let answers_ms = later.answers_us.saturating_sub(earlier.answers_us) as f64 / 1e3;
    let errors = later.errors.saturating_sub(earlier.errors);
    let thousandths = |value: f64| (value * 1e3).round() / 1e3;
    Vitals {
        cpu_percent: thousandths(100.0 * (later.cpu_seconds - earlier.cpu_seconds) / time.as_secs_f64().max(1e-3)),
        response_ms: (answers > 0).then(|| thousandths(answers_ms / answers as f64)),
        error_rate: (all > 0).then(|| thousandths(errors as f64 / all as f64)),
        ..Vitals::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_time_between_and_none_of_nothing() {
        let earlier = Reading { cpu_seconds: 10.0, answers: 5, answers_us: 9_000, errors: 1, all: 100 };
        let later = Reading { cpu_seconds: 11.5, answers: 15, answers_us: 34_000, errors: 3, all: 108 };
        let vitals = between(&earlier, &later, Duration::from_secs(2));
        assert_eq!((vitals.cpu_percent, vitals.response_ms, vitals.error_rate), (75.0, Some(2.5), Some(0.25)));
        let idle = between(&later, &later, Duration::from_secs(2));
        assert_eq!((idle.cpu_percent, idle.response_ms, idle.error_rate), (0.0, None, None));
    }
}
