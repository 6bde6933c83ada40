use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const DOCUMENT: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!MD5:!DSS";
/// What OpenSSL itself says.
const FIXTURES: &str = include_str!("testdata/openssl_ciphers.tsv");

fn names(suites: &[SupportedCipherSuite]) -> Vec<&'static str> {
    suites.iter().copied().map(openssl_name).collect()
}

/// All that a string selects, offered or not, in its order.
fn selected(text: &str) -> Vec<&'static str> {
    let mut evaluation = Evaluation::new();
    let rest = text.strip_prefix("DEFAULT").inspect(|_| evaluation.items(DEFAULT_STRING).unwrap()).unwrap_or(text);
    evaluation.items(rest).unwrap();
    evaluation.list.iter().filter(|entry| entry.selected).map(|entry| entry.suite.openssl).collect()
}

#[test]
fn strings_select_what_openssl_selects_in_its_order() {
    let mut count = 0;
    for line in FIXTURES.lines().filter(|line| !line.starts_with('#')) {
        let (text, expected) = line.split_once('\t').unwrap();
        let expected: Vec<&str> = expected.split(':').filter(|name| !name.is_empty()).collect();
        assert_eq!(selected(text), expected, "{text}");
        let selection = evaluate(text).unwrap();
        let union: HashSet<&str> =
            names(&selection.offered).into_iter().chain(selection.dropped.iter().map(String::as_str)).collect();
        assert_eq!(union, expected.into_iter().collect(), "{text}");
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn the_documents_string_offers_six_suites_and_drops_three() {
    let selection = evaluate(DOCUMENT).unwrap();
    assert_eq!(
        names(&selection.offered),
        [
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-CHACHA20-POLY1305"
        ]
    );
    assert_eq!(
        selection.dropped,
        ["DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-CHACHA20-POLY1305"]
    );
    assert!(selection.ignored.is_empty());
}

#[test]
fn aesgcm_alone_leaves_no_chacha20() {
    let selection = evaluate("ECDHE+AESGCM").unwrap();
    assert_eq!(selection.offered.len(), 4);
    assert!(names(&selection.offered).iter().all(|name| name.contains("GCM")));
}

#[test]
fn every_suite_of_the_library_has_a_row_and_both_names() {
    for suite in ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_none()) {
        let name = openssl_name(*suite);
        assert_eq!(names(&evaluate(name).unwrap().offered), [name]);
        assert_eq!(names(&evaluate(suite.suite().as_str().unwrap()).unwrap().offered), [name]);
    }
    let tls13 = ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some());
    assert!(tls13.copied().map(openssl_name).all(|name| TLS13_NAMES.contains(&name)));
}

#[test]
fn unknown_words_are_refused_by_name() {
    for (text, word) in [
        ("ECDHE+AESGCM:FOO", "FOO"),
        ("ECDHE+FOO", "FOO"),
        ("!aNULLL:ECDHE", "aNULLL"),
        ("ecdhe+aesgcm", "ecdhe"),
        ("ECDHE-RSA-AES256-GCM-SHA512", "ECDHE-RSA-AES256-GCM-SHA512"),
        ("ECDHE:DEFAULT", "DEFAULT"),
        ("DEFAULTX", "DEFAULTX"),
        ("TLS_FOO_WITH_BAR", "TLS_FOO_WITH_BAR"),
        ("PSK-FOO", "PSK-FOO"),
    ] {
        assert_eq!(evaluate(text).unwrap_err(), CipherStringError::UnknownWord { word: word.to_owned() }, "{text}");
    }
}

#[test]
fn damaged_items_and_commands_are_refused() {
    for text in ["ECDHE+", "!", "-", "+", "++ECDHE", "ECDHE++AESGCM", "!!aNULL", "ECDHE&AESGCM", "ECDHÉ", "\u{1f512}"]
    {
        assert!(matches!(evaluate(text), Err(CipherStringError::Malformed { .. })), "{text}: {:?}", evaluate(text));
    }
    for text in ["@", "@STRENGTHS", "@SECLEVEL=", "@SECLEVEL=6", "@SECLEVEL=22", "ECDHE:@strength", "@é"] {
        assert!(matches!(evaluate(text), Err(CipherStringError::UnknownCommand { .. })), "{text}");
    }
    let long = "A:".repeat(CIPHER_STRING_BYTES_MAX);
    assert_eq!(evaluate(&long).unwrap_err(), CipherStringError::TooLong { bytes: long.len() });
}

#[test]
fn names_of_suites_that_openssl_dropped_are_known_and_never_offered() {
    let text = "DES-CBC3-SHA:EDH-RSA-DES-CBC3-SHA:ECDHE-RSA-CAMELLIA256-SHA384:ECDHE-RSA-AES128-GCM-SHA256";
    let selection = evaluate(text).unwrap();
    assert_eq!(names(&selection.offered), ["ECDHE-RSA-AES128-GCM-SHA256"]);
    assert_eq!(selection.dropped, ["DES-CBC3-SHA", "EDH-RSA-DES-CBC3-SHA", "ECDHE-RSA-CAMELLIA256-SHA384"]);
    let selection = evaluate("ECDHE:!RC4-SHA:!KRB5-DES-CBC3-SHA:!TLS_RSA_WITH_3DES_EDE_CBC_SHA").unwrap();
    assert_eq!(selection.offered.len(), 6);
    assert!(!selection.dropped.iter().any(|name| name.contains("DES")));
    assert!(evaluate("DES-CBC3-SHA:!DES-CBC3-SHA").unwrap().dropped.is_empty());
}

#[test]
fn what_has_no_effect_is_told() {
    let selection = evaluate("TLS_AES_256_GCM_SHA384:ECDHE+AESGCM:@SECLEVEL=2").unwrap();
    assert_eq!(selection.ignored, ["TLS_AES_256_GCM_SHA384", "@SECLEVEL=2"]);
    assert_eq!(selection.offered.len(), 4);
}

#[test]
fn an_empty_string_selects_nothing() {
    for text in ["", "  ", ":", ",;: "] {
        let selection = evaluate(text).unwrap();
        assert!(selection.offered.is_empty() && selection.dropped.is_empty(), "{text:?}");
    }
}

#[test]
fn names_in_the_table_are_unique() {
    let openssl: HashSet<&str> = SUITES.iter().map(|suite| suite.openssl).collect();
    let iana: HashSet<&str> = SUITES.iter().map(|suite| suite.iana).collect();
    assert_eq!((openssl.len(), iana.len()), (SUITES.len(), SUITES.len()));
}

fn any_item() -> impl Strategy<Value = String> {
    let words = ["ECDHE", "DHE", "AESGCM", "aRSA", "ALL", "HIGH", "CHACHA20", "ECDHE-RSA-AES256-GCM-SHA384", "X", ""];
    let word = prop::sample::select(words.to_vec());
    let prefix = prop::sample::select(vec!["", "!", "-", "+"]);
    (prefix, prop::collection::vec(word, 1..4)).prop_map(|(prefix, words)| format!("{prefix}{}", words.join("+")))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = evaluate(&text);
    }

    #[test]
    fn no_string_selects_a_suite_twice_nor_one_that_it_killed(items in prop::collection::vec(any_item(), 0..8)) {
        let text = format!("{}:!aRSA", items.join(":"));
        if let Ok(selection) = evaluate(&text) {
            let mut all = names(&selection.offered);
            all.extend(selection.dropped.iter().map(String::as_str));
            let distinct: HashSet<&str> = all.iter().copied().collect();
            prop_assert_eq!(distinct.len(), all.len());
            prop_assert!(!all.iter().any(|name| name.contains("-RSA-")));
        }
    }
}
