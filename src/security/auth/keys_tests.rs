//! What keys are accepted, and what of them is seen.

use super::*;

#[test]
fn secrets_that_can_be_guessed_are_refused_with_the_reason() {
    assert_eq!(Key::hs256(b"secret").unwrap_err(), KeyError::SecretLength { bytes: 6 });
    assert_eq!(
        Key::hs256(&[1; SECRET_BYTES_MIN - 1]).unwrap_err().to_string(),
        "the secret has 31 bytes; accepted: 32 to 4096 random bytes"
    );
    assert!(Key::hs256(&[1; SECRET_BYTES_MIN]).is_ok());
    assert!(Key::hs256(&[1; SECRET_BYTES_MAX]).is_ok());
    assert!(Key::hs256(&[1; SECRET_BYTES_MAX + 1]).is_err());
    assert_eq!(Key::hs256(include_bytes!("fixtures/rsa.pem")).unwrap_err(), KeyError::SecretIsPem);
}

#[test]
fn rsa_keys_are_of_a_sound_size_and_exponent() {
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] = u8::try_from((1_u32 << ((bits - 1) % 8 + 1)) - 1).unwrap();
        bytes
    };
    for (bits, good) in [(1024, false), (2047, false), (2048, true), (3072, true), (8192, true), (8193, false)] {
        match Key::rs256(&modulus(bits), &[1, 0, 1]) {
            Ok(key) => assert!(good && key.algorithm() == Algorithm::Rs256, "{bits}"),
            Err(error) => assert!(!good && error == KeyError::RsaBits { bits }, "{bits}: {error}"),
        }
    }
    assert_eq!(Key::rs256(&[], &[3]).unwrap_err(), KeyError::RsaBits { bits: 0 });
    assert_eq!(Key::rs256(&[0; 300], &[3]).unwrap_err(), KeyError::RsaBits { bits: 0 });
    assert!(
        Key::rs256(&[&[0, 0][..], &modulus(2048)].concat(), &[0, 0, 0, 1, 0, 1]).is_ok(),
        "leading zeros are dropped"
    );
    for (exponent, good) in [
        (&[][..], false),
        (&[0], false),
        (&[1], false),
        (&[2], false),
        (&[3], true),
        (&[1, 0, 0], false),
        (&[1, 0xff, 0xff, 0xff, 0xff], true),
        (&[2, 0, 0, 0, 1], false),
        (&[1, 0, 0, 0, 0, 1], false),
        (&[9; 300], false),
    ] {
        assert_eq!(Key::rs256(&modulus(2048), exponent).is_ok(), good, "{exponent:?}");
    }
}

#[test]
fn points_and_ids_have_one_form() {
    let mut point = [1; 65];
    assert!(Key::es256(&point).is_err());
    point[0] = 4;
    assert!(Key::es256(&point).is_ok());
    assert!(Key::es256(&point[..64]).is_err());
    point[0] = 2;
    assert!(Key::es256(&point[..33]).is_err(), "compressed");
    assert!(Key::ed25519(&[0; 32]).is_ok());
    assert!(Key::ed25519(&[0; 31]).is_err() && Key::ed25519(&[0; 57]).is_err());
    let key = || Key::hs256(&[1; 32]).unwrap();
    assert_eq!(key().with_kid("k").unwrap().kid(), Some("k"));
    assert_eq!(key().with_kid("").unwrap_err(), KeyError::KidLength { bytes: 0 });
    assert!(key().with_kid(&"k".repeat(KID_BYTES_MAX)).is_ok());
    assert!(key().with_kid(&"k".repeat(KID_BYTES_MAX + 1)).is_err());
}

#[test]
fn a_point_that_is_on_no_curve_verifies_nothing() {
    let mut point = [7; 65];
    point[0] = 4;
    assert!(!Key::es256(&point).unwrap().verifies(b"signed", &[1; 64]));
}

#[test]
fn a_set_is_bounded_also_when_two_are_merged() {
    let keys = |count: usize| (0..count).map(|_| Key::hs256(&[1; 32]).unwrap());
    assert_eq!(KeySet::new(keys(KEYS_MAX)).unwrap().len(), KEYS_MAX);
    assert_eq!(KeySet::new(keys(KEYS_MAX + 1)).unwrap_err(), KeyError::TooMany { count: KEYS_MAX + 1 });
    let (half, rest) = (KeySet::new(keys(40)).unwrap(), KeySet::new(keys(24)).unwrap());
    assert_eq!(half.merged(&rest).unwrap().len(), 64);
    assert_eq!(half.merged(&half).unwrap_err(), KeyError::TooMany { count: 80 });
    assert!(KeySet::default().is_empty() && !half.is_empty());
}

#[test]
fn no_key_is_shown() {
    let secret = "correct horse battery staple, thirty-two";
    let set = KeySet::new([Key::hs256(secret.as_bytes()).unwrap().with_kid("k1").unwrap()]).unwrap();
    let shown = format!("{set:?}");
    assert_eq!(shown, r#"KeySet { keys: [Key { kid: Some("k1"), algorithm: Hs256, .. }] }"#);
}
