//! The whole way from what a client shows to who it is.

use proptest::prelude::*;
use serde_json::json;

use super::jwk::keys_from_jwks;
use super::testing::{EXP, JWKS, NOW, Opening, claims, secret_set, token};
use super::*;

fn authenticator(mode: AuthMode) -> Authenticator {
    let keys = keys_from_jwks(JWKS.as_bytes(), Secrets::Taken).unwrap().keys.merged(&secret_set()).unwrap();
    let keyring = Arc::new(Keyring::new(keys).unwrap());
    let claims = ClaimRules {
        issuers: vec!["https://id.example.com/".to_owned()],
        audiences: vec!["vedfolnir".to_owned()],
        ..ClaimRules::default()
    };
    Authenticator { mode, claims, keyring, ..Authenticator::off() }
}

fn auth_object(token: &str) -> Vec<u8> {
    json!({"token": token, "pid": "p"}).to_string().into_bytes()
}

fn ask(authenticator: &Authenticator, token: &str, now: u64) -> Result<Identity, AuthRefusal> {
    authenticator.authenticate(Some(&auth_object(token)), &Opening::default(), now)
}

#[test]
fn every_kind_of_token_tells_who_its_bearer_is() {
    for name in ["hs256", "rs256", "es256", "eddsa"] {
        let identity = ask(&authenticator(AuthMode::Required), token(name), NOW).unwrap();
        assert_eq!(identity.user().map(AsRef::as_ref), Some("ada"), "{name}");
        assert_eq!(identity.roles().iter().collect::<Vec<_>>(), ["member", "moderator"]);
        assert_eq!(identity.expires_at(), Some(EXP + SKEW_SECONDS));
        assert_eq!(identity.source(), Some(TokenSource::AuthObject));
    }
}

#[test]
fn an_expired_token_says_so_and_a_bad_one_does_not_say_why() {
    let authenticator = authenticator(AuthMode::Required);
    let code =
        |token: &str, now| ask(&authenticator, token, now).map(|identity| identity.user().cloned()).unwrap_err().code();
    assert_eq!(code(token("hs256_expired"), NOW), RefusalCode::TokenExpired);
    assert!(ask(&authenticator, token("hs256_expired"), 1_700_000_100 + SKEW_SECONDS - 1).is_ok(), "within the skew");
    assert_eq!(code(token("hs256_expired"), 1_700_000_100 + SKEW_SECONDS), RefusalCode::TokenExpired);
    assert_eq!(code(token("hs256"), 1_600_000_000), RefusalCode::TokenInvalid, "not yet valid");
    for name in ["none", "rs512", "rs256_foreign", "forged_with_rsa_pem", "es256_rotated"] {
        assert_eq!(code(token(name), NOW), RefusalCode::TokenInvalid, "{name}");
    }
    // What is expired and badly signed as well is only badly signed: nothing unsigned is believed, not even its date.
    let mut forged = token("hs256_expired").to_owned();
    forged.replace_range(
        forged.len() - 5..forged.len() - 4,
        if &forged[forged.len() - 5..forged.len() - 4] == "A" { "B" } else { "A" },
    );
    assert_eq!(code(&forged, NOW), RefusalCode::TokenInvalid);
    let elsewhere = claims(&json!({"sub": "ada", "exp": EXP, "iss": "https://id.example.com/", "aud": "others"}));
    assert_eq!(ask(&authenticator, &elsewhere, NOW).unwrap_err().reason, ClaimsError::Audience.into());
}

#[test]
fn who_shows_no_token_is_refused_or_nobody_in_particular() {
    let nothing = |mode| authenticator(mode).authenticate(Some(b"{}"), &Opening::default(), NOW);
    assert_eq!(nothing(AuthMode::Required).unwrap_err().code(), RefusalCode::AuthRequired);
    assert_eq!(nothing(AuthMode::Optional), Ok(Identity::anonymous()));
    assert_eq!(nothing(AuthMode::Off), Ok(Identity::anonymous()));
    let bad = |mode| ask(&authenticator(mode), token("none"), NOW);
    assert_eq!(bad(AuthMode::Optional).unwrap_err().code(), RefusalCode::TokenInvalid, "a bad token is not no token");
    assert_eq!(bad(AuthMode::Off), Ok(Identity::anonymous()), "off looks at nothing");
    let no_object = authenticator(AuthMode::Optional).authenticate(Some(b"[]"), &Opening::default(), NOW);
    assert_eq!(no_object.unwrap_err().code(), RefusalCode::TokenInvalid);
}

#[test]
fn the_source_of_the_token_is_told_also_of_a_refused_one() {
    let mut authenticator = authenticator(AuthMode::Required);
    authenticator.places.cookie = Some("session".into());
    let with = |name: &'static str, value: String| Opening { headers: vec![(name, value)], query: String::new() };
    let cookie = with("cookie", format!("a=b; session={}", token("es256")));
    let identity = authenticator.authenticate(None, &cookie, NOW).unwrap();
    assert_eq!(identity.source(), Some(TokenSource::Cookie));
    assert!(identity.source().unwrap().is_ambient());
    let bearer = with("authorization", format!("Bearer {}", token("none")));
    assert_eq!(authenticator.authenticate(None, &bearer, NOW).unwrap_err().token_source, Some(TokenSource::Bearer));
    // A bad token in the first place is not made good by a good one elsewhere.
    let refused = authenticator.authenticate(Some(&auth_object(token("none"))), &cookie, NOW).unwrap_err();
    assert_eq!(refused.token_source, Some(TokenSource::AuthObject));
}

#[test]
fn without_any_key_the_server_is_to_blame() {
    let mut authenticator = authenticator(AuthMode::Required);
    authenticator.keyring = Arc::default();
    let refused = ask(&authenticator, token("hs256"), NOW).unwrap_err();
    assert_eq!(refused.code(), RefusalCode::AuthUnavailable);
    assert!(refused.code().is_temporary() && !refused.code().is_authentication_failure());
}

#[test]
fn neither_refusals_nor_identities_nor_authenticators_show_a_token_or_a_key() {
    let authenticator = authenticator(AuthMode::Required);
    let mut shown = format!("{authenticator:?}");
    for name in ["none", "rs256_foreign", "es256_rotated", "hs256_expired", "hs512"] {
        let refusal = ask(&authenticator, token(name), NOW).unwrap_err();
        shown += &format!("{refusal} {refusal:?} {}", refusal.code().message());
    }
    shown += &format!("{:?}", ask(&authenticator, token("hs256"), NOW).unwrap());
    assert!(!shown.contains(token("secret")));
    for part in ["none", "rs256_foreign", "hs256", "hs256_expired"].iter().flat_map(|name| token(name).split('.')) {
        assert!(part.is_empty() || !shown.contains(part), "{part}");
    }
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_panics_or_gets_in(auth in proptest::collection::vec(any::<u8>(), 0..200), header in "\\PC{0,80}") {
        let request = Opening { headers: vec![("authorization", format!("Bearer {header}"))], query: header };
        prop_assert!(authenticator(AuthMode::Required).authenticate(Some(&auth), &request, NOW).is_err());
        prop_assert!(authenticator(AuthMode::Required).authenticate(None, &request, NOW).is_err());
    }
}
