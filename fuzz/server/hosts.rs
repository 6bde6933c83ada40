//! Hosts, origins and addresses: what a request says against what a list says.

use http::Uri;
use vedfolnir::security::endpoint::Endpoint;
use vedfolnir::security::host::{Authority, Host, HostPattern};
use vedfolnir::security::hosts::AllowedHosts;
use vedfolnir::security::origin::{OriginPolicy, OwnHost};
use vedfolnir::security::origin_settings::CorsSettings;
use vedfolnir::security::redirect::{HttpsRedirect, LOCATION_BYTES_MAX, PublicUrl};
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

use crate::headers;

/// Entries of two lists, tables of headers of a request and its answer, an address three times.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 64 };
pub const INPUT_BYTES_MAX: usize = 1 << 10;
const NAMES: [&str; 4] = ["host", "origin", "access-control-request-headers", "access-control-request-method"];

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let https = input.below(2) == 1;
    let list: Vec<&str> = std::str::from_utf8(input.line()).unwrap_or_default().split(',').collect();
    let target = std::str::from_utf8(input.line()).unwrap_or_default();
    if let Some(authority) = Authority::parse(target) {
        let again = match authority.port {
            Some(port) => format!("{}:{port}", authority.host),
            None => authority.host.to_string(),
        };
        assert_eq!(Authority::parse(&again), Some(authority), "{again} is another host");
    }
    if let (Some(host), Some(pattern)) = (Host::parse(target), HostPattern::parse(target)) {
        assert!(pattern.matches(host), "a host is not itself");
    }
    if let Ok(endpoint) = target.parse::<Endpoint>() {
        assert!(endpoint.port() != 0 && !endpoint.host().is_empty());
    }
    let headers = headers(&mut input, &NAMES, 8);
    let uri: Uri = target.parse().unwrap_or_default();
    let allowed = AllowedHosts::list(&list);
    let judged = allowed.as_ref().ok().and_then(|allowed| allowed.judge(&uri, &headers, None, https).ok());
    for redirect in
        [PublicUrl::parse(target).ok().map(HttpsRedirect::PublicUrl), Some(HttpsRedirect::SameHost { port: 443 })]
    {
        let Some(location) = redirect.and_then(|redirect| redirect.location(judged.as_ref(), &uri)) else { continue };
        assert!(location.len() <= LOCATION_BYTES_MAX && location.as_bytes().starts_with(b"https://"));
    }
    let own = judged.as_ref().map(|judged| OwnHost { authority: judged.authority, https });
    for policy in [OriginPolicy::list(&list, &CorsSettings::default()).ok(), Some(OriginPolicy::default())] {
        let Some(policy) = policy else { continue };
        let verdict = policy.judge(&headers, own.as_ref());
        assert_eq!(verdict.is_allowed(), policy.allows(&headers, own.as_ref()));
        let mut answer = http::HeaderMap::new();
        policy.apply_preflight(&headers, own.as_ref(), &mut answer);
        if let Some(told) = answer.get("access-control-allow-origin") {
            assert!(told == "*" || headers.get("origin") == Some(told), "an origin that nobody asked for");
        }
    }
}
