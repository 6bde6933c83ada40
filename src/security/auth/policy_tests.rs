//! Who may do what: the built-in policies, and the example of the module's documentation.

use super::super::identity::{Roles, TokenSource};
use super::*;

const EXAMPLE: &str = r#"
version = 1

[default]                              # namespaces without a table of their own
connect = ["authenticated"]
otherwise = "allow"

[namespaces."/chat"]
connect = ["authenticated"]
otherwise = "deny"                     # what no rule below decides

[[namespaces."/chat".rules]]           # 1. The muted read and do not write: first, so it holds for muted moderators too.
deny = ["publish", "broadcast"]
who = ["role:muted"]
rooms = ["**"]

[[namespaces."/chat".rules]]           # 2. Moderators may do everything.
allow = ["join", "publish", "broadcast"]
who = ["role:moderator"]
rooms = ["**"]

[[namespaces."/chat".rules]]           # 3. Everybody reads the announcements, and rule 2 lets moderators write them.
allow = ["join"]
who = ["authenticated"]
rooms = ["announcements"]

[[namespaces."/chat".rules]]           # 4. Public rooms, and one's own inbox to read.
allow = ["join", "publish"]
who = ["authenticated"]
rooms = ["public:*"]

[[namespaces."/chat".rules]]
allow = ["join"]
who = ["authenticated"]
rooms = ["inbox:{user}"]

[[namespaces."/chat".rules]]           # 5. Anybody's inbox to write to.
allow = ["publish"]
who = ["authenticated"]
rooms = ["inbox:*"]
"#;

const FORBIDDEN: Decision = Decision::Denied(RefusalCode::Forbidden);
const AUTH_REQUIRED: Decision = Decision::Denied(RefusalCode::AuthRequired);

fn user(name: &str, roles: &[&str]) -> Identity {
    Identity::of(name.into(), Roles::new(roles.iter().copied()).unwrap(), None, TokenSource::AuthObject)
}

#[test]
fn the_example_does_what_its_comments_say() {
    let policy = Policy::from_toml(EXAMPLE).unwrap();
    let (ada, bob) = (user("ada", &["member"]), user("bob", &["moderator"]));
    let (muted, both) = (user("eve", &["muted"]), user("mod", &["moderator", "muted"]));
    let anonymous = Identity::anonymous();
    use Action::{Broadcast, Connect, Join, Publish};
    let table = [
        (&anonymous, "/chat", Connect, AUTH_REQUIRED),
        (&ada, "/chat", Connect, Decision::Allowed),
        (&ada, "/chat", Join("public:rust"), Decision::Allowed),
        (&ada, "/chat", Publish("public:rust"), Decision::Allowed),
        (&ada, "/chat", Join("public:rust:staff"), FORBIDDEN),
        (&ada, "/chat", Join("announcements"), Decision::Allowed),
        (&ada, "/chat", Publish("announcements"), FORBIDDEN),
        (&ada, "/chat", Join("inbox:ada"), Decision::Allowed),
        (&ada, "/chat", Join("inbox:bob"), FORBIDDEN),
        (&ada, "/chat", Publish("inbox:bob"), Decision::Allowed),
        (&ada, "/chat", Join("staff"), FORBIDDEN),
        (&ada, "/chat", Broadcast, FORBIDDEN),
        (&bob, "/chat", Publish("announcements"), Decision::Allowed),
        (&bob, "/chat", Join("staff"), Decision::Allowed),
        (&bob, "/chat", Broadcast, Decision::Allowed),
        (&muted, "/chat", Join("public:rust"), Decision::Allowed),
        (&muted, "/chat", Publish("public:rust"), FORBIDDEN),
        (&both, "/chat", Join("staff"), Decision::Allowed),
        (&both, "/chat", Publish("public:rust"), FORBIDDEN),
        (&both, "/chat", Broadcast, FORBIDDEN),
        (&ada, "/elsewhere", Connect, Decision::Allowed),
        (&ada, "/elsewhere", Publish("anything"), Decision::Allowed),
        (&anonymous, "/elsewhere", Connect, AUTH_REQUIRED),
        (&ada, "/admin", Connect, FORBIDDEN),
        (&bob, "/admin", Connect, FORBIDDEN),
        (&user("root", &["admin"]), "/admin", Connect, Decision::Allowed),
        (&anonymous, "/admin", Connect, AUTH_REQUIRED),
    ];
    for (identity, namespace, action, decision) in table {
        assert_eq!(policy.decide(namespace, action, identity), decision, "{identity:?} {namespace} {action:?}");
    }
}

#[test]
fn the_example_is_the_one_in_the_documentation() {
    let documented: Vec<&str> = include_str!("policy.rs")
        .lines()
        .skip_while(|line| !line.starts_with("//! ```toml"))
        .skip(1)
        .take_while(|line| !line.starts_with("//! ```"))
        .map(|line| line.trim_start_matches("//!").trim())
        .collect();
    assert_eq!(documented, EXAMPLE.trim().lines().collect::<Vec<_>>());
}

#[test]
fn without_a_file_everything_is_open_when_authentication_is_off() {
    let policy = Policy::built_in(AuthMode::Off);
    for namespace in ["/", "/chat", "/admin"] {
        for action in [Action::Connect, Action::Join("r"), Action::Publish("r"), Action::Broadcast] {
            assert!(policy.decide(namespace, action, &Identity::anonymous()).is_allowed(), "{namespace} {action:?}");
        }
    }
}

#[test]
fn without_a_file_users_may_connect_to_all_but_admin() {
    let (anonymous, ada, root) =
        (Identity::anonymous(), user("ada", &["administrator", "Admin"]), user("r", &["admin"]));
    let connect = |mode, namespace, identity| Policy::built_in(mode).decide(namespace, Action::Connect, identity);
    for (mode, namespace, identity, decision) in [
        (AuthMode::Required, "/", &anonymous, AUTH_REQUIRED),
        (AuthMode::Required, "/", &ada, Decision::Allowed),
        (AuthMode::Required, "/x", &ada, Decision::Allowed),
        (AuthMode::Required, "/admin", &ada, FORBIDDEN),
        (AuthMode::Required, "/admin", &anonymous, AUTH_REQUIRED),
        (AuthMode::Required, "/admin", &root, Decision::Allowed),
        (AuthMode::Optional, "/", &anonymous, Decision::Allowed),
        (AuthMode::Optional, "/", &ada, Decision::Allowed),
        (AuthMode::Optional, "/admin", &anonymous, AUTH_REQUIRED),
        (AuthMode::Optional, "/admin", &ada, FORBIDDEN),
        (AuthMode::Optional, "/admin", &root, Decision::Allowed),
    ] {
        assert_eq!(connect(mode, namespace, identity), decision, "{mode:?} {namespace} {identity:?}");
    }
    assert!(Policy::built_in(AuthMode::Required).decide("/", Action::Publish("r"), &ada).is_allowed());
}

#[test]
fn the_first_rule_that_names_all_three_decides() {
    let policy = |first: &str, second: &str| {
        let rule = |effect: &str| {
            format!("[[namespaces.\"/\".rules]]\n{effect} = [\"publish\"]\nwho = [\"anyone\"]\nrooms = [\"r\"]\n")
        };
        let head = "version = 1\n[namespaces.\"/\"]\nconnect = [\"anyone\"]\notherwise = \"deny\"\n";
        Policy::from_toml(&format!("{head}{}{}", rule(first), rule(second))).unwrap()
    };
    let publish = |policy: &Policy| policy.decide("/", Action::Publish("r"), &Identity::anonymous());
    assert_eq!(publish(&policy("allow", "deny")), Decision::Allowed);
    assert_eq!(publish(&policy("deny", "allow")), FORBIDDEN);
    assert_eq!(policy("allow", "allow").decide("/", Action::Join("r"), &Identity::anonymous()), FORBIDDEN);
}

#[test]
fn a_namespace_that_nobody_may_connect_to_says_forbidden() {
    let closed = "version = 1\n[namespaces.\"/closed\"]\nconnect = []\notherwise = \"allow\"\n";
    let policy = Policy::from_toml(closed).unwrap();
    for identity in [Identity::anonymous(), user("ada", &["admin"])] {
        assert_eq!(policy.decide("/closed", Action::Connect, &identity), FORBIDDEN);
        assert_eq!(policy.decide("/unnamed", Action::Connect, &identity), FORBIDDEN);
        assert_eq!(policy.decide("/unnamed", Action::Publish("r"), &identity), FORBIDDEN);
    }
}
