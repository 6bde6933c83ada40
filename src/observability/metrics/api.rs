//! Requests of the HTTP API.

use super::Families;
use crate::api::{ApiRoute, ApiStats, StatusClass};

pub(super) fn of_api(families: &mut Families, stats: &ApiStats) {
    let of = |route: ApiRoute| {
        StatusClass::ALL.map(|class| (route.as_str(), class.as_str(), stats.requests(route, class) as f64))
    };
    families.counters_of_two(
        "vedfolnir_api_requests_total",
        "Requests of the HTTP API, by route and by the class of their answer's status",
        ["route", "class"],
        ApiRoute::ALL.map(of).as_flattened(),
    );
    families.times(
        "vedfolnir_api_request_seconds",
        "From a request's head until its answer",
        "route",
        &ApiRoute::ALL.map(|route| (route.as_str(), stats.times(route))),
    );
}
