//! Environment files to begin with, for a shell, systemd and docker alike.

use std::fmt::Write as _;

use crate::config::schema::{About, CATEGORIES, Mode};

/// Which environment a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// One machine, loopback.
    Development,
    /// Like production, without its secrets and receivers.
    Staging,
    /// The production document's values.
    Production,
    /// Containers: logs to standard output, probes' paths.
    Kubernetes,
}

impl Template {
    /// By its name; `docker` is the one of containers, too.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "development" => Some(Self::Development),
            "staging" => Some(Self::Staging),
            "production" => Some(Self::Production),
            "kubernetes" | "docker" => Some(Self::Kubernetes),
            _ => None,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Development => "Development: one node on loopback. Nothing has to be set.",
            Self::Staging => "Staging: production's rules behind a proxy, with loopback-friendly values.",
            Self::Production => "Production. Replace the values with example.com, 10.0.0.x and /path/to in them.",
            Self::Kubernetes => {
                "Kubernetes and docker: logs to standard error, paths that probes use, state on a volume."
            }
        }
    }

    /// The value of a setting, when this template sets it; the others stand there as comments.
    fn value(self, about: &About) -> Option<&'static str> {
        if about.later.is_some() {
            return None;
        }
        let own: &[(&str, &str)] = match self {
            Self::Development => &[("WEBSOCKET_PRODUCTION_MODE", "false"), ("WEBSOCKET_DEBUG_MODE", "true")],
            Self::Staging => &[
                ("WEBSOCKET_PRODUCTION_MODE", "true"),
                ("WEBSOCKET_BIND", "127.0.0.1"),
                ("WEBSOCKET_TRUST_PROXY_HEADERS", "true"),
                ("WEBSOCKET_TRUSTED_PROXIES", "127.0.0.0/8"),
                ("WEBSOCKET_CORS_ALLOWED_ORIGINS", "https://staging.example.com"),
                ("WEBSOCKET_ALLOWED_HOSTS", "staging.example.com,localhost"),
                ("WEBSOCKET_DATA_DIR", "/var/lib/vedfolnir"),
                ("WEBSOCKET_LOG_LEVEL", "DEBUG"),
            ],
            Self::Production => return Some(about.production).filter(|value| !value.is_empty()),
            Self::Kubernetes => &[
                ("WEBSOCKET_PRODUCTION_MODE", "true"),
                ("WEBSOCKET_BIND", "0.0.0.0"),
                ("WEBSOCKET_PORT", "5000"),
                ("WEBSOCKET_DATA_DIR", "/var/lib/vedfolnir"),
                ("WEBSOCKET_HEALTH_CHECK_PATH", "/healthz"),
                ("WEBSOCKET_METRICS_ENDPOINT", "/metrics"),
                ("WEBSOCKET_TRUST_PROXY_HEADERS", "true"),
                ("WEBSOCKET_TRUSTED_PROXIES", "10.0.0.0/8"),
                ("WEBSOCKET_CORS_ALLOWED_ORIGINS", "https://app.example.com"),
                ("WEBSOCKET_ALLOWED_HOSTS", "ws.example.com"),
                ("WEBSOCKET_JSON_LOGGING", "true"),
                ("WEBSOCKET_LOG_LEVEL", "INFO"),
            ],
        };
        own.iter().find(|(name, _)| *name == about.name).map(|(_, value)| *value)
    }
}

/// The template's text: every setting, those that it does not set as comments with their defaults.
#[must_use]
pub fn template(template: Template) -> String {
    let mut text = format!("# {}\n# Check it with: vedfolnir config check --env-file FILE\n", template.title());
    for category in &CATEGORIES {
        let _ = write!(text, "\n# ---- {} ----\n", category.title);
        for setting in category.settings {
            let about = setting.about();
            let _ = write!(text, "\n# {}.\n", about.help);
            if let Some(what) = about.later {
                let _ = writeln!(text, "# Not in this version: {what}.");
            }
            let _ = match template.value(about) {
                Some(value) => writeln!(text, "{}={}", about.name, quoted(value)),
                None => {
                    let shown = match about.default {
                        _ if about.later.is_some() && !about.production.is_empty() => about.production,
                        default => default.text(Mode { production: true, hardened: true }).unwrap_or_default(),
                    };
                    writeln!(text, "# {}={}", about.name, quoted(shown))
                }
            };
        }
    }
    text
}

/// In single quotes where a shell would read something else; all three readers, and this program, take them off.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=[]".contains(c);
    if value.chars().all(plain) { value.to_owned() } else { format!("'{value}'") }
}
