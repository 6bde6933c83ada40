//! Finding tokens where they may be, and only there.

use proptest::prelude::*;

use super::super::testing::Opening;
use super::*;

fn everywhere() -> TokenPlaces {
    TokenPlaces { auth_object: true, bearer: true, query: Some("token".into()), cookie: Some("session".into()) }
}

fn opening(headers: &[(&'static str, &str)], query: &str) -> Opening {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Opening { headers, query: query.to_owned() }
}

fn find(places: &TokenPlaces, auth: Option<&str>, request: &Opening) -> Option<(String, TokenSource)> {
    let found = places.find(auth.map(str::as_bytes), request).unwrap();
    found.map(|(token, source)| (token.into_owned(), source))
}

#[test]
fn explicit_places_go_before_what_a_browser_adds() {
    let places = everywhere();
    let mut request = opening(&[("authorization", "Bearer b"), ("cookie", "session=c")], "EIO=4&token=q");
    let at = |token: &str, source| Some((token.to_owned(), source));
    assert_eq!(find(&places, Some(r#"{"token":"a"}"#), &request), at("a", TokenSource::AuthObject));
    for none in [None, Some("{}"), Some(r#"{"token":""}"#), Some(r#"{"token":null}"#), Some(r#"{"pid":"x"}"#)] {
        assert_eq!(find(&places, none, &request), at("b", TokenSource::Bearer), "{none:?}");
    }
    request.headers.remove(0);
    assert_eq!(find(&places, None, &request), at("q", TokenSource::Query));
    request.query.clear();
    assert_eq!(find(&places, None, &request), at("c", TokenSource::Cookie));
    request.headers.clear();
    assert_eq!(find(&places, None, &request), None);
}

#[test]
fn query_and_cookie_are_off_unless_configured_and_every_place_can_be_turned_off() {
    let request = opening(&[("cookie", "session=c; token=c")], "token=q");
    assert_eq!(find(&TokenPlaces::default(), None, &request), None);
    let nowhere = TokenPlaces { auth_object: false, bearer: false, query: None, cookie: None };
    let request = opening(&[("authorization", "Bearer b")], "");
    assert_eq!(find(&nowhere, Some(r#"{"token":"a"}"#), &request), None);
    assert_eq!(find(&nowhere, Some("no object at all"), &request), None, "what is not looked at is not judged");
}

#[test]
fn the_auth_object_is_read_strictly_and_its_other_members_are_not_ours() {
    let request = opening(&[], "");
    let rich = r#" {"pid":"p","offset":"o","nested":{"token":"no"},"list":[1,{"token":"no"}],"\u0074oken":"yes"} "#;
    assert_eq!(find(&everywhere(), Some(rich), &request).unwrap().0, "yes");
    let deep = format!(r#"{{"x":{}{},"token":"t"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(find(&everywhere(), Some(&deep), &request).unwrap().0, "t", "what is not looked at is only skipped");
    let deep = format!(r#"{{"token":{}"#, "[".repeat(100_000));
    for bad in [
        "",
        "null",
        r#""token""#,
        r#"["token"]"#,
        r#"{"token":5}"#,
        r#"{"token":["a"]}"#,
        r#"{"token":{"token":"a"}}"#,
        r#"{"token":"a","token":"b"}"#,
        r#"{"token":null,"token":"b"}"#,
        r#"{"token":"a"} {}"#,
        r#"{"token":"a""#,
        deep.as_str(),
    ] {
        assert_eq!(everywhere().find(Some(bad.as_bytes()), &request), Err(MalformedAuthObject), "{bad:.40}");
    }
}

#[test]
fn only_a_bearer_token_is_taken_from_the_header() {
    let bearer =
        |value: &str| find(&everywhere(), None, &opening(&[("authorization", value)], "")).map(|found| found.0);
    assert_eq!(bearer("Bearer t").as_deref(), Some("t"));
    assert_eq!(bearer("bearer   t ").as_deref(), Some("t"));
    assert_eq!(bearer("BEARER a b").as_deref(), Some("a b"));
    for none in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "t", "Bearert", "Bearer\tt"] {
        assert_eq!(bearer(none), None, "{none:?}");
    }
}

#[test]
fn parameters_and_cookies_are_found_by_their_whole_name() {
    let query = |query: &str| find(&everywhere(), None, &opening(&[], query)).map(|found| found.0);
    assert_eq!(query("EIO=4&token=t&transport=websocket").as_deref(), Some("t"));
    assert_eq!(query("token=&token=t").as_deref(), Some("t"));
    assert_eq!(query("token=a=b").as_deref(), Some("a=b"));
    for none in ["", "token", "token=", "xtoken=t", "tokens=t", "Token=t", "a=token=t"] {
        assert_eq!(query(none), None, "{none:?}");
    }
    let cookie = |header: &str| find(&everywhere(), None, &opening(&[("cookie", header)], "")).map(|found| found.0);
    assert_eq!(cookie("a=b; session=t; c=d").as_deref(), Some("t"));
    assert_eq!(cookie("session=\"t\"").as_deref(), Some("t"));
    assert_eq!(cookie("session=first;session=second").as_deref(), Some("first"));
    for none in ["", "session", "session=", "xsession=t", "a=session=t", "Session=t"] {
        assert_eq!(cookie(none), None, "{none:?}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(auth in "\\PC{0,60}", header in "\\PC{0,40}", cookie in "\\PC{0,40}", query in "\\PC{0,40}") {
        let request = opening(&[("authorization", &header), ("cookie", &cookie)], &query);
        let _ = everywhere().find(Some(auth.as_bytes()), &request);
        let _ = everywhere().find(None, &request);
    }
}
