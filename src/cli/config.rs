//! `vedfolnir config`: what applies, whether it would start, files to begin with. Nothing is started or written.

use clap::{Args, Subcommand, ValueEnum};
use vedfolnir::config::{self, Severity, Template};
use vedfolnir::observability::logging;

use super::settings::SettingsArgs;
use super::{Failure, out};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Judge the whole configuration, all errors at once; exit code 78 when a start would be refused.
    Check(ReportArgs),
    /// Show each setting's value and where it comes from; secrets are hidden.
    Show(ReportArgs),
    /// Print an environment file to begin with, for a shell, systemd and docker alike.
    Template(TemplateArgs),
    /// Print a JSON Schema of the TOML file.
    Schema,
    /// Print the documentation of all settings, in Markdown.
    Docs,
    /// Print a configuration of NGINX or HAProxy that fits these settings.
    Lb(LbArgs),
    /// Print a JSON Schema of a log line.
    LogSchema,
    /// Print every type of event that a log line can have.
    Events(EventsArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// One JSON document on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct EventsArgs {
    /// One JSON document
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// docs/events.md
    #[arg(long)]
    markdown: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TemplateArgs {
    /// Which environment
    #[arg(value_enum)]
    environment: Environment,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Environment {
    Development,
    Staging,
    Production,
    #[value(alias = "docker")]
    Kubernetes,
}

#[derive(Args, Debug)]
pub(crate) struct LbArgs {
    /// Which program
    #[arg(value_enum)]
    program: Balancer,
    /// How clients are distributed: nginx round-robin, ip-hash, cookie, tls, stream; haproxy cookie, source, h2, proxy-v1, proxy-v2
    mode: Option<String>,
    /// HOST:PORT of a node's public listener; repeat for each node [default: app1.example.com and so on]
    #[arg(long = "node", value_name = "HOST:PORT")]
    nodes: Vec<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Balancer {
    Nginx,
    Haproxy,
}

pub(crate) fn run(verb: ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Check(arguments) => return check(&arguments),
        ConfigVerb::Show(arguments) => return show(&arguments),
        ConfigVerb::Template(arguments) => out::stdout(&config::template(match arguments.environment {
            Environment::Development => Template::Development,
            Environment::Staging => Template::Staging,
            Environment::Production => Template::Production,
            Environment::Kubernetes => Template::Kubernetes,
        })),
        ConfigVerb::Schema => out::stdout(&json(&config::json_schema())?),
        ConfigVerb::Docs => out::stdout(&config::markdown()),
        ConfigVerb::Lb(arguments) => return load_balancer(&arguments),
        ConfigVerb::LogSchema => out::stdout(&json(&logging::schema())?),
        ConfigVerb::Events(EventsArgs { json: true, .. }) => out::stdout(&json(&logging::events_json())?),
        ConfigVerb::Events(EventsArgs { markdown: true, .. }) => out::stdout(&logging::events_markdown()),
        ConfigVerb::Events(_) => out::stdout(&logging::events_text()),
    }
    Ok(())
}

fn check(arguments: &ReportArgs) -> Result<(), Failure> {
    let checked = config::check(&arguments.settings.inputs());
    let refused = checked.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if arguments.json {
        out::stdout(&json(&checked.problems)?);
    } else {
        for problem in &checked.problems {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            out::stdout(&format!("{severity}: {problem}\n"));
        }
        if checked.production {
            out::stdout(
                "production mode is on: unknown names, expired certificates, readable keys, missing proxies and the \
                         like are errors, not warnings\n",
            );
        }
        if refused == 0 {
            out::stdout("the configuration is valid\n");
        }
    }
    if refused == 0 {
        return Ok(());
    }
    let settings = if refused == 1 { "one setting is".to_owned() } else { format!("{refused} settings are") };
    Err(Failure::configuration(format!("{settings} refused")))
}

fn show(arguments: &ReportArgs) -> Result<(), Failure> {
    let checked = config::check(&arguments.settings.inputs());
    out::stdout(&if arguments.json { json(&checked.shown)? } else { checked.shown.to_string() });
    Ok(())
}

fn load_balancer(arguments: &LbArgs) -> Result<(), Failure> {
    let program = match arguments.program {
        Balancer::Nginx => "nginx",
        Balancer::Haproxy => "haproxy",
    };
    config::check_nodes(&arguments.nodes).map_err(Failure::configuration)?;
    let balancer = config::load_balancer(program, arguments.mode.as_deref()).map_err(Failure::configuration)?;
    out::stdout(&balancer.configuration(&arguments.settings.inputs(), &arguments.nodes)?);
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::other(error.to_string()))?;
    Ok(text + "\n")
}
