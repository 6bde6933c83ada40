//! Which pages come in, and what browsers hear.

use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::super::origin_settings::RequestHeaders;
use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn cors(credentials: bool) -> CorsSettings {
    CorsSettings { credentials, ..CorsSettings::default() }
}

fn list(entries: &[&str]) -> OriginPolicy {
    OriginPolicy::list(entries, &cors(false)).unwrap()
}

fn usual() -> OriginPolicy {
    OriginPolicy::list(&["https://app.example.com", "http://localhost:3000/"], &cors(true)).unwrap()
}

fn any() -> OriginPolicy {
    OriginPolicy::any(&cors(false)).unwrap()
}

fn own(authority: &str, https: bool) -> OwnHost<'_> {
    OwnHost { authority: Authority::parse(authority).unwrap(), https }
}

#[test]
fn a_list_lets_in_its_origins_and_its_own_host() {
    let ws = own("ws.example.com", true);
    let table = [
        (vec![], None, OriginVerdict::Absent),
        (vec![("origin", "https://app.example.com")], None, OriginVerdict::Listed),
        (vec![("origin", "http://localhost:3000")], None, OriginVerdict::Listed),
        (vec![("origin", "http://app.example.com")], None, OriginVerdict::Refused),
        (vec![("origin", "https://app.example.com.evil.org")], None, OriginVerdict::Refused),
        (vec![("origin", "null")], None, OriginVerdict::Refused),
        (vec![("origin", "https://ws.example.com")], Some(&ws), OriginVerdict::Own),
        (vec![("origin", "https://evil.org")], Some(&ws), OriginVerdict::Refused),
        // After DNS rebinding the foreign page's host is the request's own, which no list of hosts vouches for.
        (vec![("origin", "https://evil.org"), ("host", "evil.org")], None, OriginVerdict::Refused),
        (vec![("origin", "https://app.example.com"), ("origin", "https://evil.org")], None, OriginVerdict::Refused),
        (vec![("origin", "")], None, OriginVerdict::Refused),
    ];
    for (pairs, own, expected) in table {
        let headers = headers(&pairs);
        assert_eq!(usual().judge(&headers, own), expected, "{pairs:?}");
        assert_eq!(usual().allows(&headers, own), expected != OriginVerdict::Refused);
    }
    assert_eq!(any().judge(&headers(&[("origin", "https://evil.org")]), None), OriginVerdict::AnyPage);
    assert_eq!(any().judge(&headers(&[("origin", "null")]), None), OriginVerdict::AnyPage);
    assert_eq!(any().judge(&HeaderMap::new(), None), OriginVerdict::Absent);
}

#[test]
fn origins_are_compared_as_browsers_do() {
    let table = [
        ("https://a.example:443", "https://a.example", true),
        ("https://a.example", "https://a.example:443", true),
        ("http://a.example:80", "http://a.example", true),
        ("http://a.example:443", "http://a.example", false),
        ("https://A.example", "https://a.EXAMPLE", true),
        ("HTTPS://a.example/", "https://a.example", true),
        ("https://a.example", "https://a.example/", false),
        ("https://a.example", "https://a.example:8443", false),
        ("https://a.example", "https://user@a.example", false),
        ("https://a.example", "https://a.example#x", false),
        ("https://a.example", "//a.example", false),
        ("https://a.example", "a.example", false),
        ("https://a.example", "https://a.example https://evil.org", false),
        ("http://[::1]:5000", "http://[0:0::1]:5000", true),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000", true),
        ("http://127.0.0.1:5000", "http://127.1:5000", false),
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.example.com:443", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://a.b.example.com", false),
        ("https://*.example.com", "https://evilexample.com", false),
        ("https://*.example.com", "http://a.example.com", false),
        ("https://*.example.com", "https://a.example.com:8443", false),
        ("https://*.example.com:8443", "https://a.example.com:8443", true),
        ("https://*.example.com", "https://*.example.com", false),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", true),
        ("chrome-extension://abcdef", "chrome-extension://abcdeg", false),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("null", "null", true),
        ("null", "https://null", false),
    ];
    for (entry, origin, allowed) in table {
        let headers = headers(&[("origin", origin)]);
        assert_eq!(list(&[entry]).allows(&headers, None), allowed, "{entry} {origin}");
    }
    let mut unreadable = HeaderMap::new();
    unreadable.insert(ORIGIN, HeaderValue::from_bytes(b"https://\xff").unwrap());
    assert!(!usual().allows(&unreadable, None));
}

#[test]
fn the_own_host_counts_with_its_port_and_never_below_its_scheme() {
    let table = [
        ("https://a.example", "a.example", true, true),
        ("https://a.example", "A.example:443", true, true),
        ("https://a.example:8443", "a.example:8443", true, true),
        ("https://a.example:8443", "a.example", true, false),
        ("http://a.example", "a.example", true, false),
        ("http://a.example", "a.example", false, true),
        // TLS ends in front, which nobody told.
        ("https://a.example", "a.example", false, true),
        ("http://a.example:5000", "a.example:5000", false, true),
        ("http://b.example", "a.example", false, false),
        ("ftp://a.example", "a.example", false, false),
    ];
    for (origin, host, https, allowed) in table {
        let headers = headers(&[("origin", origin)]);
        assert_eq!(list(&[]).allows(&headers, Some(&own(host, https))), allowed, "{origin} {host} {https}");
    }
}

#[test]
fn origins_are_generated_from_host_and_port() {
    let allows = |policy: &OriginPolicy, origin: &'static str| policy.allows(&headers(&[("origin", origin)]), None);
    let named = OriginPolicy::generated("chat.example.com", 5000, true, &cors(true)).unwrap();
    for origin in
        ["https://chat.example.com:5000", "https://localhost:5000", "https://127.0.0.1:5000", "https://[::1]:5000"]
    {
        assert!(allows(&named, origin), "{origin}");
    }
    for origin in ["http://localhost:5000", "https://localhost", "https://chat.example.com"] {
        assert!(!allows(&named, origin), "{origin}");
    }
    for unnamed in ["0.0.0.0", "::", "[::]"] {
        let policy = OriginPolicy::generated(unnamed, 80, false, &cors(false)).unwrap();
        assert!(allows(&policy, "http://localhost") && !allows(&policy, "http://0.0.0.0"), "{unnamed}");
    }
    assert!(allows(&OriginPolicy::generated("fd00::7", 443, true, &cors(false)).unwrap(), "https://[fd00::7]"));
    assert!(OriginPolicy::generated("*.example.com", 80, false, &cors(false)).is_err());
    assert!(OriginPolicy::generated("a.example/x", 80, false, &cors(false)).is_err());
}

#[test]
fn without_settings_the_own_host_alone_comes_in() {
    assert_eq!(OriginPolicy::default(), list(&[]));
}

#[test]
fn what_would_be_unsafe_or_unclear_is_refused_at_construction() {
    assert_eq!(OriginPolicy::any(&cors(true)), Err(OriginError::AnyWithCredentials));
    assert_eq!(OriginPolicy::list(&["*"], &cors(true)), Err(OriginError::AnyWithCredentials));
    assert_eq!(OriginPolicy::list(&["*"], &cors(false)), Ok(any()));
    assert_eq!(OriginPolicy::list(&["*", "https://a.example"], &cors(false)), Err(OriginError::AnyAmongOthers));
    assert_eq!(OriginPolicy::list(&["null"], &cors(true)), Err(OriginError::NullWithCredentials));
    for text in [
        "a.example",
        "https://",
        "https://*",
        "https://*.com",
        "https://a.*.example",
        "https://a.example/path",
        "https://a.example:0",
        "https://a.example:*",
        "https://user@a.example",
        "://a.example",
        "1http://a.example",
        "https://a.example?x",
        "https://exämple.com",
        "https://**.example.com",
        "*.example.com",
        "NULL",
    ] {
        assert_eq!(
            OriginPolicy::list(&[text], &cors(false)),
            Err(OriginError::Entry { text: text.to_owned() }),
            "{text}"
        );
    }
    let many = vec!["https://a.example"; ORIGINS_MAX + 1];
    assert_eq!(OriginPolicy::list(&many, &cors(false)), Err(OriginError::TooMany { count: ORIGINS_MAX + 1 }));
    let without_post = CorsSettings { methods: vec![Method::GET], ..cors(false) };
    assert_eq!(OriginPolicy::any(&without_post), Err(OriginError::Methods { methods: "GET".to_owned() }));
    let long = Duration::from_secs(86_401);
    assert_eq!(OriginPolicy::any(&CorsSettings { max_age: Some(long), ..cors(false) }), Err(OriginError::MaxAge(long)));
    let names = vec![http::header::CONTENT_TYPE; 100];
    let too_many = CorsSettings { request_headers: RequestHeaders::List(names), ..cors(false) };
    assert_eq!(OriginPolicy::any(&too_many), Err(OriginError::RequestHeaders { bytes: 1299 }));
}

#[test]
fn answers_tell_the_browser() {
    let request =
        headers(&[("origin", "https://app.example.com"), ("access-control-request-headers", "x-one,content-type")]);
    let mut response = HeaderMap::new();
    usual().apply_preflight(&request, None, &mut response);
    assert_eq!(response["access-control-allow-origin"], "https://app.example.com");
    assert_eq!(response["access-control-allow-credentials"], "true");
    assert_eq!(response["access-control-allow-headers"], "x-one,content-type");
    assert_eq!(response["access-control-allow-methods"], "GET,HEAD,POST");
    assert_eq!(response["access-control-max-age"], "600");
    let vary: Vec<_> = response.get_all(VARY).iter().collect();
    assert_eq!(vary, ["Origin", "Access-Control-Request-Headers"]);
    let mut response = HeaderMap::new();
    any().apply(&request, None, &mut response);
    assert_eq!(response["access-control-allow-origin"], "*");
    assert!(!response.contains_key("access-control-allow-credentials") && !response.contains_key(VARY));
    let mut response = HeaderMap::new();
    list(&["https://app.example.com"]).apply(&request, None, &mut response);
    assert_eq!(response["access-control-allow-origin"], "https://app.example.com");
    assert!(!response.contains_key("access-control-allow-credentials"));
}

#[test]
fn a_page_that_is_not_allowed_hears_nothing_but_the_cache_does() {
    for request in [headers(&[("origin", "https://evil.org")]), headers(&[("origin", "null")])] {
        let mut response = HeaderMap::new();
        usual().apply_preflight(&request, None, &mut response);
        assert_eq!(response.keys_len(), 1);
        assert_eq!(response[VARY], "Origin");
    }
    // A cache must not give an answer without CORS headers, made for a request without an origin, to a page.
    let mut response = HeaderMap::new();
    usual().apply(&HeaderMap::new(), None, &mut response);
    assert_eq!((response.keys_len(), &response[VARY]), (1, &HeaderValue::from_static("Origin")));
    let mut response = HeaderMap::new();
    any().apply(&HeaderMap::new(), None, &mut response);
    assert!(response.is_empty());
}

#[test]
fn the_own_page_is_told_like_a_listed_one() {
    let mut response = HeaderMap::new();
    let request = headers(&[("origin", "https://ws.example.com")]);
    usual().apply(&request, Some(&own("ws.example.com", true)), &mut response);
    assert_eq!(response["access-control-allow-origin"], "https://ws.example.com");
}

#[test]
fn request_headers_are_given_back_only_if_they_are_names() {
    let answer = |policy: OriginPolicy, asked: &str| {
        let mut request = headers(&[("origin", "https://app.example.com")]);
        request.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_str(asked).unwrap());
        let mut response = HeaderMap::new();
        policy.apply_preflight(&request, None, &mut response);
        response.get(ACCESS_CONTROL_ALLOW_HEADERS).map(|names| names.to_str().unwrap().to_owned())
    };
    assert_eq!(answer(usual(), "x-one, x-two"), Some("x-one, x-two".to_owned()));
    assert_eq!(answer(usual(), "x-one; <script>"), None);
    assert_eq!(answer(usual(), &"x".repeat(REQUEST_HEADERS_BYTES_MAX + 1)), None);
    let names = RequestHeaders::List(vec![http::header::CONTENT_TYPE, "x-csrftoken".parse().unwrap()]);
    let fixed = OriginPolicy::any(&CorsSettings { request_headers: names, ..cors(false) }).unwrap();
    assert_eq!(answer(fixed, "x-other"), Some("content-type,x-csrftoken".to_owned()));
}

/// Bytes that a header's value may hold.
fn header_bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..len_max)
}

proptest! {
    #[test]
    fn no_origin_makes_it_panic_and_none_outside_the_list_comes_in(bytes in header_bytes(60)) {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes(&bytes).unwrap());
        prop_assert!(!usual().allows(&headers, Some(&own("ws.example.com", true))));
    }

    #[test]
    fn what_a_wildcard_lets_in_is_one_label_and_its_domain(
        prefix in "[a-z0-9]{1,3}|[a-z0-9.:/@#?\\[\\]*-]{0,6}", suffix in "|:443|[.:][0-9]{0,3}|[a-z0-9.:/@#?]{0,6}"
    ) {
        let origin = format!("https://{prefix}.example.com{suffix}");
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(&origin).unwrap());
        let is_label = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let port = suffix.strip_prefix('.').unwrap_or(&suffix);
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse() == Ok(443_u16));
        prop_assert_eq!(list(&["https://*.example.com"]).allows(&headers, None), is_label && is_port, "{}", origin);
    }
}
