//! Which setting a name means: the environment's, a file's key, or a mistake.

use super::schema::alias::{PREFIXES, without_effect};
use super::schema::{About, Describe, PREFIX, all};

/// What a name means.
#[derive(Clone, Copy)]
pub(crate) enum Meaning {
    /// The value of a setting; 0: its own name, then its other names by rank.
    Value(&'static dyn Describe, usize),
    /// The file that holds the value of a setting.
    ValueFile(&'static dyn Describe),
    /// Known, without effect here.
    NoEffect(&'static str),
    /// Ours by its prefix, and unknown.
    Unknown,
    /// Somebody else's.
    Foreign,
}

/// What a variable of the environment means.
pub(crate) fn meaning(name: &str) -> Meaning {
    if let Some((setting, rank)) = value_of(name) {
        return Meaning::Value(setting, rank);
    }
    if let Some((setting, _)) = name.strip_suffix("_FILE").and_then(value_of)
        && setting.about().in_file
    {
        return Meaning::ValueFile(setting);
    }
    if let Some(why) = without_effect(name) {
        return Meaning::NoEffect(why);
    }
    if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) { Meaning::Unknown } else { Meaning::Foreign }
}

/// The variable that a key of a file stands for.
pub(crate) fn variable_of_key(key: &str) -> String {
    let upper = key.to_ascii_uppercase();
    let prefixed = format!("{PREFIX}{upper}");
    // FLASK_HOST and its like have no prefix.
    if matches!(meaning(&prefixed), Meaning::Unknown) && !matches!(meaning(&upper), Meaning::Unknown | Meaning::Foreign)
    {
        return upper;
    }
    prefixed
}

fn value_of(name: &str) -> Option<(&'static dyn Describe, usize)> {
    all().find_map(|setting| rank(setting.about(), name).map(|rank| (setting, rank)))
}

fn rank(about: &About, name: &str) -> Option<usize> {
    if about.name == name {
        return Some(0);
    }
    about.other_names.iter().position(|other| *other == name).map(|position| position + 1)
}

/// The known name that is most like `name`, if one is.
pub(crate) fn nearest(name: &str) -> Option<String> {
    let files = all().filter(|setting| setting.about().in_file).map(|setting| format!("{}_FILE", setting.about().name));
    let names = all().flat_map(|setting| {
        std::iter::once(setting.about().name).chain(setting.about().other_names.iter().copied()).map(str::to_owned)
    });
    let (likeness, nearest) = names
        .chain(files)
        .map(|known| (strsim::jaro_winkler(tail(&known), tail(name)), known))
        // Of two that are as near, the one of the same system.
        .max_by(|(one, known), (other, rival)| {
            one.total_cmp(other).then_with(|| shares_prefix(known, name).cmp(&shares_prefix(rival, name)))
        })?;
    (likeness > 0.85).then_some(nearest)
}

fn shares_prefix(one: &str, other: &str) -> bool {
    PREFIXES.iter().any(|prefix| one.starts_with(prefix) && other.starts_with(prefix))
}

/// All names share the prefix, which would make them all alike.
fn tail(name: &str) -> &str {
    PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_the_document_says() {
        let name = |text: &str| match meaning(text) {
            Meaning::Value(setting, rank) => format!("{} {rank}", setting.about().name),
            Meaning::ValueFile(setting) => format!("{} file", setting.about().name),
            Meaning::NoEffect(_) => "no effect".to_owned(),
            Meaning::Unknown => "unknown".to_owned(),
            Meaning::Foreign => "foreign".to_owned(),
        };
        for (text, expected) in [
            ("WEBSOCKET_PORT", "WEBSOCKET_PORT 0"),
            ("WEBSOCKET_HOST", "WEBSOCKET_BIND 1"),
            ("SOCKETIO_PING_TIMEOUT", "WEBSOCKET_PING_TIMEOUT 1"),
            ("WEBSOCKET_SSL_CERT_FILE", "WEBSOCKET_SSL_CERT_FILE 0"),
            ("WEBSOCKET_CLUSTER_JOIN_TOKEN_FILE", "WEBSOCKET_CLUSTER_JOIN_TOKEN file"),
            ("WEBSOCKET_PORT_FILE", "unknown"),
            ("REDIS_URL", "no effect"),
            ("SOCKETIO_ASYNC_MODE", "no effect"),
            ("WEBSOCKET_PROT", "unknown"),
            ("PATH", "foreign"),
            ("VEDFOLNIR_FORMAT_VERSION", "WEBSOCKET_CLUSTER_FORMAT_VERSION 1"),
            ("VEDFOLNIR_BIN", "foreign"),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn a_typo_has_a_neighbour() {
        for (typo, meant) in [
            ("WEBSOCKET_PROT", "WEBSOCKET_PORT"),
            ("WEBSOCKET_PING_INTERVALL", "WEBSOCKET_PING_INTERVAL"),
            ("WEBSOCKET_SSL_CERTFILE", "WEBSOCKET_SSL_CERT_FILE"),
            ("WEBSOCKET_CLUSTER_BOOTSTRAP_EXPCT", "WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT"),
        ] {
            assert_eq!(nearest(typo).as_deref(), Some(meant));
        }
        assert_eq!(nearest("WEBSOCKET_ZZZZZ"), None);
    }

    #[test]
    fn a_key_is_the_name_in_small_letters() {
        assert_eq!(variable_of_key("ping_interval"), "WEBSOCKET_PING_INTERVAL");
        assert_eq!(variable_of_key("cluster_bootstrap"), "WEBSOCKET_CLUSTER_BOOTSTRAP");
        assert_eq!(variable_of_key("flask_host"), "FLASK_HOST");
        assert_eq!(variable_of_key("nothing"), "WEBSOCKET_NOTHING");
    }
}
