use std::time::Duration;

use super::*;
use crate::security::auth::{AuthMode, Policy};
use crate::security::rules::Limits;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn guard(limits: Limits) -> Guard {
    let rules = Rules { limits, ..Rules::open() };
    Guard::new(Arc::new(rules), Arc::new(Authenticator::off()), 100)
}

/// Nothing comes back within a test.
fn rate(burst: u32) -> Option<Rate> {
    Some(Rate::new(1, Duration::from_secs(600), burst).unwrap())
}

#[test]
fn connects_of_one_address_are_limited_and_counted() {
    let guard = guard(Limits { connects: rate(2), ..Limits::default() });
    assert!(guard.enter(HERE).is_ok() && guard.enter(HERE).is_ok());
    let refused = guard.enter(HERE).unwrap_err();
    assert_eq!(refused.event, SecurityEvent::RateLimited(RateScope::ConnectsPerIp));
    assert!(refused.retry_after_seconds > 100);
    assert!(guard.enter(THERE).is_ok(), "another address has its own");
    assert_eq!(guard.counters().get(refused.event), 1);
}

#[test]
fn connections_of_one_address_leave_when_they_end() {
    let guard = guard(Limits { connections_per_ip: Some(1), ..Limits::default() });
    let place = guard.enter(HERE).unwrap();
    assert_eq!(guard.enter(HERE).unwrap_err().event, SecurityEvent::ConnectionLimit(ConnectionScope::Ip));
    drop(place);
    assert!(guard.enter(HERE).is_ok());
}

#[test]
fn a_client_spends_messages_and_bytes() {
    let guard = guard(Limits { messages: rate(3), bytes: rate(100), ..Limits::default() });
    let mut budget = Budget::full(Instant::now());
    assert_eq!(guard.spend(&mut budget, 60), Ok(()));
    assert_eq!(guard.spend(&mut budget, 60), Err(RateScope::BytesPerSession));
    assert_eq!(guard.spend(&mut budget, 0), Ok(()));
    assert_eq!(guard.spend(&mut budget, 0), Err(RateScope::MessagesPerSession));
}

#[test]
fn new_rules_are_in_force_at_once() {
    let guard = guard(Limits::default());
    let mut budget = Budget::full(Instant::now());
    for _ in 0..100 {
        assert_eq!(guard.spend(&mut budget, 1 << 20), Ok(()));
    }
    let limits = Limits { messages: rate(1), ..Limits::default() };
    guard.replace(Arc::new(Rules { limits, ..Rules::open() }), &Authenticator::off());
    assert_eq!(guard.spend(&mut budget, 1), Ok(()));
    assert_eq!(guard.spend(&mut budget, 1), Err(RateScope::MessagesPerSession));
}

#[test]
fn the_policy_binds_those_who_are_known() {
    let guard = Guard::new(
        Arc::new(Rules { policy: Policy::built_in(AuthMode::Required), ..Rules::open() }),
        Arc::new(Authenticator::off()),
        1,
    );
    let nobody = Identity::anonymous();
    assert!(guard.may("/", Action::Join("x"), None).is_ok(), "authentication is off");
    assert!(guard.may("/", Action::Join("x"), Some(&nobody)).is_ok(), "connecting was the question");
    assert_eq!(guard.counters().get(SecurityEvent::Forbidden), 0);
}

#[test]
fn a_secret_of_its_own_or_the_cluster_s_key_makes_csrf_tokens() {
    let rule = |secret: Option<&str>| CsrfRule {
        cookies: vec!["login".to_owned()],
        secret: secret.map(|secret| secret.to_owned().into()),
    };
    let mut request = axum::http::HeaderMap::new();
    request.insert("cookie", "login=abc".parse().unwrap());
    let issue = |secret, key: &[u8; 32]| {
        csrf_guard(&rule(secret), key).unwrap().issue(&request, [7; 16], 1_000, true).unwrap().token
    };
    assert_eq!(issue(None, &[1; 32]), issue(None, &[1; 32]), "all nodes make the same");
    assert_ne!(issue(None, &[1; 32]), issue(None, &[2; 32]));
    assert_eq!(issue(Some("s"), &[1; 32]), issue(Some("s"), &[2; 32]));
}

#[test]
fn a_limit_of_connections_that_comes_later_counts_those_that_are_there() {
    let guard = guard(Limits::default());
    let places = [guard.enter(HERE).unwrap(), guard.enter(HERE).unwrap()];
    let limits = Limits { connections_per_ip: Some(2), ..Limits::default() };
    guard.replace(Arc::new(Rules { limits, ..Rules::open() }), &Authenticator::off());
    assert_eq!(guard.enter(HERE).unwrap_err().event, SecurityEvent::ConnectionLimit(ConnectionScope::Ip));
    drop(places);
    assert!(guard.enter(HERE).is_ok());
}

#[test]
fn without_a_limit_the_table_refuses_nobody() {
    let guard = Guard::open();
    let _places = [guard.enter(HERE).unwrap(), guard.enter(THERE).unwrap()];
}
