//! JWK Sets: what is taken, what is passed over and why, what is refused as a whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::jwt::{TOKEN_BYTES_MAX, verify};
use super::super::testing::{JWKS, base64url, token};
use super::*;

fn fixture() -> Value {
    serde_json::from_str(JWKS).unwrap()
}

fn read(set: &Value) -> Result<JwksKeys, JwksError> {
    keys_from_jwks(set.to_string().as_bytes(), Secrets::Taken)
}

/// What one entry comes to, beside a good one.
fn reason(entry: &Value) -> Option<SkipReason> {
    let read = read(&json!({"keys": [fixture()["keys"][2], entry]})).unwrap();
    assert_eq!(read.keys.len() + read.skipped.len(), 2);
    read.skipped.into_iter().next().map(|skipped| skipped.reason)
}

fn with(entry: usize, changes: &Value) -> Value {
    let mut key = fixture()["keys"][entry].clone();
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key
}

#[test]
fn the_keys_of_another_implementation_verify_its_tokens() {
    let read = read(&fixture()).unwrap();
    assert_eq!(read.skipped, []);
    let found: Vec<_> = read.keys.iter().map(|key| (key.kid(), key.algorithm())).collect();
    let expected =
        [(Some("rsa-1"), Algorithm::Rs256), (Some("ec-1"), Algorithm::Es256), (Some("ed-1"), Algorithm::EdDsa)];
    assert_eq!(found, expected);
    for name in ["rs256", "es256", "eddsa"] {
        assert!(verify(token(name), &read.keys, TOKEN_BYTES_MAX).is_ok(), "{name}");
    }
}

#[test]
fn entries_that_cannot_be_used_are_passed_over_with_the_reason() {
    let (rsa, ec, ed) = (0, 1, 2);
    let malformed = |entry: &Value| matches!(reason(entry), Some(SkipReason::Malformed(_)));
    assert_eq!(reason(&with(rsa, &json!({"use": "enc"}))), Some(SkipReason::Use));
    assert_eq!(reason(&with(ec, &json!({"key_ops": ["deriveKey"]}))), Some(SkipReason::Use));
    assert_eq!(reason(&with(ec, &json!({"key_ops": ["verify"]}))), None);
    assert_eq!(reason(&with(rsa, &json!({"alg": "RS512"}))), Some(SkipReason::Algorithm(Algorithm::Rs256)));
    assert_eq!(reason(&with(rsa, &json!({"alg": "HS256"}))), Some(SkipReason::Algorithm(Algorithm::Rs256)));
    assert_eq!(reason(&with(ed, &json!({"alg": "Ed25519"}))), None);
    assert_eq!(reason(&with(ec, &json!({"crv": "P-384"}))), Some(SkipReason::Kind));
    assert_eq!(reason(&with(ed, &json!({"crv": "X25519"}))), Some(SkipReason::Kind));
    assert_eq!(reason(&json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"})), Some(SkipReason::Kind));
    assert_eq!(reason(&with(rsa, &json!({"d": "AQAB"}))), Some(SkipReason::Private));
    assert_eq!(reason(&with(ed, &json!({"d": "AQAB"}))), Some(SkipReason::Private));
    let small = base64url([0xff; 128]);
    assert_eq!(reason(&with(rsa, &json!({"n": small}))), Some(SkipReason::Key(KeyError::RsaBits { bits: 1024 })));
    assert_eq!(reason(&with(rsa, &json!({"e": "AQ"}))), Some(SkipReason::Key(KeyError::RsaExponent)));
    assert_eq!(
        reason(&with(ec, &json!({"kid": "k".repeat(300)}))),
        Some(SkipReason::Key(KeyError::KidLength { bytes: 300 }))
    );
    for entry in [
        json!(null),
        json!([]),
        json!("RSA"),
        json!({}),
        json!({"kty": 5}),
        json!({"kty": "RSA"}),
        with(rsa, &json!({"n": "not base64url!"})),
        with(rsa, &json!({"n": null})),
        with(ec, &json!({"x": base64url([1; 31])})),
        with(ec, &json!({"x": base64url([1; 33]), "y": base64url([1; 31])})),
        with(ed, &json!({"kid": 1})),
    ] {
        assert!(malformed(&entry), "{entry}: {:?}", reason(&entry));
    }
    assert!(matches!(reason(&with(ed, &json!({"x": base64url([1; 31])}))), Some(SkipReason::Key(KeyError::Curve(_)))));
}

#[test]
fn a_shared_secret_is_taken_from_a_file_and_not_from_the_net() {
    let secret = json!({"keys": [{"kty": "oct", "kid": "s", "k": base64url(token("secret"))}]}).to_string();
    let keys = keys_from_jwks(secret.as_bytes(), Secrets::Taken).unwrap().keys;
    assert!(verify(token("hs256"), &keys, TOKEN_BYTES_MAX).is_ok());
    match keys_from_jwks(secret.as_bytes(), Secrets::Skipped) {
        Err(JwksError::NoUsableKey(skipped)) => {
            assert_eq!(skipped, [Skipped { entry: 0, reason: SkipReason::Published }]);
        }
        other => panic!("{other:?}"),
    }
    let short = json!({"kty": "oct", "k": base64url([1; 31])});
    assert_eq!(reason(&short), Some(SkipReason::Key(KeyError::SecretLength { bytes: 31 })));
}

#[test]
fn a_name_that_occurs_twice_in_a_key_passes_the_key_over() {
    let text = r#"{"keys":[{"kty":"oct","kty":"RSA","k":"AA"}]}"#;
    assert!(matches!(keys_from_jwks(text.as_bytes(), Secrets::Taken), Err(JwksError::NoUsableKey(_))));
}

#[test]
fn what_is_no_set_is_refused_without_quoting_it() {
    for text in ["", "null", "[]", "{}", r#"{"keys":5}"#, r#"{"keys":{}}"#, r#"{"keys":[]"#, r#"{"keys":[],"keys":[]}"#]
    {
        let error = keys_from_jwks(text.as_bytes(), Secrets::Taken).unwrap_err();
        assert!(matches!(error, JwksError::Malformed(_)), "{text}: {error}");
    }
    let error = keys_from_jwks(br#"{"keys": "s3cret-in-the-wrong-place"}"#, Secrets::Taken).unwrap_err().to_string();
    assert!(error.contains("line 1") && !error.contains("s3cret"), "{error}");
    assert_eq!(read(&json!({"keys": []})).unwrap_err().to_string(), "the JWK Set has no usable key (it is empty)");
    let error = read(&json!({"keys": [{"kty": "AKP"}]})).unwrap_err().to_string();
    assert!(error.starts_with("the JWK Set has no usable key (keys[0]: another kind of key"), "{error}");
}

#[test]
fn a_set_is_bounded_in_bytes_entries_and_keys() {
    let long = format!(r#"{{"keys":[]{}}}"#, " ".repeat(JWKS_BYTES_MAX));
    assert!(matches!(keys_from_jwks(long.as_bytes(), Secrets::Taken), Err(JwksError::TooLong { .. })));
    let entries = |count: usize, entry: Value| read(&json!({"keys": vec![entry; count]}));
    assert!(matches!(entries(JWKS_ENTRIES_MAX + 1, json!({})), Err(JwksError::TooMany { entries: 257 })));
    assert!(matches!(entries(65, with(2, &json!({}))), Err(JwksError::Keys(KeyError::TooMany { count: 65 }))));
    assert_eq!(entries(64, with(2, &json!({}))).unwrap().keys.len(), 64);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        let _ = keys_from_jwks(text.as_bytes(), Secrets::Taken);
        let _ = keys_from_jwks(format!("{{\"keys\":[{text}]}}").as_bytes(), Secrets::Taken);
    }

    #[test]
    fn no_member_panics(kty in "(RSA|EC|OKP|oct)", crv in "(P-256|Ed25519|)", a in "[A-Za-z0-9_-]{0,90}", b in "[A-Za-z0-9_-]{0,90}") {
        let key = json!({"kty": kty, "crv": crv, "n": a, "e": b, "x": a, "y": b, "k": a});
        let _ = read(&json!({"keys": [key]}));
    }
}
