//! PEM files: the three kinds of keys, and what people give by mistake.

use proptest::prelude::*;

use super::super::jwt::{Algorithm, TOKEN_BYTES_MAX, verify};
use super::super::testing::{ED25519_PEM, P256_PEM, RSA_PEM, token};
use super::*;

const RSA_PKCS1_PEM: &str = include_str!("fixtures/rsa_pkcs1.pem");

#[test]
fn each_kind_of_public_key_verifies_its_tokens() {
    for (pem, name, algorithm) in [
        (RSA_PEM, "rs256", Algorithm::Rs256),
        (RSA_PKCS1_PEM, "rs256", Algorithm::Rs256),
        (P256_PEM, "es256", Algorithm::Es256),
        (ED25519_PEM, "eddsa", Algorithm::EdDsa),
    ] {
        let keys = keys_from_pem(pem.as_bytes()).unwrap();
        let found: Vec<_> = keys.iter().map(|key| (key.algorithm(), key.kid())).collect();
        assert_eq!(found, [(algorithm, None)]);
        assert!(verify(token(name), &keys, TOKEN_BYTES_MAX).is_ok(), "{name}");
    }
}

#[test]
fn several_keys_may_stand_in_one_file() {
    let text = format!("the old one:\n{RSA_PEM}\nthe new ones:\n{P256_PEM}{}", ED25519_PEM.replace('\n', "\r\n"));
    let keys = keys_from_pem(text.as_bytes()).unwrap();
    for name in ["rs256", "es256", "eddsa"] {
        assert!(verify(token(name), &keys, TOKEN_BYTES_MAX).is_ok(), "{name}");
    }
}

#[test]
fn a_private_key_is_refused_with_a_clear_line_also_beside_a_public_one() {
    let private = include_str!("fixtures/private_pkcs8.pem");
    let error = keys_from_pem(format!("{RSA_PEM}{private}").as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "section 2 is a private key (PRIVATE KEY): whoever signs the tokens keeps it, this server needs the public key \
         (openssl pkey -in KEY -pubout)"
    );
    for label in ["RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
        let text = private.replace("PRIVATE KEY", label);
        assert!(matches!(keys_from_pem(text.as_bytes()), Err(PemKeysError::Private { section: 1, .. })), "{label}");
    }
}

#[test]
fn other_things_are_refused_by_name() {
    let relabelled = |label: &str| RSA_PEM.replace("PUBLIC KEY", label);
    let table = [
        (relabelled("CERTIFICATE"), "section 1 is a certificate"),
        (relabelled("SSH2 PUBLIC KEY"), "section 1 is \"SSH2 PUBLIC KEY\""),
        (relabelled("RSA PUBLIC KEY"), "section 1 is not a public key"),
        (RSA_PKCS1_PEM.replace("RSA PUBLIC KEY", "PUBLIC KEY"), "section 1 is not a public key"),
        (include_str!("fixtures/p384.pem").to_owned(), "not of curve P-256"),
        (include_str!("fixtures/ed448.pem").to_owned(), "section 1 is a key of another kind"),
        (include_str!("fixtures/rsa_1024.pem").to_owned(), "the RSA key has 1024 bits; accepted: 2048 to 8192"),
        (String::new(), "no PEM section"),
        ("an-hs256-secret-0123456789012345678901234567890".to_owned(), "no PEM section"),
        ("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n".to_owned(), "not PEM"),
        (RSA_PEM.replace("END PUBLIC", "END OTHER"), "not PEM"),
        ("x".repeat(PEM_BYTES_MAX + 1), "262145 bytes"),
    ];
    for (text, reason) in table {
        let error = keys_from_pem(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error} does not have {reason}");
    }
    let many = P256_PEM.repeat(super::super::keys::KEYS_MAX + 1);
    assert!(matches!(keys_from_pem(many.as_bytes()), Err(PemKeysError::Set(KeyError::TooMany { .. }))));
}

#[test]
fn der_with_something_behind_it_or_cut_off_is_refused() {
    for text in [RSA_PEM, RSA_PKCS1_PEM, P256_PEM, ED25519_PEM] {
        let section = pem::parse(text).unwrap();
        let with = |der: Vec<u8>| keys_from_pem(pem::encode(&pem::Pem::new(section.tag(), der)).as_bytes());
        assert!(with(section.contents().to_vec()).is_ok());
        assert!(with([section.contents(), &[0]].concat()).is_err());
        for length in 0..section.contents().len() {
            assert!(with(section.contents()[..length].to_vec()).is_err(), "{} cut to {length}", section.tag());
        }
    }
}

proptest! {
    #[test]
    fn no_der_panics(der in proptest::collection::vec(any::<u8>(), 0..200), label in "(RSA )?PUBLIC KEY") {
        let _ = keys_from_pem(pem::encode(&pem::Pem::new(label, der)).as_bytes());
    }

    #[test]
    fn no_changed_byte_panics(at in 0_usize..1000, byte in any::<u8>()) {
        for text in [RSA_PEM, P256_PEM, ED25519_PEM] {
            let mut der = pem::parse(text).unwrap().into_contents();
            let at = at % der.len();
            der[at] = byte;
            let _ = keys_from_pem(pem::encode(&pem::Pem::new("PUBLIC KEY", der)).as_bytes());
        }
    }
}
