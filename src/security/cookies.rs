//! Reads cookies of a request (RFC 6265, section 4.2).

use http::HeaderMap;
use http::header::COOKIE;

/// Cookies of one request that are looked at; browsers keep fewer per host.
pub const COOKIES_MAX: usize = 256;

/// The values of all cookies called `name`, in order. There may be several: one for each path and domain, some of which
/// another subdomain may have set. Values are bytes as sent, quotes included.
pub fn values<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.take(COOKIES_MAX).filter_map(move |pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (own, value) = pair.split_at(at);
        // Names of cookies have a case.
        (own.trim_ascii() == name.as_bytes()).then(|| value[1..].trim_ascii())
    })
}

/// Whether `text` can be a cookie's name: a token (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_are_found_by_their_exact_names() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; ab=2;a=3 ;A=4; b; =5; c=x=y; d="));
        headers.append(COOKIE, HeaderValue::from_bytes(b"a=\xff").unwrap());
        let read = |name: &'static str| values(&headers, name).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(read("a"), [b"1".to_vec(), b"3".to_vec(), b"\xff".to_vec()]);
        assert_eq!(read("c"), [b"x=y"]);
        assert_eq!(read("d"), [b""]);
        assert!(read("b").is_empty() && read("e").is_empty());
    }

    #[test]
    fn cookies_beyond_the_bound_are_not_looked_at() {
        let mut headers = HeaderMap::new();
        let many = format!("{}last=1", "a=1;".repeat(COOKIES_MAX));
        headers.append(COOKIE, HeaderValue::from_str(&many).unwrap());
        assert_eq!(values(&headers, "a").count(), COOKIES_MAX);
        assert_eq!(values(&headers, "last").count(), 0);
    }

    #[test]
    fn names_are_tokens() {
        assert!(is_name("__Host-csrftoken") && is_name("sessionid"));
        for text in ["", "a b", "a=b", "a;b", "\u{e9}", "a\r"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
