//! Who may connect to a namespace, join its rooms and publish in it.
//!
//! A namespace says who may **connect**. What a connected client may do is decided by the namespace's rules, read from the
//! first to the last: **the first rule that names the action, the room and the client decides**, whether it allows or
//! denies; when none does, `otherwise` decides. Put exceptions before what they are exceptions from.
//!
//! A chat with moderators, as its operator would write it:
//!
//! ```toml
//! version = 1
//!
//! [default]                              # namespaces without a table of their own
//! connect = ["authenticated"]
//! otherwise = "allow"
//!
//! [namespaces."/chat"]
//! connect = ["authenticated"]
//! otherwise = "deny"                     # what no rule below decides
//!
//! [[namespaces."/chat".rules]]           # 1. The muted read and do not write: first, so it holds for muted moderators too.
//! deny = ["publish", "broadcast"]
//! who = ["role:muted"]
//! rooms = ["**"]
//!
//! [[namespaces."/chat".rules]]           # 2. Moderators may do everything.
//! allow = ["join", "publish", "broadcast"]
//! who = ["role:moderator"]
//! rooms = ["**"]
//!
//! [[namespaces."/chat".rules]]           # 3. Everybody reads the announcements, and rule 2 lets moderators write them.
//! allow = ["join"]
//! who = ["authenticated"]
//! rooms = ["announcements"]
//!
//! [[namespaces."/chat".rules]]           # 4. Public rooms, and one's own inbox to read.
//! allow = ["join", "publish"]
//! who = ["authenticated"]
//! rooms = ["public:*"]
//!
//! [[namespaces."/chat".rules]]
//! allow = ["join"]
//! who = ["authenticated"]
//! rooms = ["inbox:{user}"]
//!
//! [[namespaces."/chat".rules]]           # 5. Anybody's inbox to write to.
//! allow = ["publish"]
//! who = ["authenticated"]
//! rooms = ["inbox:*"]
//! ```
//!
//! `/admin` is for the role `admin` as long as no table of its own says otherwise. A socket's own id is also a room: to
//! let clients send to single sockets, allow `publish` to those ids (`*`); never allow `join` to them.

use std::collections::HashMap;

use super::identity::Identity;
use super::pattern::Pattern;
use super::refusal::RefusalCode;

/// Namespaces with a table of their own.
pub const NAMESPACES_MAX: usize = 256;
/// Rules of one namespace.
pub const RULES_MAX: usize = 256;
/// Patterns of one rule, and names in one list of clients.
pub const LIST_MAX: usize = 64;

/// The namespace that is for administrators.
pub const ADMIN_NAMESPACE: &str = "/admin";
/// The role of administrators.
pub const ADMIN_ROLE: &str = "admin";

/// What a client wants to do in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Connect, or resume.
    Connect,
    /// Join a room, or ask who is in it.
    Join(&'a str),
    /// Publish to a room.
    Publish(&'a str),
    /// Publish to the whole namespace.
    Broadcast,
}

/// What the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not. [`RefusalCode::AuthRequired`]: a user perhaps may; [`RefusalCode::Forbidden`]: this one may not.
    Denied(RefusalCode),
}

impl Decision {
    /// Whether it may.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed)
    }
}

/// A set of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) anyone: bool,
    pub(super) authenticated: bool,
    pub(super) roles: Box<[Box<str>]>,
}

impl Who {
    fn includes(&self, identity: &Identity) -> bool {
        self.anyone
            || identity.user().is_some()
                && (self.authenticated || self.roles.iter().any(|role| identity.roles().contains(role)))
    }
}

/// The actions that a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Actions {
    pub(super) join: bool,
    pub(super) publish: bool,
    pub(super) broadcast: bool,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allows: bool,
    pub(super) actions: Actions,
    pub(super) who: Who,
    pub(super) rooms: Box<[Pattern]>,
}

impl Rule {
    /// Cheapest first: the action, then the client, then the patterns.
    fn decides(&self, action: Action<'_>, identity: &Identity) -> bool {
        let (named, room) = match action {
            Action::Connect => return false,
            Action::Join(room) => (self.actions.join, Some(room)),
            Action::Publish(room) => (self.actions.publish, Some(room)),
            Action::Broadcast => (self.actions.broadcast, None),
        };
        named
            && self.who.includes(identity)
            && room.is_none_or(|room| {
                let user = identity.user().map(AsRef::as_ref);
                self.rooms.iter().any(|pattern| pattern.matches(room, user))
            })
    }
}

/// What holds in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacePolicy {
    pub(super) connect: Who,
    pub(super) rules: Box<[Rule]>,
    /// What holds when no rule decides.
    pub(super) otherwise: bool,
}

impl NamespacePolicy {
    fn open_to(connect: Who) -> Self {
        Self { connect, rules: Box::default(), otherwise: true }
    }

    pub(super) fn of_admins() -> Self {
        Self::open_to(Who { roles: [ADMIN_ROLE.into()].into(), ..Who::default() })
    }

    /// Whether this client may. Allocates nothing.
    #[must_use]
    pub fn decide(&self, action: Action<'_>, identity: &Identity) -> Decision {
        if matches!(action, Action::Connect) {
            return match (self.connect.includes(identity), identity.user()) {
                (true, _) => Decision::Allowed,
                // A list that nobody is on helps no user either.
                (false, None) if self.connect != Who::default() => Decision::Denied(RefusalCode::AuthRequired),
                (false, _) => Decision::Denied(RefusalCode::Forbidden),
            };
        }
        let first = self.rules.iter().find(|rule| rule.decides(action, identity));
        if first.map_or(self.otherwise, |rule| rule.allows) {
            Decision::Allowed
        } else {
            Decision::Denied(RefusalCode::Forbidden)
        }
    }
}

/// How clients authenticate, as far as the built-in policy depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Not at all.
    Off,
    /// Who shows a token is somebody; who shows none is anonymous. A bad token is refused all the same.
    Optional,
    /// Who shows no token is refused.
    Required,
}

/// The policy of all namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) namespaces: HashMap<Box<str>, NamespacePolicy>,
    /// Namespaces without a policy of their own; `None`: nobody connects to them.
    pub(super) default: Option<NamespacePolicy>,
}

impl Policy {
    /// The policy without a file. Off: everybody may do everything, as nobody is told from anybody. Optional: everybody
    /// may do everything, but `/admin` is for administrators. Required: the same for every user.
    #[must_use]
    pub fn built_in(mode: AuthMode) -> Self {
        let who = Who { anyone: mode != AuthMode::Required, authenticated: true, roles: Box::default() };
        let mut namespaces = HashMap::new();
        if mode != AuthMode::Off {
            namespaces.insert(ADMIN_NAMESPACE.into(), NamespacePolicy::of_admins());
        }
        Self { namespaces, default: Some(NamespacePolicy::open_to(who)) }
    }

    /// What holds in a namespace, for those who ask often; `None`: nobody connects to it.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&NamespacePolicy> {
        self.namespaces.get(name).or(self.default.as_ref())
    }

    /// Whether this client may. Allocates nothing: it is asked for every join and publish.
    #[must_use]
    pub fn decide(&self, namespace: &str, action: Action<'_>, identity: &Identity) -> Decision {
        match self.namespace(namespace) {
            Some(policy) => policy.decide(action, identity),
            None => Decision::Denied(RefusalCode::Forbidden),
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
