//! Names that systems which Vedfolnir replaces know, and that have no meaning here: accepted with one line each.

/// A name without effect, and why. A trailing `*` stands for any rest.
pub(crate) struct NoEffect {
    pub(crate) pattern: &'static str,
    pub(crate) why: &'static str,
}

/// All of them; the prefix `WEBSOCKET_` or `SOCKETIO_` may stand before those that begin with a dot here.
pub(crate) const WITHOUT_EFFECT: &[NoEffect] = &[
    NoEffect { pattern: ".ASYNC_MODE", why: "there is one runtime; threading, eventlet and gevent are Python's" },
    NoEffect { pattern: ".CONNECTION_POOLING", why: "there is no database and no Redis to pool connections to" },
    NoEffect { pattern: ".CONNECTION_POOL_SIZE", why: "there is no database and no Redis to pool connections to" },
    NoEffect { pattern: ".REDIS_*", why: "sessions, rooms and messages are replicated by the nodes themselves" },
    NoEffect { pattern: "REDIS_*", why: "sessions, rooms and messages are replicated by the nodes themselves" },
    NoEffect { pattern: ".MESSAGE_QUEUE", why: "messages are replicated by the nodes themselves" },
    NoEffect { pattern: ".MANAGE_SESSION", why: "sessions are replicated; Flask's own are not touched" },
];

/// Prefixes of names that are ours to judge.
pub(crate) const PREFIXES: [&str; 2] = ["WEBSOCKET_", "SOCKETIO_"];

/// Why a name has no effect, if it is one of those.
pub(crate) fn without_effect(name: &str) -> Option<&'static str> {
    let matches = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
        Some(head) => name.starts_with(head),
        None => name == pattern,
    };
    let found = WITHOUT_EFFECT.iter().find(|entry| match entry.pattern.strip_prefix('.') {
        Some(pattern) => {
            PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix)).any(|rest| matches(pattern, rest))
        }
        None => matches(entry.pattern, name),
    });
    found.map(|entry| entry.why)
}

#[cfg(test)]
mod tests {
    use super::without_effect;

    #[test]
    fn names_of_other_systems_are_known() {
        for name in ["SOCKETIO_ASYNC_MODE", "WEBSOCKET_CONNECTION_POOLING", "REDIS_URL", "SOCKETIO_REDIS_HOST"] {
            assert!(without_effect(name).is_some(), "{name}");
        }
        for name in ["WEBSOCKET_PORT", "ASYNC_MODE", "MY_REDIS_URL", "SOCKETIO_ASYNC_MODES"] {
            assert!(without_effect(name).is_none(), "{name}");
        }
    }
}
