use proptest::prelude::*;

use super::super::test_files::{
    Authority, Directory, ENCRYPTED_PKCS1, ENCRYPTED_PKCS8, P256_PKCS8, P256_SEC1, RSA_PKCS1, RSA_PKCS8, set_mode,
};
use super::*;

#[test]
fn keys_of_every_form_are_found() {
    for (text, form) in [(RSA_PKCS8, "PKCS#8"), (RSA_PKCS1, "PKCS#1"), (P256_PKCS8, "PKCS#8"), (P256_SEC1, "SEC1")] {
        assert_eq!(key_form(&private_key(text.as_bytes()).unwrap()), form);
    }
    let windows = RSA_PKCS8.replace('\n', "\r\n");
    assert_eq!(private_key(windows.as_bytes()).unwrap(), private_key(RSA_PKCS8.as_bytes()).unwrap());
}

#[test]
fn encrypted_keys_are_refused_as_such() {
    assert!(ENCRYPTED_PKCS8.contains("BEGIN ENCRYPTED PRIVATE KEY"));
    assert!(ENCRYPTED_PKCS1.contains("Proc-Type: 4,ENCRYPTED"));
    for text in [ENCRYPTED_PKCS8, ENCRYPTED_PKCS1] {
        let refusal = private_key(text.as_bytes()).unwrap_err();
        assert_eq!(refusal.fault, Fault::Encrypted);
        assert!(refusal.reason.contains("encrypted"), "{}", refusal.reason);
    }
}

#[test]
fn what_is_no_key_file_is_told_apart() {
    let (certificate, key) = Authority::root("r").issue(&["localhost"]);
    let cut = key.replace("-----END PRIVATE KEY-----", "");
    for (text, fault, part) in [
        ("", Fault::Empty, "empty"),
        (" \n\n", Fault::Empty, "empty"),
        ("hello", Fault::NotPem, "not PEM"),
        ("0\u{2}\u{1}", Fault::NotPem, "DER"),
        (certificate.as_str(), Fault::NotPem, "but CERTIFICATE"),
        (cut.as_str(), Fault::NotPem, "no end"),
        ("-----BEGIN PRIVATE KEY----\nAAAA\n", Fault::NotPem, "damaged line"),
        ("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n", Fault::NotPem, "base64"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            Fault::NotPem,
            "but OPENSSH PRIVATE KEY",
        ),
    ] {
        let refusal = private_key(text.as_bytes()).unwrap_err();
        assert_eq!(refusal.fault, fault, "{text}");
        assert!(refusal.reason.contains(part), "{text}: {}", refusal.reason);
    }
}

#[test]
fn all_certificates_are_read_in_order_past_sections_of_other_kinds() {
    let root = Authority::root("r");
    let (first, key) = root.issue(&["one"]);
    let (second, _) = root.issue(&["two"]);
    let text = format!("Bag Attributes\n    friendlyName: x\n{first}{key}\n{second}");
    let list = certificates(text.as_bytes()).unwrap();
    let each: Vec<_> = [first, second].iter().flat_map(|pem| certificates(pem.as_bytes()).unwrap()).collect();
    assert_eq!(list, each);
    let refusal = certificates(key.as_bytes()).unwrap_err();
    assert_eq!(refusal.fault, Fault::NotPem);
    assert!(refusal.reason.contains("but PRIVATE KEY"), "{}", refusal.reason);
}

#[test]
fn more_certificates_than_any_bundle_has_are_refused() {
    let one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(
        certificates(one.repeat(PEM_FILE_CERTIFICATES_MAX).as_bytes()).unwrap().len(),
        PEM_FILE_CERTIFICATES_MAX
    );
    let refusal = certificates(one.repeat(PEM_FILE_CERTIFICATES_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(refusal.fault, Fault::TooLarge);
}

#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let directory = Directory::new();
    let file = directory.write("file", "content");
    set_mode(&file, 0o640);
    let content = read(&file).unwrap();
    assert_eq!((content.bytes.as_slice(), content.mode & 0o777), (b"content".as_slice(), 0o640));
    let missing = read(&directory.path("missing")).err().unwrap();
    assert_eq!(missing.fault, Fault::Unreadable);
    assert!(missing.reason.contains("No such file"), "{}", missing.reason);
    let folder = read(file.parent().unwrap()).err().unwrap();
    assert!(folder.reason.contains("regular file"), "{}", folder.reason);
    assert_eq!(read(Path::new("/dev/zero")).err().unwrap().fault, Fault::Unreadable);
    let bytes_max = usize::try_from(PEM_FILE_BYTES_MAX).unwrap();
    assert!(read(&directory.write("full", &"x".repeat(bytes_max))).is_ok());
    assert_eq!(read(&directory.write("over", &"x".repeat(bytes_max + 1))).err().unwrap().fault, Fault::TooLarge);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = certificates(&bytes);
        let _ = private_key(&bytes);
        let wrapped = [b"-----BEGIN CERTIFICATE-----\n".as_slice(), &bytes, b"\n-----END CERTIFICATE-----"].concat();
        let _ = certificates(&wrapped);
    }

    #[test]
    fn a_refusal_never_shows_the_files_content(content in "[A-Za-z0-9+/]{24,60}", cut in 0_usize..3) {
        let end = ["-----END PRIVATE KEY-----", "", "-----END"][cut];
        let text = format!("-----BEGIN PRIVATE KEY-----\n{content}!\n{end}\n");
        if let Err(refusal) = private_key(text.as_bytes()) {
            prop_assert!(!refusal.reason.contains(&content[..12]));
        }
    }
}
