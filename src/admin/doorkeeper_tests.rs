use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::routing::{get, post};
use tower::ServiceExt as _;

use super::*;
use crate::security::token_door::{WRONG_AT_ONCE, WRONG_PAUSE};

fn tokens() -> AdminTokens {
    AdminTokens {
        admin: Some("admin-0123456789abcdef".to_owned().into()),
        operate: Some("operate-0123456789abcdef".to_owned().into()),
        read: Some("read-0123456789abcdef".to_owned().into()),
    }
}

async fn ask(door: &Arc<Doorkeeper>, method: &str, path: &str, token: Option<&str>, from: &str) -> StatusCode {
    let ok = || async { "ok" };
    let routes = Router::new()
        .route("/status", get(ok))
        .route("/leadership/transfer", post(ok))
        .route("/members/remove", post(ok));
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(from.parse::<SocketAddr>().unwrap()));
    door.guard(routes).oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn each_role_does_what_it_may_and_no_more() {
    let door = Doorkeeper::new(tokens());
    for (token, read, operate, admin) in [
        (Some("read-0123456789abcdef"), 200, 403, 403),
        (Some("operate-0123456789abcdef"), 200, 200, 403),
        (Some("admin-0123456789abcdef"), 200, 200, 200),
    ] {
        let asked =
            [("GET", "/status", read), ("POST", "/leadership/transfer", operate), ("POST", "/members/remove", admin)];
        for (method, path, expected) in asked {
            let status = ask(&door, method, path, token, "127.0.0.1:1").await;
            assert_eq!(status, expected, "{token:?} {method} {path}");
        }
    }
}

#[tokio::test]
async fn without_tokens_everybody_may_do_everything() {
    let door = Doorkeeper::new(AdminTokens::default());
    assert_eq!(ask(&door, "POST", "/members/remove", None, "127.0.0.1:1").await, 200);
}

#[tokio::test]
async fn after_too_many_wrong_tokens_of_an_address_not_even_the_right_one_is_looked_at() {
    let door = Doorkeeper::new(tokens());
    for _ in 0..WRONG_AT_ONCE {
        assert_eq!(ask(&door, "GET", "/status", Some("wrong"), "127.0.0.1:1").await, 401);
    }
    for token in ["wrong", "read-0123456789abcdef", "admin-0123456789abcdef"] {
        assert_eq!(ask(&door, "GET", "/status", Some(token), "127.0.0.1:2").await, 429, "{token}");
    }
    assert_eq!(ask(&door, "GET", "/status", Some("wrong"), "127.0.0.2:1").await, 401, "another address");
    assert_eq!(ask(&door, "GET", "/status", Some("read-0123456789abcdef"), "127.0.0.3:1").await, 200);
}

#[test]
fn the_time_that_is_named_is_the_time_after_which_one_token_is_looked_at() {
    let door = Doorkeeper::new(tokens());
    let (address, now) = (IpAddr::from([127, 0, 0, 1]), Instant::now());
    let shows = |token: &str, now| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        door.role(&headers, address, now)
    };
    for _ in 0..WRONG_AT_ONCE {
        assert_eq!(shows("wrong", now), Err(Refused::Wrong));
    }
    let Err(Refused::Waits { retry_after_seconds }) = shows("read-0123456789abcdef", now) else { panic!("looked at") };
    assert_eq!(retry_after_seconds, WRONG_PAUSE.as_secs());
    // Waiting is no wrong token: asking on does not make it longer.
    let (almost, after) = (now + WRONG_PAUSE - Duration::from_millis(1), now + WRONG_PAUSE);
    assert_eq!(shows("read-0123456789abcdef", almost), Err(Refused::Waits { retry_after_seconds: 1 }));
    assert_eq!(shows("read-0123456789abcdef", after), Ok(Role::Read), "a right one takes nothing");
    assert_eq!(shows("wrong", after), Err(Refused::Wrong));
    assert!(matches!(shows("read-0123456789abcdef", after), Err(Refused::Waits { .. })), "only one was");
}

#[tokio::test]
async fn who_shows_no_token_guesses_none_and_makes_nobody_wait() {
    let door = Doorkeeper::new(tokens());
    for _ in 0..3 * WRONG_AT_ONCE {
        assert_eq!(ask(&door, "GET", "/status", None, "127.0.0.1:1").await, 401);
    }
    assert_eq!(ask(&door, "GET", "/status", Some("read-0123456789abcdef"), "127.0.0.1:1").await, 200);
}

#[tokio::test]
async fn new_tokens_count_at_once_and_the_old_ones_no_more() {
    let door = Doorkeeper::new(tokens());
    door.replace(AdminTokens { read: Some("newer-0123456789abcdef".to_owned().into()), ..AdminTokens::default() });
    assert_eq!(ask(&door, "GET", "/status", Some("newer-0123456789abcdef"), "127.0.0.1:1").await, 200);
    assert_eq!(ask(&door, "GET", "/status", Some("admin-0123456789abcdef"), "127.0.0.1:1").await, 401);
}
