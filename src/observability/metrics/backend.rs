//! Requests to the backend.

use super::{Families, get};
use crate::backend::{BackendStats, HookKind, Outcome};

pub(super) fn of_backend(families: &mut Families, stats: &BackendStats) {
    let of = |hook: HookKind| {
        Outcome::ALL.map(|outcome| (hook.as_str(), outcome.as_str(), stats.requests(hook, outcome) as f64))
    };
    families.counters_of_two(
        "vedfolnir_backend_requests_total",
        "What the backend was asked, by hook and by what became of it",
        ["hook", "outcome"],
        HookKind::ALL.map(of).as_flattened(),
    );
    families.times(
        "vedfolnir_backend_request_seconds",
        "From the question until the backend's answer was read, waiting for its turn included",
        "hook",
        &HookKind::ALL.map(|hook| (hook.as_str(), stats.times(hook))),
    );
    families.gauge(
        "vedfolnir_backend_requests_active",
        "Requests to the backend that are under way",
        get(&stats.active),
    );
}
