//! Category 3: which proxies are believed, and what they may say.

use crate::config::problem::Severity;
use crate::config::schema::{balancer as schema, tls};
use crate::config::values::Values;
use crate::security::cidr::IpRanges;
use crate::security::proxy::ProxyTrust;
use crate::security::proxy_headers::ProxyHeaders;
use crate::security::proxy_protocol::Mode;

/// What applies where proxies are trusted and none is named, outside production mode.
const LOOPBACK: &str = "127.0.0.0/8,::1/128";

/// Who is believed; nobody unless headers or the PROXY protocol are to be.
pub(super) fn compose(values: &Values<'_>, has_tls: bool) -> ProxyTrust {
    let headers = values.get(&schema::TRUST_PROXY_HEADERS);
    let protocol = values.get(&schema::PROXY_PROTOCOL) != Mode::Off;
    let ranges = match values.given(&schema::TRUSTED_PROXIES) {
        Some(ranges) => match IpRanges::new(ranges) {
            Ok(ranges) => ranges,
            Err(error) => {
                values.refuse_for(&schema::TRUSTED_PROXIES, &error);
                IpRanges::default()
            }
        },
        None if values.is_given(&schema::TRUSTED_PROXIES) => IpRanges::default(),
        None if headers || protocol => {
            let by = if headers { "proxy headers are trusted" } else { "the PROXY protocol is spoken" };
            let reason = format!("{by}, and nobody says of whom");
            let severity = if headers { values.strict() } else { Severity::Error };
            values.say(severity, &schema::TRUSTED_PROXIES, reason, "the proxies' addresses, such as 10.0.0.0/8");
            LOOPBACK.parse().unwrap_or_default()
        }
        None => IpRanges::default(),
    };
    if let Some(everything) = ranges.everything() {
        let reason = format!("{everything} believes everybody, so that nobody's address is known");
        values.say(values.strict(), &schema::TRUSTED_PROXIES, reason, "the proxies' own addresses");
    }
    if values.get(&tls::FORCE_HTTPS) && !has_tls && !headers {
        values.refuse(
            &tls::FORCE_HTTPS,
            "there is neither a certificate nor a trusted proxy that has one: every request would be refused",
            "false, or a certificate and a key, or --trust-proxy-headers",
        );
    }
    let heard = if headers { values.get(&schema::PROXY_HEADERS) } else { ProxyHeaders::default() };
    if heard.has_two_families() {
        let reason =
            "Forwarded and X-Forwarded-* are both believed: a proxy that sets one passes the client's other one on";
        values.say(Severity::Warning, &schema::PROXY_HEADERS, reason, "the family that the proxies set");
    }
    ProxyTrust::new(ranges, heard)
}
