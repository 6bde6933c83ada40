//! Policy files: every mistake has its line, and nothing is guessed.

use proptest::prelude::*;

use super::super::identity::Identity;
use super::super::policy::Action;
use super::*;

/// A file with one namespace and one rule; the rule's lines are 6 and on.
fn with_rule(rule: &str) -> String {
    format!(
        "version = 1\n[namespaces.\"/\"]\nconnect = [\"anyone\"]\notherwise = \"deny\"\n[[namespaces.\"/\".rules]]\n{rule}\n"
    )
}

fn mistakes(text: &str) -> Vec<(usize, String)> {
    match Policy::from_toml(text) {
        Ok(_) => Vec::new(),
        Err(error) => error.mistakes.into_iter().map(|mistake| (mistake.line, mistake.reason)).collect(),
    }
}

#[test]
fn each_mistake_is_told_with_its_line_and_reason() {
    const GOOD: &str = "allow = [\"join\"]\nwho = [\"anyone\"]\nrooms = [\"r\"]";
    assert_eq!(mistakes(&with_rule(GOOD)), []);
    let table = [
        (String::new(), 1, "version is missing"),
        ("version = 2".to_owned(), 1, "version is not known"),
        ("version = \"1\"".to_owned(), 1, "version is not known"),
        (
            "version = 1\nnamespace = {}".to_owned(),
            2,
            "\"namespace\" is not known; accepted: version, default, namespaces",
        ),
        ("version = 1\nversion = 1".to_owned(), 2, "not TOML: duplicate key"),
        ("version = 1\n\n[namespaces".to_owned(), 3, "not TOML"),
        ("version = 1\nnamespaces = 5".to_owned(), 2, "namespaces: not a table"),
        ("version = 1\ndefault = []".to_owned(), 2, "[default]: not a table"),
        ("version = 1\n[default]\nconnect = []".to_owned(), 2, "otherwise is missing"),
        ("version = 1\n[default]\notherwise = \"deny\"".to_owned(), 2, "connect is missing"),
        ("version = 1\n[default]\nconnect = []\notherwise = \"Deny\"".to_owned(), 4, "otherwise: accepted"),
        ("version = 1\n[default]\nconnect = []\notherwise = true".to_owned(), 4, "otherwise: accepted"),
        ("version = 1\n[default]\nconnect = \"anyone\"\notherwise = \"deny\"".to_owned(), 3, "connect: not a list"),
        (
            "version = 1\n[default]\nconnect = [\"admin\"]\notherwise = \"deny\"".to_owned(),
            3,
            "connect: \"admin\"; accepted",
        ),
        (
            "version = 1\n[default]\nconnect = [\"role:\"]\notherwise = \"deny\"".to_owned(),
            3,
            "a role has 1 to 128 bytes",
        ),
        ("version = 1\n[default]\nconnect = [5]\notherwise = \"deny\"".to_owned(), 3, "an entry is not a text"),
        ("version = 1\n[default]\nconnect = []\notherwise = \"deny\"\nrules = 5".to_owned(), 5, "rules: not a list"),
        (
            "version = 1\n[default]\nconnect = []\notherwise = \"deny\"\nrules = [5]".to_owned(),
            5,
            "a rule: not a table",
        ),
        (
            "version = 1\n[namespaces.chat]\nconnect = []\notherwise = \"deny\"".to_owned(),
            2,
            "\"chat\" is no namespace",
        ),
        (with_rule("who = [\"anyone\"]\nrooms = [\"r\"]"), 5, "either allow or deny"),
        (with_rule(&format!("{GOOD}\ndeny = [\"join\"]")), 5, "either allow or deny"),
        (
            with_rule(&GOOD.replace("join", "connect")),
            6,
            "allow: \"connect\"; accepted: \"join\", \"publish\", \"broadcast\"",
        ),
        (with_rule(&GOOD.replace("\"join\"", "")), 6, "allow: the list is empty"),
        (with_rule(&GOOD.replace("anyone", "everyone")), 7, "who: \"everyone\"; accepted"),
        (with_rule("allow = [\"join\"]\nrooms = [\"r\"]"), 5, "who is missing"),
        (with_rule("allow = [\"join\"]\nwho = [\"anyone\"]"), 5, "rooms are missing"),
        (with_rule("allow = [\"broadcast\"]\nwho = [\"anyone\"]\nrooms = [\"r\"]"), 8, "leave rooms out"),
        (with_rule(&GOOD.replace("\"r\"", "")), 8, "rooms: the list is empty"),
        (with_rule(&GOOD.replace("\"r\"", "\n\"ok\",\n\"a*b*\",\n")), 10, "rooms: \"a*b*\": a segment"),
        (with_rule(&GOOD.replace("\"r\"", "\"x-{user}\"")), 8, "{user} is a whole segment"),
        (with_rule(&format!("{GOOD}\nroom = \"r\"")), 9, "\"room\" is not known; accepted: allow, deny, who, rooms"),
    ];
    for (text, line, reason) in table {
        let found = mistakes(&text);
        assert!(
            found.iter().any(|(at, told)| *at == line && told.contains(reason)),
            "line {line}: {reason}\n{text}\n{found:#?}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "version = 1\n[default]\nconnect = [\"x\"]\notherwise = 1\n[namespaces.\"/\"]\nconnect = [\"y\"]\n";
    let told = Policy::from_toml(text).unwrap_err();
    let lines: Vec<usize> = told.mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [3, 4, 5, 6]);
    assert!(told.to_string().starts_with("line 3: connect: \"x\"; accepted: "), "{told}");
    let many = "[[namespaces.\"/\".rules]]\n".repeat(50);
    let told = mistakes(&format!("version = 1\n[namespaces.\"/\"]\nconnect = []\notherwise = \"deny\"\n{many}"));
    assert_eq!(told.len(), MISTAKES_MAX);
}

#[test]
fn a_file_is_bounded() {
    let refused = |text: String, reason: &str| {
        let told = mistakes(&text);
        assert!(told.iter().any(|(_, told)| told.contains(reason)), "{reason}: {told:?}");
    };
    refused(format!("version = 1\n#{}", "x".repeat(POLICY_BYTES_MAX)), "accepted: 262144");
    let namespaces: String =
        (0..=NAMESPACES_MAX).map(|n| format!("[namespaces.\"/{n}\"]\nconnect = []\notherwise = \"deny\"\n")).collect();
    refused(format!("version = 1\n{namespaces}"), "257 namespaces");
    let rule = "[[default.rules]]\nallow = [\"broadcast\"]\nwho = []\n";
    refused(format!("version = 1\n[default]\nconnect = []\notherwise = \"deny\"\n{}", rule.repeat(257)), "257 rules");
    let list = format!("[{}]", "\"r\",".repeat(65));
    refused(with_rule(&format!("allow = [\"join\"]\nwho = [\"anyone\"]\nrooms = {list}")), "rooms: 65 entries");
    let long = format!("allow = [\"join\"]\nwho = [\"anyone\"]\nrooms = [\"{}\"]", "r".repeat(257));
    refused(with_rule(&long), "a pattern has 1 to 256 bytes");
    refused(
        format!("version = 1\n[namespaces.\"/{}\"]\nconnect = []\notherwise = \"deny\"", "n".repeat(256)),
        "is no namespace",
    );
}

#[test]
fn a_file_may_open_admin_and_says_so_itself() {
    let text = "version = 1\n[namespaces.\"/admin\"]\nconnect = [\"anyone\"]\notherwise = \"deny\"\n";
    let policy = Policy::from_toml(text).unwrap();
    assert!(policy.decide("/admin", Action::Connect, &Identity::anonymous()).is_allowed());
    assert!(!policy.decide("/admin", Action::Broadcast, &Identity::anonymous()).is_allowed());
    let closed = Policy::from_toml("version = 1\n[default]\nconnect = [\"anyone\"]\notherwise = \"allow\"\n").unwrap();
    assert!(!closed.decide("/admin", Action::Connect, &Identity::anonymous()).is_allowed());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,120}") {
        let _ = Policy::from_toml(&text);
    }

    #[test]
    fn no_likely_text_panics(lines in proptest::collection::vec(
        "(version = 1|\\[default\\]|\\[namespaces.\"/\"\\]|\\[\\[default.rules\\]\\]|connect = \\[.{0,9}\\]|otherwise = .{0,6}|allow = \\[\"(join|publish|ä)\"\\]|who = \\[\"[a-z:]{0,9}\"\\]|rooms = \\[\"[a*:{}]{0,9}\"\\])", 0..12,
    )) {
        let _ = Policy::from_toml(&lines.join("\n"));
    }
}
