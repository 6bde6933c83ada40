//! Tokens of the RFCs, of another implementation, and of nobody honest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::super::jwk::{Secrets, keys_from_jwks};
use super::super::keys::Key;
use super::super::pem_keys::keys_from_pem;
use super::super::testing::{JWKS, P256_PEM, RSA_PEM, base64url, secret, secret_set, signed, token};
use super::*;

/// The payload of RFC 7515, appendices A.1 to A.3 and A.5.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn set(jwks: &str) -> KeySet {
    keys_from_jwks(jwks.as_bytes(), Secrets::Taken).unwrap().keys
}

fn check(token: &str, keys: &KeySet) -> Result<Vec<u8>, SignatureError> {
    verify(token, keys, TOKEN_BYTES_MAX)
}

#[test]
fn the_tokens_of_rfc_7515_a_1_to_a_3_verify() {
    let keys = set(r#"{"keys":[
        {"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
        {"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
        {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
    ]}"#);
    assert_eq!(keys.len(), 3);
    let tokens = [
        format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        format!(
            "eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        ),
        format!(
            "eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        ),
    ];
    for token in tokens {
        let payload = check(&token, &keys).unwrap();
        assert!(payload.starts_with(br#"{"iss":"joe","#), "{token}");
    }
}

#[test]
fn the_token_of_rfc_8037_a_4_verifies_under_both_names_of_its_algorithm() {
    let keys = set(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#);
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(check(token, &keys).unwrap(), b"Example of Ed25519 signing");
    assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
}

#[test]
fn es512_and_the_unsecured_token_of_rfc_7515_are_refused() {
    let es512 = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    assert_eq!(check(es512, &set(JWKS)), Err(SignatureError::Algorithm));
    assert_eq!(check(&format!("eyJhbGciOiJub25lIn0.{PAYLOAD}."), &set(JWKS)), Err(SignatureError::Algorithm));
}

#[test]
fn tokens_of_another_implementation_verify() {
    let keys = set(JWKS).merged(&secret_set()).unwrap();
    for name in ["hs256", "hs256_kid", "rs256", "rs256_no_kid", "es256", "eddsa"] {
        let payload = check(token(name), &keys).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(String::from_utf8(payload).unwrap().contains("\"ada\""), "{name}");
    }
}

#[test]
fn other_algorithms_are_refused_even_of_the_right_key() {
    let keys = set(JWKS).merged(&secret_set()).unwrap();
    for name in ["none", "hs384", "hs512", "rs512", "ps256", "es384"] {
        assert_eq!(check(token(name), &keys), Err(SignatureError::Algorithm), "{name}");
    }
    for alg in ["None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS257", "ES256K", "RSA-OAEP", "dir"] {
        let token = signed(&format!(r#"{{"alg":"{alg}"}}"#), "{}");
        assert_eq!(check(&token, &keys), Err(SignatureError::Algorithm), "{alg:?}");
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    let unknown = |name: &str, kid: &str, keys: &KeySet| {
        let error = SignatureError::UnknownKid { algorithm: Algorithm::Hs256, kid: kid.to_owned() };
        assert_eq!(check(token(name), keys), Err(error), "{name}");
    };
    unknown("forged_with_rsa_pem", "rsa-1", &set(JWKS));
    unknown("forged_with_p256_pem", "ec-1", &set(JWKS));
    unknown("forged_with_ed25519_bytes", "ed-1", &set(JWKS));
    unknown("forged_with_rsa_pem", "rsa-1", &keys_from_pem(RSA_PEM.as_bytes()).unwrap());
    unknown("forged_with_p256_pem", "ec-1", &keys_from_pem(P256_PEM.as_bytes()).unwrap());
    let all = set(JWKS).merged(&secret_set()).unwrap();
    assert_eq!(check(token("forged_with_rsa_pem"), &all), Err(SignatureError::Signature(Algorithm::Hs256)));
}

#[test]
fn kid_selects_and_a_key_without_id_stands_in_for_any() {
    let secret = |kid: &str| secret().with_kid(kid).unwrap();
    let other = |kid: &str| Key::hs256(&[7; 32]).unwrap().with_kid(kid).unwrap();
    let ask = |keys: Vec<Key>, header: &str| check(&signed(header, "{}"), &KeySet::new(keys).unwrap());
    let (a, none) = (r#"{"alg":"HS256","kid":"a"}"#, r#"{"alg":"HS256"}"#);
    let wrong = SignatureError::Signature(Algorithm::Hs256);
    assert!(ask(vec![other("b"), secret("a")], a).is_ok());
    assert_eq!(ask(vec![secret("b"), other("a")], a), Err(wrong.clone()));
    assert!(matches!(ask(vec![secret("b")], a), Err(SignatureError::UnknownKid { .. })));
    assert!(ask(vec![other("a"), super::super::testing::secret()], a).is_ok());
    assert!(ask(vec![other("b"), secret("a")], none).is_ok());
    assert_eq!(ask(vec![other("b")], none), Err(wrong.clone()));
    assert_eq!(ask(Vec::new(), none), Err(SignatureError::NoKey(Algorithm::Hs256)));
    let mut many: Vec<Key> = (0..KEYS_TRIED_MAX).map(|n| other(&n.to_string())).collect();
    many.push(secret("last"));
    assert_eq!(ask(many, none), Err(wrong), "no more keys are tried than the bound says");
    let (unknown, long) = ("\u{e9}".repeat(100), KID_SHOWN_BYTES_MAX);
    match ask(vec![secret("b")], &format!(r#"{{"alg":"HS256","kid":"{unknown}"}}"#)) {
        Err(SignatureError::UnknownKid { kid, .. }) => assert!(kid.len() <= long && unknown.starts_with(&kid)),
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn a_foreign_key_of_the_same_name_does_not_verify() {
    assert_eq!(check(token("rs256_foreign"), &set(JWKS)), Err(SignatureError::Signature(Algorithm::Rs256)));
}

#[test]
fn a_changed_bit_anywhere_is_refused() {
    let keys = set(JWKS).merged(&secret_set()).unwrap();
    for name in ["hs256", "rs256", "es256", "eddsa"] {
        let parts: Vec<Vec<u8>> = token(name).split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        for part in 0..3 {
            for at in (0..parts[part].len()).step_by(7) {
                let mut changed = parts.clone();
                changed[part][at] ^= 1;
                let changed: Vec<String> = changed.iter().map(base64url).collect();
                assert!(check(&changed.join("."), &keys).is_err(), "{name}, part {part}, byte {at}");
            }
            let mut shorter = parts.clone();
            shorter[part].pop();
            let shorter: Vec<String> = shorter.iter().map(base64url).collect();
            assert!(check(&shorter.join("."), &keys).is_err(), "{name}, part {part}, shortened");
        }
        let (head, _) = token(name).rsplit_once('.').unwrap();
        assert!(check(&format!("{head}."), &keys).is_err(), "{name} without signature");
        assert!(check(&format!("{head}.{}", base64url([0; 64])), &keys).is_err(), "{name} with zeros");
    }
}

#[test]
fn what_is_no_compact_jws_is_refused() {
    let keys = secret_set();
    let good = token("hs256");
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b".to_owned(),
        format!("{good}.x"),
        format!("{good}.x.y"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        good.replace('.', ".\u{0}"),
        good.replacen('.', "", 1),
        format!("{}{}", good, "\u{e9}"),
        signed(r#"["HS256"]"#, "{}"),
        signed("null", "{}"),
        signed("{}", "{}"),
        signed(r#"{"alg":5}"#, "{}"),
        signed(r#"{"alg":["HS256"]}"#, "{}"),
        signed(r#"{"alg":"HS256","kid":5}"#, "{}"),
        signed(r#"{"alg":"HS256"} x"#, "{}"),
        signed(r#"{"alg":"none","alg":"HS256"}"#, "{}"),
        signed(r#"{"alg":"HS256","kid":"a","kid":"b"}"#, "{}"),
    ] {
        assert!(matches!(check(&bad, &keys), Err(SignatureError::Malformed(_))), "{bad:?}: {:?}", check(&bad, &keys));
    }
}

#[test]
fn deep_nesting_in_a_header_harms_nobody() {
    let deep = format!(r#"{{"x":{}{},"alg":"HS256"}}"#, "[".repeat(2500), "]".repeat(2500));
    assert_eq!(check(&signed(&deep, "{}"), &secret_set()).unwrap(), b"{}", "what is not looked at is only skipped");
    let open = format!(r#"{{"alg":{}"#, "[".repeat(5000));
    assert!(matches!(check(&signed(&open, "{}"), &secret_set()), Err(SignatureError::Malformed(_))));
}

#[test]
fn base64url_with_bits_to_spare_is_refused() {
    // 32 bytes leave two bits over: another last letter must not give a second form of the same token.
    let (head, last) = token("hs256").split_at(token("hs256").len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let forms: Vec<char> =
        alphabet.chars().filter(|letter| check(&format!("{head}{letter}"), &secret_set()).is_ok()).collect();
    assert_eq!(forms, last.chars().collect::<Vec<_>>());
}

#[test]
fn critical_extensions_are_refused_whatever_they_are() {
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "5", r#""exp""#] {
        let token = signed(&format!(r#"{{"alg":"HS256","crit":{crit},"b64":false}}"#), "{}");
        assert_eq!(check(&token, &secret_set()), Err(SignatureError::Critical), "{crit}");
    }
}

#[test]
fn keys_in_a_token_are_not_looked_at() {
    let jwk = format!(r#"{{"kty":"oct","k":"{}"}}"#, base64url(token("secret")));
    let token = signed(&format!(r#"{{"alg":"HS256","jwk":{jwk},"jku":"https://evil.example/keys"}}"#), "{}");
    let keys = KeySet::new([Key::hs256(&[1; 32]).unwrap()]).unwrap();
    assert_eq!(check(&token, &keys), Err(SignatureError::Signature(Algorithm::Hs256)));
}

#[test]
fn a_long_token_is_refused_unread() {
    let long = signed(r#"{"alg":"HS256"}"#, "x".repeat(TOKEN_BYTES_MAX));
    let error = SignatureError::TooLong { bytes: long.len(), bytes_max: TOKEN_BYTES_MAX };
    assert_eq!(check(&long, &secret_set()), Err(error));
    assert!(verify(&long, &secret_set(), long.len()).is_ok());
}

#[test]
fn no_refusal_shows_the_token() {
    let keys = set(JWKS);
    for name in ["none", "hs256", "rs256_foreign", "forged_with_rsa_pem", "es384"] {
        let text = format!("{0} {0:?}", check(token(name), &keys).unwrap_err());
        for part in token(name).split('.').filter(|part| !part.is_empty()) {
            assert!(!text.contains(part), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        prop_assert!(check(&text, &secret_set()).is_err());
    }

    #[test]
    fn no_header_and_payload_panic(header in "\\PC{0,60}", payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = check(&signed(&header, &payload), &secret_set());
    }

    #[test]
    fn no_header_with_the_right_names_panics(
        alg in "(HS256|RS256|ES256|EdDSA)", kid in "[a-z0-9-]{0,8}", signature in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let header = serde_json::json!({"alg": alg, "kid": kid}).to_string();
        let token = format!("{}.{}.{}", base64url(header), base64url("{}"), base64url(signature));
        prop_assert!(check(&token, &set(JWKS).merged(&secret_set()).unwrap()).is_err());
    }
}
