//! Which web pages may connect, and what a browser is told about it (CORS).

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue};

/// Which web pages may connect. Requests without an `Origin` header do not come from another site's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPolicy {
    /// Pages of any site; browsers send no credentials with them.
    Any,
    /// Pages of these origins (`https://app.example.com`), and of the service's own host.
    List(Vec<String>),
}

impl OriginPolicy {
    /// Whether a request with these headers may come in.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        match self {
            Self::Any => true,
            Self::List(origins) => {
                let listed = origins
                    .iter()
                    .any(|allowed| allowed.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes()));
                listed || is_own_host(origin, headers)
            }
        }
    }

    /// Adds what the browser must hear to let the page read the answer.
    pub fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        let Some(origin) = request.get(ORIGIN) else { return };
        match self {
            Self::Any => {
                response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::List(_) => {
                response.append(VARY, HeaderValue::from_static("Origin"));
                if self.allows(request) {
                    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                    response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
        }
    }

    /// Adds the answer to a preflight.
    pub fn apply_preflight(&self, request: &HeaderMap, response: &mut HeaderMap) {
        self.apply(request, response);
        if !self.allows(request) {
            return;
        }
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"));
        if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            response.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
}

fn is_own_host(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(HOST).map(HeaderValue::to_str)) else {
        return false;
    };
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn list() -> OriginPolicy {
        OriginPolicy::List(vec!["https://app.example.com".to_owned(), "http://localhost:3000/".to_owned()])
    }

    #[test]
    fn a_list_lets_in_its_origins_and_its_own_host() {
        let table = [
            (vec![], true),
            (vec![("origin", "https://app.example.com")], true),
            (vec![("origin", "http://localhost:3000")], true),
            (vec![("origin", "http://app.example.com")], false),
            (vec![("origin", "https://app.example.com.evil.org")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "https://ws.example.com"), ("host", "ws.example.com")], true),
            (vec![("origin", "https://evil.org"), ("host", "ws.example.com")], false),
        ];
        for (pairs, allowed) in table {
            assert_eq!(list().allows(&headers(&pairs)), allowed, "{pairs:?}");
            assert!(OriginPolicy::Any.allows(&headers(&pairs)));
        }
    }

    #[test]
    fn answers_tell_the_browser() {
        let request =
            headers(&[("origin", "https://app.example.com"), ("access-control-request-headers", "x-one,content-type")]);
        let mut response = HeaderMap::new();
        list().apply_preflight(&request, &mut response);
        assert_eq!(response["access-control-allow-origin"], "https://app.example.com");
        assert_eq!(response["access-control-allow-credentials"], "true");
        assert_eq!(response["access-control-allow-headers"], "x-one,content-type");
        let mut response = HeaderMap::new();
        OriginPolicy::Any.apply(&request, &mut response);
        assert_eq!(response["access-control-allow-origin"], "*");
        assert!(!response.contains_key("access-control-allow-credentials"));
        let mut response = HeaderMap::new();
        list().apply_preflight(&headers(&[("origin", "https://evil.org")]), &mut response);
        assert!(!response.contains_key("access-control-allow-origin"));
        assert!(!response.contains_key("access-control-allow-methods"));
        let mut response = HeaderMap::new();
        list().apply(&HeaderMap::new(), &mut response);
        assert!(response.is_empty());
    }
}
