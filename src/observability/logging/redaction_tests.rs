//! Planted secrets, none of which may be found again.

use proptest::prelude::*;

use super::*;

const CANARY: &str = "c4n4ry-7f3a";

#[test]
fn names_of_secrets_are_known_in_every_spelling() {
    for name in [
        "token",
        "access_token",
        "accessToken",
        "ACCESS-TOKEN",
        "tokens",
        "authtoken",
        "secret",
        "client_secret",
        "pid",
        "session_pid",
        "sessionPid",
        "pid_hash",
        "authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "cookies",
        "password",
        "db.password",
        "passwd",
        "jwt",
        "csrf",
        "api_key",
        "apiKey",
        "private_key",
        "credentials",
        "bearer",
    ] {
        assert_eq!(judge(name), Verdict::Hidden, "{name}");
    }
}

#[test]
fn harmless_names_are_shown() {
    for name in [
        "session_id",
        "rapid",
        "rapids",
        "stupid",
        "key",
        "keys",
        "signing_keys",
        "connection_id",
        "author",
        "message",
        "bytes",
        "url",
        "node",
        "",
        "_",
        "basic",
        "event",
        "namespace",
    ] {
        assert_eq!(judge(name), Verdict::Shown, "{name}");
    }
    for name in ["payload", "message_payload", "body", "packetBody", "payload_bytes"] {
        assert_eq!(judge(name), Verdict::NumbersOnly, "{name}");
    }
}

#[test]
fn secrets_in_texts_are_found_however_they_are_written() {
    for text in [
        format!("GET /socket.io/?EIO=4&token={CANARY}&x=1 failed"),
        format!("token={CANARY}"),
        format!("authorization: Bearer {CANARY}"),
        format!("Authorization:Basic {CANARY}"),
        format!("sent Bearer {CANARY} to it"),
        format!("cookie: sid={CANARY}; other=1"),
        format!("cookie: first=1; sid={CANARY}"),
        format!(r#"{{"pid":"{CANARY}","offset":"1"}}"#),
        format!(r#"{{"auth":{{"password": "{CANARY}"}}}}"#),
        format!(r#"Object {{"token": String("{CANARY}")}}"#),
        format!("Handshake {{ pid: Some(\"{CANARY}\"), offset: None }}"),
        format!("Login {{ secret: {CANARY}, user: 1 }}"),
        format!(r#"quoted again: \"token\": \"{CANARY}\""#),
        format!("client_secret = '{CANARY}'"),
        format!("key eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{CANARY} is bad"),
        format!("payload: {CANARY}"),
    ] {
        let (shown, found) = scrub(&text);
        assert!(found && !shown.contains(CANARY), "{text} became {shown}");
        assert!(shown.contains(HIDDEN), "{shown}");
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    assert_eq!(scrub("GET /?token=abc&EIO=4: 401").0, "GET /?token=***&EIO=4: 401");
    assert_eq!(scrub(r#"{"pid":"x","offset":"1"}"#).0, r#"{"pid":"***","offset":"1"}"#);
    assert_eq!(scrub("token=a token=b").0, "token=*** token=***");
}

#[test]
fn harmless_texts_are_not_touched() {
    for text in [
        "security: many wrong tokens at the operators' listener",
        "the peer 127.0.0.1:5000 is silent; its connection is dropped",
        "rapid: 7, node=3",
        "the basic authentication of bearer tokens",
        "eyJust a word",
        "",
        ":=:=:",
        "grüße: ja",
    ] {
        assert_eq!(scrub(text), (Cow::Borrowed(text), false));
    }
}

proptest! {
    #[test]
    fn any_text_can_be_judged_and_scrubbed(text in any::<String>()) {
        let _ = judge(&text);
        let (shown, found) = scrub(&text);
        prop_assert!(found || shown == text);
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_stands(before in "[ -~]{0,20}[ ,&{]", after in "[ ,&}].{0,20}", name in "[a-z]{0,4}_?(token|secret|password)", sign in "(=|: |\":\")") {
        let text = format!("{before}{name}{sign}{CANARY}{after}");
        let shown = scrub(&text).0.into_owned();
        prop_assert!(!shown.contains(CANARY), "{text} became {shown}");
    }
}
