//! Category 5: where traces go.

use http::HeaderName;

use crate::config::problem::Severity;
use crate::config::schema::{Setting, traces as schema};
use crate::config::values::Values;
use crate::observability::logging::client_tls;
use crate::observability::traces::{Sampler, TraceConfig};
use crate::security::endpoint::Endpoint;
use crate::security::secret::Secret;

/// What is appended to a receiver's address (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP").
const SIGNAL_PATH: &str = "/v1/traces";

/// `None`: traces are off.
pub(super) fn compose(values: &Values<'_>) -> Option<TraceConfig> {
    if values.get(&schema::SDK_DISABLED) {
        return None;
    }
    let (setting, text) = match values.given(&schema::OTLP_TRACES_ENDPOINT) {
        Some(whole) => (&schema::OTLP_TRACES_ENDPOINT, whole),
        None => {
            let base = values.given(&schema::OTLP_ENDPOINT)?;
            (&schema::OTLP_ENDPOINT, format!("{}{SIGNAL_PATH}", base.trim_end_matches('/')))
        }
    };
    let endpoint: Endpoint = text
        .parse()
        .map_err(|error: crate::security::endpoint::EndpointError| values.refuse_for(setting, &error))
        .ok()?;
    let headers = headers(values)?;
    let tls = if endpoint.is_secure() {
        Some(authorities(values)?)
    } else {
        if !headers.is_empty() {
            let reason = "the headers of traces go over the network as they are";
            values.say(Severity::Warning, setting, reason, "an https:// address");
        }
        None
    };
    Some(TraceConfig {
        endpoint,
        tls,
        headers,
        timeout: values.get(&schema::OTLP_TIMEOUT),
        gzip: values.get(&schema::OTLP_COMPRESSION),
        service_name: values.get(&schema::SERVICE_NAME),
        resource: pairs(values, &schema::RESOURCE_ATTRIBUTES)?,
        sampler: Sampler { kind: values.get(&schema::TRACES_SAMPLER), ratio: values.get(&schema::TRACES_SAMPLER_ARG) },
        per_second_max: u32::try_from(values.get(&schema::TRACES_PER_SECOND)).unwrap_or(u32::MAX),
    })
}

fn headers(values: &Values<'_>) -> Option<Vec<(HeaderName, Secret)>> {
    let refuse = |number: usize, why: &str| {
        values.refuse(&schema::OTLP_HEADERS, format!("item {number} of the list: {why}"), "NAME=VALUE[,NAME=VALUE…]");
    };
    let mut headers = Vec::new();
    for (at, (name, value)) in pairs(values, &schema::OTLP_HEADERS)?.into_iter().enumerate() {
        let Ok(name) = HeaderName::try_from(name) else {
            refuse(at + 1, "no header has such a name");
            return None;
        };
        if http::HeaderValue::from_str(&value).is_err() {
            refuse(at + 1, "its value has characters that no header takes");
            return None;
        }
        headers.push((name, Secret::from(value)));
    }
    Some(headers)
}

/// `KEY=VALUE[,KEY=VALUE…]`, the values percent-encoded (W3C Baggage, section 3.2.1.3).
fn pairs(values: &Values<'_>, setting: &Setting<crate::config::schema::kind::Text>) -> Option<Vec<(String, String)>> {
    let Some(text) = values.given(setting) else { return Some(Vec::new()) };
    let mut pairs = Vec::new();
    for (at, item) in text.split(',').map(str::trim).filter(|item| !item.is_empty()).enumerate() {
        let pair = item.split_once('=').map(|(key, value)| (key.trim(), decoded(value.trim())));
        let Some((key, Some(value))) = pair.filter(|(key, _)| !key.is_empty()) else {
            values.refuse(setting, format!("item {} of the list is no KEY=VALUE", at + 1), "KEY=VALUE[,KEY=VALUE…]");
            return None;
        };
        pairs.push((key.to_owned(), value));
    }
    Some(pairs)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let (high, low) = (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
            u8::try_from(high << 4 | low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

fn authorities(values: &Values<'_>) -> Option<std::sync::Arc<rustls::ClientConfig>> {
    let file = values.given(&schema::OTLP_CERTIFICATE);
    let read = file.map(std::fs::read).transpose().map_err(|error| error.to_string());
    let made = read.and_then(|pem| client_tls(pem.as_deref()).map_err(|error| error.to_string()));
    let accepted = "a PEM file with certificates of authorities";
    made.map_err(|reason| values.refuse(&schema::OTLP_CERTIFICATE, reason, accepted)).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn values_are_decoded_or_refused() {
        assert_eq!(decoded("Bearer%20a%2Cb=").as_deref(), Some("Bearer a,b="));
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
