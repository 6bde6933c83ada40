//! Cookies and CSRF tokens of a request.

use std::sync::LazyLock;

use http::{HeaderValue, Method};
use vedfolnir::security::cookies::{COOKIES_MAX, values};
use vedfolnir::security::csrf::{Action, CsrfGuard, Passed};
use vedfolnir::security::csrf_token::CsrfKey;
use vedfolnir::security::origin::OriginVerdict;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

use crate::headers;

/// A table of headers, a token's bytes and text.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 32 };
pub const INPUT_BYTES_MAX: usize = 1 << 10;
const NOW: u64 = 1_800_000_000;

static GUARD: LazyLock<CsrfGuard> = LazyLock::new(|| {
    let (key, previous) = (CsrfKey::derive(&[1; 32]), CsrfKey::derive(&[2; 32]));
    let logins = vec!["session".to_owned(), "remember".to_owned()];
    CsrfGuard::new(key, Some(previous), logins, "csrftoken".to_owned(), 3_600).expect("settings")
});

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let origin =
        [OriginVerdict::Absent, OriginVerdict::Listed, OriginVerdict::Own, OriginVerdict::AnyPage][input.below(4)];
    let mut headers = headers(&mut input, &["cookie", "x-csrf-token", "x-csrftoken", "sec-fetch-site", "origin"], 8);
    for name in ["session", "csrftoken", ""] {
        assert!(values(&headers, name).count() <= COOKIES_MAX);
    }
    let judged = GUARD.judge(Action::Posts, &Method::POST, &headers, origin, NOW);
    assert_eq!(GUARD.carries_login(&headers), judged != Ok(Passed::NotNeeded));
    assert_ne!(judged, Ok(Passed::Token), "a token that was never issued");
    let Some(issued) = GUARD.issue(&headers, [3; 16], NOW, true) else { return };
    // The token goes with this login: its own cookies let it pass, whatever stands beside them.
    headers.remove("x-csrf-token");
    headers.remove("x-csrftoken");
    let cookie = HeaderValue::from_str(&format!("csrftoken={}", issued.token)).expect("a token is a value");
    let (login, mut cookies) = (headers.clone(), Vec::new());
    cookies.push(cookie);
    cookies.extend(login.get_all("cookie").iter().cloned());
    headers.remove("cookie");
    for cookie in cookies {
        headers.append("cookie", cookie);
    }
    headers.insert("x-csrf-token", HeaderValue::from_str(&issued.token).expect("a token is a value"));
    if GUARD.carries_login(&headers) {
        let judged = GUARD.judge(Action::Posts, &Method::POST, &headers, OriginVerdict::AnyPage, NOW);
        let cut = values(&login, "session").chain(values(&login, "remember")).count()
            != values(&headers, "session").chain(values(&headers, "remember")).count();
        assert!(judged == Ok(Passed::Token) || cut, "its own token is refused: {judged:?}");
    }
}
