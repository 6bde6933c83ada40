//! Replacing keys, and reading them from files.

use std::fs;

use super::super::jwt::{TOKEN_BYTES_MAX, verify};
use super::super::testing::{JWKS, JWKS_ROTATED, P256_PEM, RSA_PEM, base64url, secret_set, token};
use super::*;

fn jwks(text: &str) -> KeySet {
    keys_from_jwks(text.as_bytes(), Secrets::Taken).unwrap().keys
}

fn accepts(ring: &Keyring, name: &str) -> bool {
    verify(token(name), &ring.current(), TOKEN_BYTES_MAX).is_ok()
}

#[test]
fn each_part_is_replaced_on_its_own() {
    let ring = Keyring::new(secret_set()).unwrap();
    assert!(accepts(&ring, "hs256") && !accepts(&ring, "es256"));
    ring.replace_fetched(jwks(JWKS)).unwrap();
    assert!(accepts(&ring, "hs256") && accepts(&ring, "es256") && !accepts(&ring, "es256_rotated"));
    ring.replace_fetched(jwks(JWKS_ROTATED)).unwrap();
    assert!(accepts(&ring, "hs256") && !accepts(&ring, "es256") && accepts(&ring, "es256_rotated"));
    ring.replace_configured(keys_from_pem(P256_PEM.as_bytes()).unwrap()).unwrap();
    assert!(!accepts(&ring, "hs256") && accepts(&ring, "es256") && accepts(&ring, "es256_rotated"));
}

#[test]
fn too_many_keys_replace_nothing() {
    let keys = |count: u8| KeySet::new((0..count).map(|n| Key::hs256(&[n; 32]).unwrap())).unwrap();
    let ring = Keyring::new(keys(40)).unwrap();
    assert_eq!(ring.replace_fetched(keys(25)), Err(KeyError::TooMany { count: 65 }));
    assert_eq!(ring.current().len(), 40);
    ring.replace_fetched(keys(24)).unwrap();
    assert_eq!(ring.replace_configured(keys(41)), Err(KeyError::TooMany { count: 65 }));
    assert_eq!(ring.current().len(), 64);
}

#[test]
fn files_of_both_kinds_and_a_secret_make_one_set() {
    let dir = tempfile::tempdir().unwrap();
    let (pem, set) = (dir.path().join("keys.pem"), dir.path().join("jwks.json"));
    fs::write(&pem, RSA_PEM).unwrap();
    let entry = format!(r#"{{"keys":[{{"kty":"oct","k":"{}"}},{{"kty":"AKP"}}]}}"#, base64url(token("secret")));
    fs::write(&set, &entry).unwrap();
    let files = KeyFiles { pem: vec![pem.clone()], jwks: vec![set.clone()] };
    let read = files.read(Some(&[9; 32])).unwrap();
    assert_eq!(read.keys.len(), 3);
    assert_eq!(read.skipped.iter().map(|(path, skipped)| (path, skipped.entry)).collect::<Vec<_>>(), [(&set, 1)]);
    let ring = Keyring::new(read.keys).unwrap();
    assert!(accepts(&ring, "rs256") && !accepts(&ring, "es256"));

    fs::write(&pem, P256_PEM).unwrap();
    ring.replace_configured(files.read(None).unwrap().keys).unwrap();
    assert!(!accepts(&ring, "rs256") && accepts(&ring, "es256"), "a reload is a rotation");
    assert!(accepts(&ring, "hs256"), "a shared secret in a file of the server's own is taken");
}

#[test]
fn a_bad_file_is_named_and_its_content_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let pem = KeyFiles { pem: vec![path.clone()], jwks: Vec::new() };
    let set = KeyFiles { pem: Vec::new(), jwks: vec![path.clone()] };
    let told = |files: &KeyFiles| files.read(None).unwrap_err().to_string();
    assert!(told(&pem).contains("keys cannot be read"), "{}", told(&pem));
    fs::write(&path, "hush-hush").unwrap();
    for told in [told(&pem), told(&set)] {
        assert!(told.starts_with(path.to_str().unwrap()) && !told.contains("hush"), "{told}");
    }
    fs::write(&path, vec![b'x'; PEM_BYTES_MAX + 100]).unwrap();
    assert!(told(&pem).contains("262145 bytes"), "{}", told(&pem));
    assert!(told(&set).contains("262145 bytes"), "{}", told(&set));
    let short = KeyFiles::default().read(Some(b"hush-hush")).unwrap_err().to_string();
    assert!(short.contains("9 bytes") && !short.contains("hush"), "{short}");
    assert!(KeyFiles::default().read(None).unwrap().keys.is_empty());
}
