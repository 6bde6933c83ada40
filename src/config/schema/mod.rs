//! The schema: every setting once, with its names, its form, its default and what it is for.
//!
//! Parsing, `vedfolnir config show|check|template|schema`, the options of `vedfolnir start`, docs/configuration.md and the
//! table-driven test all read these tables; nothing else lists settings. The tables stand in the order of the categories of
//! the production document.

pub(crate) mod address;
pub(crate) mod alias;
pub(crate) mod backend;
pub(crate) mod backup;
pub(crate) mod balancer;
pub(crate) mod cluster;
pub(crate) mod kind;
pub(crate) mod logging;
pub(crate) mod mode;
pub(crate) mod monitoring;
pub(crate) mod performance;
pub(crate) mod security;
pub(crate) mod tls;
pub(crate) mod traces;
pub(crate) mod webhooks;

use serde_json::Value;

use kind::Kind;

/// Environment names begin with it; names in files and options go without.
pub(crate) const PREFIX: &str = "WEBSOCKET_";

/// Why another module's reader refuses a text, without the form that it would accept: that is the setting's to say.
pub(crate) fn reason_of(error: &impl ToString) -> String {
    super::values::split_accepted(&error.to_string()).0.to_owned()
}

/// A setting: what it is called and what its text may be.
pub(crate) struct Setting<K> {
    pub(crate) about: About,
    pub(crate) kind: K,
}

/// All about a setting but its form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// The environment variable, which is its name.
    pub(crate) name: &'static str,
    /// The option of `vedfolnir start`, without dashes.
    pub(crate) option: &'static str,
    /// Other names that mean the same, by falling rank.
    pub(crate) other_names: &'static [&'static str],
    /// What applies when nothing is given.
    pub(crate) default: Preset,
    /// Never shown; may also be given in a file that `NAME_FILE` names.
    pub(crate) secret: bool,
    /// `NAME_FILE` names a file that holds the value.
    pub(crate) in_file: bool,
    /// Takes effect at SIGHUP; the others at the next start.
    pub(crate) reload: bool,
    /// Set when the product does not have it yet: what it belongs to.
    pub(crate) later: Option<&'static str>,
    /// The production template's value.
    pub(crate) production: &'static str,
    /// One or two sentences.
    pub(crate) help: &'static str,
}

/// What applies when nothing is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// Nothing; in words what that comes to.
    Unset(&'static str),
    /// This text.
    Text(&'static str),
    /// One text in development, another in production mode.
    Mode {
        /// Without `WEBSOCKET_PRODUCTION_MODE=true`.
        development: &'static str,
        /// With it.
        production: &'static str,
    },
    /// One text usually, another with enhanced security, which production mode has unless told otherwise.
    Hardened {
        /// Without it.
        relaxed: &'static str,
        /// With it.
        hardened: &'static str,
    },
}

/// Which defaults apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// `WEBSOCKET_PRODUCTION_MODE`.
    pub(crate) production: bool,
    /// `WEBSOCKET_ENHANCED_SECURITY`.
    pub(crate) hardened: bool,
}

impl Preset {
    /// The text that applies.
    pub(crate) const fn text(self, mode: Mode) -> Option<&'static str> {
        match self {
            Self::Unset(_) => None,
            Self::Text(text) => Some(text),
            Self::Mode { development, production } => Some(if mode.production { production } else { development }),
            Self::Hardened { relaxed, hardened } => Some(if mode.hardened { hardened } else { relaxed }),
        }
    }

    /// For people.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Unset(words) => words.to_owned(),
            Self::Text(text) => text.to_owned(),
            Self::Mode { development, production } => format!("{development}; in production mode {production}"),
            Self::Hardened { relaxed, hardened } => format!("{relaxed}; with enhanced security {hardened}"),
        }
    }
}

impl<K> Setting<K> {
    pub(crate) const fn new(name: &'static str, option: &'static str, kind: K, help: &'static str) -> Self {
        let about = About {
            name,
            option,
            other_names: &[],
            default: Preset::Unset("none"),
            secret: false,
            in_file: false,
            reload: false,
            later: None,
            production: "",
            help,
        };
        Self { about, kind }
    }

    pub(crate) const fn or(mut self, other_names: &'static [&'static str]) -> Self {
        self.about.other_names = other_names;
        self
    }

    pub(crate) const fn default(mut self, text: &'static str) -> Self {
        self.about.default = Preset::Text(text);
        self
    }

    pub(crate) const fn unset(mut self, words: &'static str) -> Self {
        self.about.default = Preset::Unset(words);
        self
    }

    pub(crate) const fn by_mode(mut self, development: &'static str, production: &'static str) -> Self {
        self.about.default = Preset::Mode { development, production };
        self
    }

    pub(crate) const fn hardened(mut self, relaxed: &'static str, hardened: &'static str) -> Self {
        self.about.default = Preset::Hardened { relaxed, hardened };
        self
    }

    /// A secret: hidden, and better given in a file.
    pub(crate) const fn secret(mut self) -> Self {
        self.about.secret = true;
        self.about.in_file = true;
        self
    }

    /// Not secret, but may be given in a file as well (addresses that a deployment keeps beside its secrets).
    pub(crate) const fn in_file(mut self) -> Self {
        self.about.in_file = true;
        self
    }

    pub(crate) const fn reloads(mut self) -> Self {
        self.about.reload = true;
        self
    }

    pub(crate) const fn later(mut self, what: &'static str) -> Self {
        self.about.later = Some(what);
        self
    }

    /// The production template's value.
    pub(crate) const fn production(mut self, text: &'static str) -> Self {
        self.about.production = text;
        self
    }
}

/// A setting of whatever form.
pub(crate) trait Describe: Sync {
    fn about(&self) -> &About;
    /// Why the text is refused.
    fn check(&self, text: &str) -> Result<(), String>;
    fn accepted(&self) -> String;
    fn json_schema(&self) -> Value;
}

impl<K: Kind> Describe for Setting<K> {
    fn about(&self) -> &About {
        &self.about
    }

    fn check(&self, text: &str) -> Result<(), String> {
        self.kind.parse(text).map(drop)
    }

    fn accepted(&self) -> String {
        self.kind.accepted()
    }

    fn json_schema(&self) -> Value {
        self.kind.json_schema()
    }
}

impl About {
    /// `--port (WEBSOCKET_PORT)`.
    pub(crate) fn spelled(&self) -> String {
        format!("--{} ({})", self.option, self.name)
    }

    /// Its key in a configuration file: the name without its prefix, in small letters.
    pub(crate) fn key(&self) -> String {
        self.name.strip_prefix(PREFIX).unwrap_or(self.name).to_ascii_lowercase()
    }
}

/// Declares settings and lists them all in `ALL`.
macro_rules! settings {
    ($($name:ident: $kind:ty = $setting:expr;)*) => {
        $(pub(crate) static $name: $crate::config::schema::Setting<$kind> = $setting;)*
        /// Every setting of this category, in the order of the documentation.
        pub(crate) static ALL: &[&dyn $crate::config::schema::Describe] = &[$(&$name),*];
    };
}
pub(crate) use settings;

/// A category of settings.
pub(crate) struct Category {
    pub(crate) title: &'static str,
    pub(crate) settings: &'static [&'static dyn Describe],
}

/// The eight categories of the production document in its order; traces, the cluster and what is told others, which it does not
/// have.
pub(crate) static CATEGORIES: [Category; 12] = [
    Category { title: "Production Mode Settings", settings: mode::ALL },
    Category { title: "SSL/TLS Configuration", settings: tls::ALL },
    Category { title: "Load Balancer Configuration", settings: balancer::ALL },
    Category { title: "Logging Configuration", settings: logging::ALL },
    Category { title: "Monitoring Configuration", settings: monitoring::ALL },
    Category { title: "Traces", settings: traces::ALL },
    Category { title: "Backup and Recovery Configuration", settings: backup::ALL },
    Category { title: "Performance Optimization", settings: performance::ALL },
    Category { title: "Security Settings", settings: security::ALL },
    Category { title: "Cluster Configuration", settings: cluster::ALL },
    Category { title: "Backend Proxy", settings: backend::ALL },
    Category { title: "Webhooks", settings: webhooks::ALL },
];

/// Every setting.
pub(crate) fn all() -> impl Iterator<Item = &'static dyn Describe> {
    CATEGORIES.iter().flat_map(|category| category.settings.iter().copied())
}
