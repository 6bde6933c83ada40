//! Which requests with a login's cookie pass, and for what reason.

use super::*;

const NOW: u64 = 1_800_000_000;
const TTL: u64 = 3600;

fn key(byte: u8) -> CsrfKey {
    CsrfKey::derive(&[byte; 32])
}

fn guard_with(key_now: CsrfKey, previous: Option<CsrfKey>) -> CsrfGuard {
    let auth = vec!["sessionid".to_owned(), "remember".to_owned()];
    CsrfGuard::new(key_now, previous, auth, "csrftoken".to_owned(), TTL).unwrap()
}

fn guard() -> CsrfGuard {
    guard_with(key(1), None)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn token_of(guard: &CsrfGuard, login: &str) -> String {
    guard.issue(&headers(&[("cookie", login)]), [3; 16], NOW, true).unwrap().token
}

fn post(guard: &CsrfGuard, pairs: &[(&'static str, &str)], origin: OriginVerdict) -> Result<Passed, CsrfRefusal> {
    guard.judge(Action::Posts, &Method::POST, &headers(pairs), origin, NOW)
}

#[test]
fn without_a_login_or_a_change_nothing_is_asked() {
    let guard = guard();
    assert_eq!(post(&guard, &[], OriginVerdict::Absent), Ok(Passed::NotNeeded));
    assert_eq!(post(&guard, &[("cookie", "theme=dark")], OriginVerdict::AnyPage), Ok(Passed::NotNeeded));
    let login = headers(&[("cookie", "sessionid=a")]);
    let read = guard.judge(Action::Reads, &Method::GET, &login, OriginVerdict::AnyPage, NOW);
    assert_eq!(read, Ok(Passed::NotNeeded));
}

#[test]
fn the_origin_is_the_first_proof_but_not_under_a_star() {
    let login = ("cookie", "theme=dark; sessionid=a");
    for action in [Action::Opens, Action::Posts] {
        let judge = |verdict, extra: &[(&'static str, &str)]| {
            let headers = headers(&[&[login], extra].concat());
            guard().judge(action, &Method::GET, &headers, verdict, NOW)
        };
        assert_eq!(judge(OriginVerdict::Listed, &[("origin", "https://a.example")]), Ok(Passed::Origin));
        assert_eq!(judge(OriginVerdict::Own, &[]), Ok(Passed::Origin));
        assert_eq!(judge(OriginVerdict::AnyPage, &[]), Err(CsrfRefusal::NoProof));
        assert_eq!(judge(OriginVerdict::Refused, &[]), Err(CsrfRefusal::NoProof));
        assert_eq!(judge(OriginVerdict::Absent, &[]), Err(CsrfRefusal::NoProof));
        assert_eq!(judge(OriginVerdict::Listed, &[("origin", "null")]), Err(CsrfRefusal::NoProof));
    }
}

#[test]
fn the_browsers_word_is_the_second_proof() {
    let judge = |method: Method, origin, sites: &[&str]| {
        let mut headers = headers(&[("cookie", "sessionid=a")]);
        for site in sites {
            headers.append("sec-fetch-site", HeaderValue::from_str(site).unwrap());
        }
        guard().judge(Action::Opens, &method, &headers, origin, NOW)
    };
    let refused = Err(CsrfRefusal::NoProof);
    assert_eq!(judge(Method::POST, OriginVerdict::Absent, &["same-origin"]), Ok(Passed::FetchSite));
    assert_eq!(judge(Method::GET, OriginVerdict::Absent, &["none"]), Ok(Passed::FetchSite));
    assert_eq!(judge(Method::POST, OriginVerdict::Absent, &["none"]), refused);
    for site in ["same-site", "cross-site", "", "Same-Origin", "same-origin, cross-site"] {
        assert_eq!(judge(Method::GET, OriginVerdict::Absent, &[site]), refused, "{site}");
    }
    assert_eq!(judge(Method::GET, OriginVerdict::Absent, &["same-origin", "cross-site"]), refused);
    // With an origin, that is what counts.
    assert_eq!(judge(Method::POST, OriginVerdict::AnyPage, &["same-origin"]), refused);
}

#[test]
fn the_token_is_the_last_proof() {
    let guard = guard();
    let token = token_of(&guard, "sessionid=a");
    let cookie = format!("csrftoken={token}; sessionid=a");
    for name in ["x-csrftoken", "x-csrf-token"] {
        assert_eq!(post(&guard, &[("cookie", &cookie), (name, &token)], OriginVerdict::Absent), Ok(Passed::Token));
        assert_eq!(post(&guard, &[("cookie", &cookie), (name, &token)], OriginVerdict::AnyPage), Ok(Passed::Token));
    }
    let refused = |pairs: &[(&'static str, &str)]| post(&guard, pairs, OriginVerdict::Absent).unwrap_err();
    assert_eq!(refused(&[("cookie", &cookie)]), CsrfRefusal::NoProof);
    let mismatch = CsrfRefusal::Token(TokenError::Mismatch);
    assert_eq!(refused(&[("cookie", "sessionid=a"), ("x-csrftoken", &token)]), mismatch);
    assert_eq!(refused(&[("cookie", &cookie), ("x-csrftoken", "x")]), mismatch);
    assert_eq!(refused(&[("cookie", &cookie), ("x-csrftoken", "")]), mismatch);
    let malformed = CsrfRefusal::Token(TokenError::Malformed);
    assert_eq!(refused(&[("cookie", "sessionid=a; csrftoken=x"), ("x-csrftoken", "x")]), malformed);
    assert_eq!(refused(&[("cookie", "sessionid=a; csrftoken="), ("x-csrftoken", "")]), malformed);
}

#[test]
fn a_token_planted_by_a_subdomain_is_another_logins() {
    let guard = guard();
    let attackers = token_of(&guard, "sessionid=attacker");
    let cookie = format!("sessionid=victim; csrftoken={attackers}");
    let planted = post(&guard, &[("cookie", &cookie), ("x-csrftoken", &attackers)], OriginVerdict::Absent);
    assert_eq!(planted, Err(CsrfRefusal::Token(TokenError::Forged)));
    // The victim's own still works beside it.
    let own = token_of(&guard, "sessionid=victim");
    let cookie = format!("csrftoken={attackers}; sessionid=victim; csrftoken={own}");
    assert_eq!(post(&guard, &[("cookie", &cookie), ("x-csrftoken", &own)], OriginVerdict::Absent), Ok(Passed::Token));
}

#[test]
fn a_login_is_all_its_cookies_and_not_their_concatenation() {
    let guard = guard();
    for (one, other) in [
        ("sessionid=ab", "sessionid=a; remember=b"),
        ("sessionid=a", "remember=a"),
        ("sessionid=a; sessionid=b", "sessionid=b; sessionid=a"),
        ("sessionid=a; remember=", "sessionid=a"),
    ] {
        assert_ne!(guard.binding(&headers(&[("cookie", one)])), guard.binding(&headers(&[("cookie", other)])), "{one}");
    }
    let (one, other) = ("sessionid=a; remember=b", "theme=x; remember=b; sessionid=a");
    assert_eq!(guard.binding(&headers(&[("cookie", one)])), guard.binding(&headers(&[("cookie", other)])));
}

#[test]
fn tokens_expire_and_outlive_one_change_of_the_key() {
    let (old, new) = (guard_with(key(1), None), guard_with(key(2), Some(key(1))));
    let token = token_of(&old, "sessionid=a");
    let cookie = format!("csrftoken={token}; sessionid=a");
    let request = headers(&[("cookie", &cookie), ("x-csrftoken", &token)]);
    let judge =
        |guard: &CsrfGuard, now| guard.judge(Action::Posts, &Method::POST, &request, OriginVerdict::Absent, now);
    assert_eq!(judge(&old, NOW + TTL - 1), Ok(Passed::Token));
    assert_eq!(judge(&old, NOW + TTL), Err(CsrfRefusal::Token(TokenError::Expired)));
    assert_eq!(judge(&new, NOW), Ok(Passed::Token));
    assert_eq!(judge(&new, NOW + TTL), Err(CsrfRefusal::Token(TokenError::Expired)));
    assert_eq!(judge(&guard_with(key(3), Some(key(2))), NOW), Err(CsrfRefusal::Token(TokenError::Forged)));
}

#[test]
fn a_token_is_issued_with_its_cookie_to_logins_that_need_one() {
    let guard = guard();
    let issue = |cookie: &str, now, https| guard.issue(&headers(&[("cookie", cookie)]), [3; 16], now, https);
    assert!(issue("theme=dark", NOW, true).is_none());
    let issued = issue("sessionid=a", NOW, true).unwrap();
    let start = format!("csrftoken={}; Path=/; Max-Age=3600; SameSite=", issued.token);
    assert_eq!(issued.set_cookie, format!("{start}Lax; Secure"));
    assert_eq!(issue("sessionid=a", NOW, false).unwrap().set_cookie, format!("{start}Lax"));
    let with_token = format!("sessionid=a; csrftoken={}", issued.token);
    assert!(issue(&with_token, NOW + TTL / 2 - 1, true).is_none());
    assert!(issue(&with_token, NOW + TTL / 2, true).is_some());
    assert!(issue(&with_token.replace("sessionid=a", "sessionid=b"), NOW, true).is_some());
}

#[test]
fn settings_are_checked() {
    let new = |auth: &[&str], token: &str, ttl| {
        let auth = auth.iter().map(|name| (*name).to_owned()).collect();
        CsrfGuard::new(key(1), None, auth, token.to_owned(), ttl).map(drop)
    };
    assert_eq!(new(&["a"], "t", 60), Ok(()));
    assert_eq!(new(&[], "t", 60), Err(CsrfConfigError::AuthCookies { count: 0 }));
    assert_eq!(new(&["a"; 9], "t", 60), Err(CsrfConfigError::AuthCookies { count: 9 }));
    assert_eq!(new(&["a b"], "t", 60), Err(CsrfConfigError::CookieName { name: "a b".to_owned() }));
    assert_eq!(new(&["a"], "t;", 60), Err(CsrfConfigError::CookieName { name: "t;".to_owned() }));
    assert_eq!(new(&["a", "t"], "t", 60), Err(CsrfConfigError::SameCookie { name: "t".to_owned() }));
    for seconds in [0, 59, TTL_SECONDS_MAX + 1] {
        assert_eq!(new(&["a"], "t", seconds), Err(CsrfConfigError::Ttl { seconds }));
    }
}

#[test]
fn neither_keys_nor_tokens_are_shown() {
    assert!(format!("{:?}", guard()).contains("CsrfKey(..)"));
}
