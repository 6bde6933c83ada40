//! Tokens of programs and operators, in `Authorization: Bearer …` (RFC 6750): compared in constant time.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use super::secret::Secret;

/// The token that a request shows.
#[must_use]
pub fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Whether a request shows this token.
#[must_use]
pub fn shows(headers: &HeaderMap, expected: &Secret) -> bool {
    token(headers).is_some_and(|shown| is_same(shown, expected))
}

/// Compares digests, so that not even the length can be measured.
#[must_use]
pub fn is_same(shown: &[u8], expected: &Secret) -> bool {
    let (shown, expected) = (digest(&SHA256, shown), digest(&SHA256, expected.reveal().as_bytes()));
    shown.as_ref().ct_eq(expected.as_ref()).into()
}

/// 401.
#[must_use]
pub fn unauthorized() -> Response {
    const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, CHALLENGE)], "a token is needed: Authorization: Bearer TOKEN\n")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_will_do() {
        let expected = Secret::from("correct horse battery".to_owned());
        for (value, shows_it) in [
            ("Bearer correct horse battery", true),
            ("bearer correct horse battery", true),
            ("Bearer correct horse", false),
            ("Bearer ", false),
            ("Basic correct horse battery", false),
            ("Bear", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(shows(&headers, &expected), shows_it, "{value}");
        }
        assert!(!shows(&HeaderMap::new(), &expected));
    }
}
