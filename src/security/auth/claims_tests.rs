//! When a token holds, for whom, and who its bearer is.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_000_000;
const SKEW: u64 = 30;

fn rules() -> ClaimRules {
    ClaimRules { skew_seconds: SKEW, ..ClaimRules::default() }
}

/// Judges good claims with these changes; `null` takes a claim away.
fn judge_with(changes: &Value, rules: &ClaimRules) -> Result<Bearer, ClaimsError> {
    let mut claims = json!({"sub": "ada", "exp": NOW + 60});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    judge(claims.to_string().as_bytes(), rules, NOW)
}

#[test]
fn a_token_holds_until_it_expires_and_the_skew_longer() {
    let at = |exp: u64| judge_with(&json!({"exp": exp}), &rules());
    assert_eq!(at(NOW + 60).unwrap().expires_at, Some(NOW + 60 + SKEW));
    assert_eq!(at(NOW - SKEW + 1).unwrap().expires_at, Some(NOW + 1));
    assert_eq!(at(NOW - SKEW), Err(ClaimsError::Expired { ended_at: NOW, now: NOW }));
    assert_eq!(at(0).unwrap_err().to_string(), format!("the token expired {} s ago, skew included", NOW - SKEW));
    assert_eq!(at(u64::MAX).unwrap().expires_at, Some(u64::MAX));
}

#[test]
fn a_token_that_never_expires_is_refused_unless_that_is_allowed() {
    assert_eq!(judge_with(&json!({"exp": null}), &rules()), Err(ClaimsError::NeverExpires));
    let lax = ClaimRules { expiry_required: false, ..rules() };
    assert_eq!(judge_with(&json!({"exp": null}), &lax).unwrap().expires_at, None);
    assert!(
        matches!(judge_with(&json!({"exp": 5}), &lax), Err(ClaimsError::Expired { .. })),
        "one that is there counts"
    );
}

#[test]
fn not_before_and_issued_at_are_judged_with_the_skew() {
    for at in [0, NOW, NOW + SKEW] {
        assert!(judge_with(&json!({"nbf": at, "iat": at}), &rules()).is_ok(), "{at}");
    }
    let late = NOW + SKEW + 1;
    assert_eq!(judge_with(&json!({"nbf": late}), &rules()), Err(ClaimsError::NotYetValid { from: NOW + 1, now: NOW }));
    assert_eq!(judge_with(&json!({"iat": late}), &rules()), Err(ClaimsError::IssuedInFuture { at: NOW + 1, now: NOW }));
    assert!(judge_with(&json!({"nbf": u64::MAX}), &rules()).is_err());
}

#[test]
fn a_skew_beyond_the_bound_is_the_bound() {
    let generous = ClaimRules { skew_seconds: u64::MAX, ..rules() };
    assert!(judge_with(&json!({"exp": NOW - SKEW_SECONDS_MAX + 1}), &generous).is_ok());
    assert!(judge_with(&json!({"exp": NOW - SKEW_SECONDS_MAX}), &generous).is_err());
}

#[test]
fn a_date_of_the_wrong_type_is_an_error_and_not_an_absent_date() {
    // GHSA-h395-gr6q-cpjc was this mistake.
    let lax = ClaimRules { expiry_required: false, ..rules() };
    for wrong in [json!("99999999999"), json!(true), json!([NOW + 60]), json!({}), json!("never")] {
        for name in ["exp", "nbf", "iat"] {
            assert_eq!(judge_with(&json!({name: wrong}), &lax), Err(ClaimsError::NotADate(name)), "{wrong}");
        }
    }
    let null = format!(r#"{{"sub":"ada","exp":null,"nbf":{NOW}}}"#);
    assert_eq!(judge(null.as_bytes(), &lax, NOW), Err(ClaimsError::NotADate("exp")));
}

#[test]
fn dates_may_have_fractions_and_be_out_of_range() {
    assert_eq!(judge_with(&json!({"exp": 1_000_060.9}), &rules()).unwrap().expires_at, Some(NOW + 60 + SKEW));
    assert_eq!(judge_with(&json!({"exp": 1e300}), &rules()).unwrap().expires_at, Some(u64::MAX));
    assert!(matches!(judge_with(&json!({"exp": -1}), &rules()), Err(ClaimsError::Expired { .. })));
    assert!(matches!(judge_with(&json!({"exp": -1e300}), &rules()), Err(ClaimsError::Expired { .. })));
    assert!(judge_with(&json!({"nbf": -5, "iat": -5.5}), &rules()).is_ok());
    assert_eq!(judge(br#"{"sub":"ada","exp":1e999}"#, &rules(), NOW), Err(ClaimsError::Malformed));
}

#[test]
fn issuer_and_audience_are_checked_when_configured() {
    let strict = ClaimRules {
        issuers: vec!["https://a".to_owned(), "https://b".to_owned()],
        audiences: vec!["us".to_owned()],
        ..rules()
    };
    for (claims, expected) in [
        (json!({"iss": "https://a", "aud": "us"}), Ok(())),
        (json!({"iss": "https://b", "aud": ["them", "us"]}), Ok(())),
        (json!({"aud": "us"}), Err(ClaimsError::Issuer)),
        (json!({"iss": "https://a/", "aud": "us"}), Err(ClaimsError::Issuer)),
        (json!({"iss": ["https://a"], "aud": "us"}), Err(ClaimsError::Issuer)),
        (json!({"iss": 5, "aud": "us"}), Err(ClaimsError::Issuer)),
        (json!({"iss": "https://a"}), Err(ClaimsError::Audience)),
        (json!({"iss": "https://a", "aud": "them"}), Err(ClaimsError::Audience)),
        (json!({"iss": "https://a", "aud": []}), Err(ClaimsError::Audience)),
        (json!({"iss": "https://a", "aud": [["us"]]}), Err(ClaimsError::Audience)),
        (json!({"iss": "https://a", "aud": {"us": true}}), Err(ClaimsError::Audience)),
    ] {
        assert_eq!(judge_with(&claims, &strict).map(drop), expected, "{claims}");
    }
    assert!(judge_with(&json!({"iss": "anybody", "aud": "anyone"}), &rules()).is_ok());
}

#[test]
fn the_user_is_a_bounded_text_or_a_whole_number() {
    let user = |sub: Value| judge_with(&json!({"sub": sub}), &rules()).map(|bearer| bearer.user.to_string());
    assert_eq!(user(json!("auth0|5f7c")), Ok("auth0|5f7c".to_owned()));
    assert_eq!(user(json!("Grüße")), Ok("Grüße".to_owned()));
    assert_eq!(user(json!(42)), Ok("42".to_owned()));
    assert_eq!(user(json!(-1)), Ok("-1".to_owned()));
    assert_eq!(user(json!(u64::MAX)), Ok(u64::MAX.to_string()));
    assert_eq!(user(Value::Null), Err(ClaimsError::NoUser("sub".to_owned())));
    for wrong in [
        json!(""),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("x".repeat(257)),
        json!(1.5),
        json!(true),
        json!(["ada"]),
        json!({}),
    ] {
        assert_eq!(user(wrong.clone()), Err(ClaimsError::User("sub".to_owned())), "{wrong}");
    }
    assert!(user(json!("x".repeat(256))).is_ok());
}

#[test]
fn roles_are_a_list_or_words() {
    let roles = |value: Value| {
        judge_with(&json!({"roles": value}), &rules())
            .map(|bearer| bearer.roles.iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(roles(json!(["member", "admin"])).unwrap(), ["admin", "member"]);
    assert_eq!(roles(json!("member  admin ")).unwrap(), ["admin", "member"]);
    assert_eq!(roles(json!("")).unwrap(), [""; 0]);
    assert_eq!(roles(Value::Null).unwrap(), [""; 0]);
    for (wrong, reason) in [
        (json!(5), RolesRefused::Type),
        (json!({"admin": true}), RolesRefused::Type),
        (json!(["a", 5]), RolesRefused::Type),
        (json!([["admin"]]), RolesRefused::Type),
        (json!(["a", ""]), RolesRefused::Name),
        (json!(["x".repeat(129)]), RolesRefused::Name),
        (json!((0..129).map(|n| n.to_string()).collect::<Vec<_>>()), RolesRefused::TooMany),
    ] {
        let refused = Err(ClaimsError::Roles { claim: "roles".to_owned(), reason });
        assert_eq!(judge_with(&json!({"roles": wrong}), &rules()), refused, "{wrong}");
    }
}

#[test]
fn claims_may_have_other_names_and_stand_deeper() {
    let rules =
        |user: &str, roles: &str| ClaimRules { user: ClaimName::new(user), roles: ClaimName::new(roles), ..rules() };
    let claims = json!({
        "email": "ada@example.com",
        "https://example.com/roles": ["a"],
        "realm_access": {"roles": ["b"]},
        "a/b": {"c~d": ["c"]},
        "": ["d"],
    });
    for (roles, expected) in
        [("https://example.com/roles", "a"), ("/realm_access/roles", "b"), ("/a~1b/c~0d", "c"), ("/", "d"), ("", "d")]
    {
        let bearer = judge_with(&claims, &rules("email", roles)).unwrap();
        assert_eq!(bearer.roles.iter().collect::<Vec<_>>(), [expected], "{roles}");
        assert_eq!(&*bearer.user, "ada@example.com");
    }
    assert_eq!(judge_with(&claims, &rules("email", "/realm_access/none")).unwrap().roles, Roles::default());
    assert_eq!(judge_with(&claims, &rules("/none/deeper", "x")), Err(ClaimsError::NoUser("/none/deeper".to_owned())));
}

#[test]
fn a_payload_that_is_no_claims_set_is_refused() {
    let deep = format!(r#"{{"sub":"ada","exp":{},"x":{}{}}}"#, NOW + 60, "[".repeat(3000), "]".repeat(3000));
    for payload in [
        "",
        "null",
        "[]",
        r#""text""#,
        r#"[["sub","ada"]]"#,
        r#"{"sub":"ada","exp":9999999999"#,
        r#"{"sub":"ada","exp":9999999999} "x""#,
        r#"{"sub":"ada","exp":9999999999,"sub":"root"}"#,
        r#"{"sub":"ada","exp":9999999999,"\u0073ub":"root"}"#,
        deep.as_str(),
    ] {
        assert_eq!(judge(payload.as_bytes(), &rules(), NOW), Err(ClaimsError::Malformed), "{payload:.60}");
    }
    assert_eq!(judge(b"{\"sub\":\"\xff\",\"exp\":9999999999}", &rules(), NOW), Err(ClaimsError::Malformed));
}

proptest! {
    #[test]
    fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = judge(&payload, &rules(), NOW);
    }

    #[test]
    fn no_claim_panics(name in "(exp|nbf|iat|sub|roles|aud|iss)", value in "[-0-9eE.\"\\[\\]{}:,a-z ]{0,24}") {
        let _ = judge(format!(r#"{{"sub":"a","exp":2000000,"{name}":{value}}}"#).as_bytes(), &rules(), NOW);
        let _ = judge(format!(r#"{{"{name}":{value}}}"#).as_bytes(), &rules(), NOW);
    }

    #[test]
    fn no_token_is_accepted_after_its_end(exp in 0_u64..2_000_000, skew in 0_u64..400, now in 0_u64..2_000_000) {
        let rules = ClaimRules { skew_seconds: skew, ..ClaimRules::default() };
        let judged = judge(format!(r#"{{"sub":"a","exp":{exp}}}"#).as_bytes(), &rules, now);
        prop_assert_eq!(judged.is_ok(), now < exp + skew.min(SKEW_SECONDS_MAX));
    }
}
