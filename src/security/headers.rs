//! Headers that make a browser careful with our answers, on every answer, and HSTS on those to HTTPS requests.
//!
//! An answer is data for a script, never a page: nothing may be loaded from it, nobody may frame it, nobody guesses its
//! type. Whatever sets one of these itself (a page of the administration, say) keeps its own.

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SERVER, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::hsts::Hsts;

/// On every answer but 101, whose rest is no document.
static ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

/// Only pages of the own origin may embed an answer (the Fetch standard, section 3.7). Not where CORS lets another
/// origin's page read it.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What is added to answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityHeaders {
    hsts: Option<Hsts>,
}

impl SecurityHeaders {
    /// With HSTS, or without.
    #[must_use]
    pub fn new(hsts: Option<Hsts>) -> Self {
        Self { hsts }
    }

    /// Adds them to an answer whose other headers, CORS among them, are complete. `https` is how the client came:
    /// HSTS on plain HTTP is forbidden (RFC 6797, section 7.2).
    ///
    /// The server's name and version are nobody's business, so `Server` goes.
    pub fn apply(&self, status: StatusCode, https: bool, response: &mut HeaderMap) {
        response.remove(SERVER);
        match &self.hsts {
            Some(hsts) if https => drop(response.insert(STRICT_TRANSPORT_SECURITY, hsts.value().clone())),
            _ => drop(response.remove(STRICT_TRANSPORT_SECURITY)),
        }
        if status.is_informational() {
            return;
        }
        for (name, value) in &ALWAYS {
            add(response, name, value);
        }
        if !response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            add(response, &RESOURCE_POLICY, &HeaderValue::from_static("same-origin"));
        }
    }
}

/// Only what is not there already.
fn add(response: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    response.entry(name).or_insert_with(|| value.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hsts() -> SecurityHeaders {
        SecurityHeaders::new(Some(Hsts::new(31_536_000, true, false).unwrap()))
    }

    #[test]
    fn every_answer_has_them() {
        for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST, StatusCode::NO_CONTENT] {
            let mut response = HeaderMap::new();
            response.insert(SERVER, HeaderValue::from_static("vedfolnir/0.1"));
            hsts().apply(status, true, &mut response);
            assert_eq!(response["x-content-type-options"], "nosniff");
            assert_eq!(response["x-frame-options"], "DENY");
            assert_eq!(response["referrer-policy"], "no-referrer");
            assert!(response["content-security-policy"].to_str().unwrap().starts_with("default-src 'none';"));
            assert!(response.contains_key("permissions-policy"));
            assert_eq!(response["cross-origin-resource-policy"], "same-origin");
            assert_eq!(response["strict-transport-security"], "max-age=31536000; includeSubDomains");
            assert!(!response.contains_key(SERVER));
        }
    }

    #[test]
    fn hsts_stands_on_https_answers_only() {
        for (headers, https, expected) in [
            (hsts(), true, true),
            (hsts(), false, false),
            (SecurityHeaders::default(), true, false),
            (SecurityHeaders::default(), false, false),
        ] {
            for status in [StatusCode::OK, StatusCode::SWITCHING_PROTOCOLS] {
                let mut response = HeaderMap::new();
                response.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=1"));
                headers.apply(status, https, &mut response);
                assert_eq!(response.contains_key(STRICT_TRANSPORT_SECURITY), expected, "{https} {status}");
            }
        }
    }

    #[test]
    fn a_switch_of_protocols_has_hsts_alone() {
        let mut response = HeaderMap::new();
        hsts().apply(StatusCode::SWITCHING_PROTOCOLS, true, &mut response);
        assert_eq!(response.len(), 1);
    }

    #[test]
    fn what_is_there_already_stays() {
        let mut response = HeaderMap::new();
        response.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'"));
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        hsts().apply(StatusCode::OK, false, &mut response);
        assert_eq!(response["content-security-policy"], "default-src 'self'");
        assert!(!response.contains_key("cross-origin-resource-policy"));
        assert_eq!(response["x-frame-options"], "DENY");
    }
}
