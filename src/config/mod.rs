//! Validated configuration: what [`crate::server::Server`] is started with.
//!
//! ```text
//!   command line, environment, files ──► layers ──► values ──► compose ──► Config
//!                                          ▲           ▲
//!                            names ────────┴── schema ─┴──► options · show · templates · JSON Schema · documentation
//! ```
//!
//! The [`schema`] is the only place that lists settings. Nothing below this module reads the environment.

mod compose;
mod control_group;
mod env_file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod layers;
mod load_balancer;
mod names;
mod options;
mod parts;
mod problem;
mod render;
pub(crate) mod schema;
mod toml_file;
mod values;

#[cfg(test)]
#[path = "tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use layers::Layers;
use values::Values;

use crate::security::secret::Secret;

pub(crate) use compose::FILES_RESERVED;
pub use compose::tls::TlsPlan;
pub use control_group::{memory_bytes_max, millicpus_max, tasks_max};
pub use layers::{Inputs, Source};
pub use load_balancer::{LoadBalancer, check_nodes, load_balancer};
pub use options::{OptionSpec, options};
pub use parts::{
    AdminConfig, AdminTokens, ApiConfig, ApiTokens, CheckConfig, ClusterPart, Config, JwksConfig, LogConfig, LogFormat,
    MetricFamilies, MetricsConfig, MetricsForm, MonitoringConfig, NodeConfig, PublicConfig, SecurityConfig, StopConfig,
    TlsConfig, TlsReload,
};
pub use problem::{ConfigError, Problem, Severity};
pub use render::{Shown, ShownSetting, Template, json_schema, markdown, template};
pub use schema::kind::parse_duration;
pub use schema::mode::DEFAULT_ADMIN_BIND;
pub use schema::performance::drain_rate;

pub use crate::tls::inspect::show_time;

/// A configuration that a node can be started with.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Every part.
    pub config: Config,
    /// What is doubtful about it, worth a line each.
    pub doubts: Vec<Problem>,
    /// What it was made of: for [`Loaded::needs_restart`].
    layers: Layers,
}

/// What `vedfolnir config check` and `show` tell.
#[derive(Clone, Debug)]
pub struct Checked {
    /// All that is refused or doubtful.
    pub problems: Vec<Problem>,
    /// What applies.
    pub shown: Shown,
    /// Whether production mode is on.
    pub production: bool,
}

/// Reads and judges everything.
///
/// # Errors
/// All that is wrong.
pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let layers = Layers::read(inputs);
    let (config, problems) = judge(Values::new(&layers), inputs);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(ConfigError { problems });
    }
    Ok(Loaded { config, doubts: problems, layers })
}

/// Reads and judges everything, for a report.
#[must_use]
pub fn check(inputs: &Inputs) -> Checked {
    let layers = Layers::read(inputs);
    let values = Values::new(&layers);
    let shown = Shown::of(&values);
    let (config, problems) = judge(values, inputs);
    Checked { problems, shown, production: config.node.production }
}

/// The files of the public listener's TLS, for whoever examines them; `None` without a certificate.
#[must_use]
pub fn tls_files(inputs: &Inputs) -> Option<TlsPlan> {
    compose::tls::plan(&Values::new(&Layers::read(inputs)))
}

/// Every secret that is given, from wherever, whole and in its parts: for whoever must not show any.
#[must_use]
pub fn secrets(inputs: &Inputs) -> Vec<Secret> {
    let layers = Layers::read(inputs);
    let values = Values::new(&layers);
    let given = schema::all()
        .map(schema::Describe::about)
        .filter(|about| about.secret)
        .filter_map(|about| Some(values.text(about)?.0));
    let parts = |text: String| {
        let parts: Vec<String> = text.split([',', ' ', '\n', '\r']).map(str::to_owned).collect();
        parts.into_iter().chain([text]).map(Secret::from).collect::<Vec<_>>()
    };
    given.flat_map(parts).collect()
}

fn judge(values: Values<'_>, inputs: &Inputs) -> (Config, Vec<Problem>) {
    let config = Config::compose(&values, inputs);
    (config, values.into_problems())
}

impl Loaded {
    /// What is in force once the reloadable part of `new` is: what needs a restart is still compared with the start.
    #[must_use]
    pub fn with_reloaded(self, new: Self) -> Self {
        Self { layers: self.layers, ..new }
    }

    /// Settings that differ from `new` and take effect at the next start only: their names.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let text = |layers: &Layers, about| layers.given(about).map(|given| given.text.clone());
        schema::all()
            .map(schema::Describe::about)
            .filter(|about| !about.reload && text(&self.layers, about) != text(&new.layers, about))
            .map(|about| about.name)
            .collect()
    }
}
