//! The policy file: TOML, strict, every mistake with its line.

use std::collections::HashMap;
use std::fmt;

use toml_span::value::{Key, Table, Value};
use toml_span::{ErrorKind, Span};

use super::identity::{NAME_BYTES_MAX, ROLE_BYTES_MAX, is_role};
use super::pattern::Pattern;
use super::policy::{
    ADMIN_NAMESPACE, Actions, LIST_MAX, NAMESPACES_MAX, NamespacePolicy, Policy, RULES_MAX, Rule, Who,
};

/// Bytes of a policy file.
pub const POLICY_BYTES_MAX: usize = 256 << 10;
/// Mistakes that are told at once.
const MISTAKES_MAX: usize = 20;

const WHO_FORM: &str = "\"anyone\", \"authenticated\" or \"role:NAME\"";

/// A mistake in a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong, and what would be accepted.
    pub reason: String,
}

/// Why a policy file is refused: every mistake found, 20 at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFileError {
    /// The mistakes, in the order of the file; there is one at least.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for PolicyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            let before = if at == 0 { "" } else { "; " };
            write!(f, "{before}line {}: {}", mistake.line, mistake.reason)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyFileError {}

impl Policy {
    /// Reads a policy file's text; [`super::policy`] has an example.
    ///
    /// `/admin` is for the role `admin` unless the file has a table for it. Without a `[default]` table nobody connects to
    /// a namespace that the file does not name.
    ///
    /// # Errors
    /// [`PolicyFileError`] with every mistake; nothing is guessed.
    pub fn from_toml(text: &str) -> Result<Self, PolicyFileError> {
        let mut reader = Reader { text, mistakes: Vec::new() };
        let policy = reader.policy();
        match policy {
            Some(policy) if reader.mistakes.is_empty() => Ok(policy),
            _ => {
                reader.mistakes.sort_by_key(|mistake| mistake.line);
                reader.mistakes.truncate(MISTAKES_MAX);
                Err(PolicyFileError { mistakes: reader.mistakes })
            }
        }
    }
}

/// Reads on after a mistake: `None` stands for what could not be read, and a mistake for every `None`.
struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, at: Span, reason: impl Into<String>) {
        let before = self.text.as_bytes().iter().take(at.start);
        self.mistakes.push(Mistake { line: 1 + before.filter(|byte| **byte == b'\n').count(), reason: reason.into() });
    }

    fn policy(&mut self) -> Option<Policy> {
        let start = Span::new(0, 0);
        if self.text.len() > POLICY_BYTES_MAX {
            self.mistake(start, format!("{} bytes; accepted: {POLICY_BYTES_MAX}", self.text.len()));
            return None;
        }
        let root = match toml_span::parse(self.text) {
            Ok(root) => root,
            Err(error) => {
                // What stands in two places is wrong in the second.
                let first = match &error.kind {
                    ErrorKind::DuplicateKey { first, .. } | ErrorKind::DuplicateTable { first, .. } => Some(*first),
                    _ => None,
                };
                let at = first.filter(|first| first.start > error.span.start).unwrap_or(error.span);
                self.mistake(at, format!("not TOML: {error}"));
                return None;
            }
        };
        let root = root.as_table()?;
        self.known(root, &["version", "default", "namespaces"]);
        match root.get("version") {
            Some(version) if version.as_integer() == Some(1) => {}
            Some(version) => self.mistake(version.span, "version is not known; accepted: version = 1"),
            None => self.mistake(start, "version is missing; accepted: version = 1"),
        }
        let default = root.get("default").and_then(|value| self.namespace("[default]", value));
        let mut namespaces: HashMap<Box<str>, NamespacePolicy> = HashMap::new();
        if let Some(value) = root.get("namespaces")
            && let Some(table) = self.table("namespaces", value)
        {
            if table.len() > NAMESPACES_MAX {
                self.mistake(value.span, format!("{} namespaces; accepted: {NAMESPACES_MAX}", table.len()));
                return None;
            }
            for (name, value) in table {
                if !name.name.starts_with('/') || name.name.len() > NAME_BYTES_MAX {
                    self.mistake(
                        name.span,
                        format!("{:?} is no namespace; accepted: / and up to {NAME_BYTES_MAX} bytes in all", name.name),
                    );
                }
                let policy = self.namespace(&format!("namespaces.{:?}", name.name), value);
                if let Some(policy) = policy {
                    namespaces.insert(name.name.as_ref().into(), policy);
                }
            }
        }
        namespaces.entry(ADMIN_NAMESPACE.into()).or_insert_with(NamespacePolicy::of_admins);
        Some(Policy { namespaces, default })
    }

    fn namespace(&mut self, what: &str, value: &Value<'_>) -> Option<NamespacePolicy> {
        let table = self.table(what, value)?;
        self.known(table, &["connect", "otherwise", "rules"]);
        let connect = match table.get("connect") {
            Some(list) => self.who("connect", list),
            None => {
                self.mistake(value.span, format!("{what}: connect is missing; accepted: a list of {WHO_FORM}"));
                None
            }
        };
        let otherwise = match table.get("otherwise").map(|value| (value.span, value.as_str())) {
            Some((_, Some("allow"))) => Some(true),
            Some((_, Some("deny"))) => Some(false),
            Some((span, _)) => {
                self.mistake(span, "otherwise: accepted: \"allow\" or \"deny\"");
                None
            }
            None => {
                self.mistake(
                    value.span,
                    format!(
                        "{what}: otherwise is missing: what holds when no rule decides; accepted: \"allow\" or \"deny\""
                    ),
                );
                None
            }
        };
        let mut rules = Vec::new();
        if let Some(list) = table.get("rules") {
            let Some(list_of) = list.as_array() else {
                self.mistake(list.span, format!("rules: not a list; accepted: [[{what}.rules]] tables"));
                return None;
            };
            if list_of.len() > RULES_MAX {
                self.mistake(list.span, format!("{} rules; accepted: {RULES_MAX}", list_of.len()));
                return None;
            }
            rules.extend(list_of.iter().filter_map(|rule| self.rule(rule)));
        }
        Some(NamespacePolicy { connect: connect?, rules: rules.into(), otherwise: otherwise? })
    }

    fn rule(&mut self, value: &Value<'_>) -> Option<Rule> {
        let table = self.table("a rule", value)?;
        self.known(table, &["allow", "deny", "who", "rooms"]);
        let (allows, actions) = match (table.get("allow"), table.get("deny")) {
            (Some(list), None) => (true, self.actions("allow", list)),
            (None, Some(list)) => (false, self.actions("deny", list)),
            _ => {
                self.mistake(
                    value.span,
                    "a rule has either allow or deny, a list of \"join\", \"publish\", \"broadcast\"",
                );
                return None;
            }
        };
        let who = match table.get("who") {
            Some(list) => self.who("who", list),
            None => {
                self.mistake(value.span, format!("a rule's who is missing; accepted: a list of {WHO_FORM}"));
                None
            }
        };
        let actions = actions?;
        let rooms = match (table.get("rooms"), actions.join || actions.publish) {
            (Some(list), true) => self.rooms(list),
            (None, false) => Some(Box::default()),
            (Some(list), false) => {
                self.mistake(list.span, "rooms: broadcast is to the whole namespace; leave rooms out");
                None
            }
            (None, true) => {
                self.mistake(
                    value.span,
                    "a rule's rooms are missing: join and publish name rooms; \"**\" is all of them",
                );
                None
            }
        };
        Some(Rule { allows, actions, who: who?, rooms: rooms? })
    }

    fn actions(&mut self, name: &str, value: &Value<'_>) -> Option<Actions> {
        let mut actions = Actions::default();
        let mut good = true;
        for (span, action) in self.texts(name, value)? {
            match action {
                "join" => actions.join = true,
                "publish" => actions.publish = true,
                "broadcast" => actions.broadcast = true,
                other => {
                    self.mistake(span, format!("{name}: {other:?}; accepted: \"join\", \"publish\", \"broadcast\""));
                    good = false;
                }
            }
        }
        if good && actions == Actions::default() {
            self.mistake(
                value.span,
                format!("{name}: the list is empty; accepted: \"join\", \"publish\", \"broadcast\""),
            );
            return None;
        }
        good.then_some(actions)
    }

    /// An empty list is nobody.
    fn who(&mut self, name: &str, value: &Value<'_>) -> Option<Who> {
        let (mut who, mut roles, mut good) = (Who::default(), Vec::new(), true);
        for (span, text) in self.texts(name, value)? {
            match (text, text.strip_prefix("role:")) {
                ("anyone", _) => who.anyone = true,
                ("authenticated", _) => who.authenticated = true,
                (_, Some(role)) if is_role(role) => roles.push(role.into()),
                (_, Some(_)) => {
                    self.mistake(
                        span,
                        format!("{name}: a role has 1 to {ROLE_BYTES_MAX} bytes, no control characters"),
                    );
                    good = false;
                }
                (other, None) => {
                    self.mistake(span, format!("{name}: {other:?}; accepted: {WHO_FORM}"));
                    good = false;
                }
            }
        }
        who.roles = roles.into();
        good.then_some(who)
    }

    fn rooms(&mut self, value: &Value<'_>) -> Option<Box<[Pattern]>> {
        let texts = self.texts("rooms", value)?;
        if texts.is_empty() {
            self.mistake(value.span, "rooms: the list is empty; accepted: patterns, \"**\" is all rooms");
            return None;
        }
        let count = texts.len();
        let mut patterns = Vec::with_capacity(count);
        for (span, text) in texts {
            match Pattern::new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.mistake(span, format!("rooms: {text:?}: {error}")),
            }
        }
        (patterns.len() == count).then(|| patterns.into())
    }

    fn texts<'v>(&mut self, name: &str, value: &'v Value<'_>) -> Option<Vec<(Span, &'v str)>> {
        let Some(list) = value.as_array() else {
            self.mistake(value.span, format!("{name}: not a list; accepted: [\"…\", \"…\"]"));
            return None;
        };
        if list.len() > LIST_MAX {
            self.mistake(value.span, format!("{name}: {} entries; accepted: {LIST_MAX}", list.len()));
            return None;
        }
        let texts: Vec<(Span, &str)> = list.iter().filter_map(|entry| Some((entry.span, entry.as_str()?))).collect();
        if texts.len() != list.len() {
            self.mistake(value.span, format!("{name}: an entry is not a text"));
            return None;
        }
        Some(texts)
    }

    fn table<'v, 'de>(&mut self, what: &str, value: &'v Value<'de>) -> Option<&'v Table<'de>> {
        let table = value.as_table();
        if table.is_none() {
            self.mistake(value.span, format!("{what}: not a table"));
        }
        table
    }

    fn known(&mut self, table: &Table<'_>, accepted: &[&str]) {
        let unknown: Vec<&Key<'_>> = table.keys().filter(|key| !accepted.contains(&key.name.as_ref())).collect();
        for key in unknown {
            self.mistake(key.span, format!("{:?} is not known; accepted: {}", key.name, accepted.join(", ")));
        }
    }
}

#[cfg(test)]
#[path = "policy_file_tests.rs"]
mod tests;
