//! The command line: one file for each subcommand.

mod api;
mod backup;
mod backup_json;
mod cert;
mod chaos;
mod config;
mod dev;
mod doctor;
mod door;
mod drain;
mod exit;
mod healthcheck;
mod log_level;
mod members;
mod notify;
mod open_files;
mod out;
mod publish;
mod runtime;
mod settings;
mod signal;
mod start;
mod status;
mod support_bundle;
#[cfg(test)]
mod tests;
mod token;
mod trace;
mod webhooks;

use clap::{Parser, Subcommand};

pub(crate) use exit::Failure;

/// A clustered, Socket.IO-compatible real-time server that survives the loss of any node.
#[derive(Debug, Parser)]
#[command(name = "vedfolnir", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run one node; without any option a cluster of its own on loopback.
    Start(Box<settings::SettingsArgs>),
    /// Run a whole cluster of real node processes on this machine, to try things out.
    Dev(dev::DevArgs),
    /// Show the cluster as one of its nodes sees it.
    Status(status::StatusArgs),
    /// Probe a node: exit code 0 if it is ready (or live, or started), else 1.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Show the levels that a node logs, or give a category another one while it runs.
    LogLevel(log_level::LogLevelArgs),
    /// Show the members: role, addresses, how far and how recent the leader knows them.
    Members(members::MembersArgs),
    /// Remove a dead node from the cluster for good.
    Remove(members::RemoveArgs),
    /// Have a running node leave its cluster for good and end.
    Leave(members::LeaveArgs),
    /// Have a running node let its clients go to the others, a few at a time, and take no new ones until told otherwise.
    Drain(drain::DrainArgs),
    /// Keep new clients away from a running node, over restarts, until told otherwise; those it has stay.
    Maintenance(drain::MaintenanceArgs),
    /// Have another voter lead.
    TransferLeadership(members::TransferArgs),
    /// What applies, whether it would start, files to begin with.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Look for what keeps clients away or a node from its work: all of it, or one part.
    Doctor(doctor::DoctorArgs),
    /// Publish an event by the HTTP API of any node, once; prints its offset.
    Publish(publish::PublishArgs),
    /// The HTTP API: its description for machines.
    #[command(subcommand)]
    Api(api::ApiVerb),
    /// Audit one session's messages over the cluster: committed, handed to its transport, resumed.
    Trace(trace::TraceArgs),
    /// Write what somebody who helps needs to know into one file: settings, status, metrics, logs; no secrets.
    SupportBundle(Box<support_bundle::SupportBundleArgs>),
    /// Backups: make one, show, verify and remove them, start a new cluster from one.
    #[command(subcommand)]
    Backup(Box<backup::BackupVerb>),
    /// Webhooks: how far the receiver was told, what was given up, telling it again.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksVerb),
    /// Break a cluster of real processes on purpose, and check that nothing was lost.
    #[command(subcommand)]
    Chaos(vedfolnir_chaos::cli::Verb),
    /// Tokens that let a new node in.
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// Certificates between the nodes of a cluster.
    #[command(subcommand)]
    Cert(cert::CertVerb),
}

/// Parses the arguments and does what they ask.
pub(crate) fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) if !answer.use_stderr() => {
            // --help and --version are answers, not errors.
            out::stdout(&answer.render().to_string());
            return Ok(());
        }
        Err(error) => return Err(Failure::usage(&error)),
    };
    match cli.command {
        Verb::Start(settings) => start::run(&settings),
        Verb::Dev(arguments) => dev::run(arguments),
        Verb::Status(arguments) => status::run(arguments),
        Verb::Healthcheck(arguments) => healthcheck::run(arguments),
        Verb::LogLevel(arguments) => log_level::run(arguments),
        Verb::Members(arguments) => members::members(arguments),
        Verb::Remove(arguments) => members::remove(arguments),
        Verb::Leave(arguments) => members::leave(arguments),
        Verb::Drain(arguments) => drain::drain(arguments),
        Verb::Maintenance(arguments) => drain::maintenance(arguments),
        Verb::TransferLeadership(arguments) => members::transfer(arguments),
        Verb::Config(verb) => config::run(verb),
        Verb::Doctor(arguments) => doctor::run(arguments),
        Verb::Publish(arguments) => publish::run(arguments),
        Verb::Api(verb) => api::run(&verb),
        Verb::Trace(arguments) => trace::run(arguments),
        Verb::SupportBundle(arguments) => support_bundle::run(*arguments),
        Verb::Backup(verb) => backup::run(*verb),
        Verb::Webhooks(verb) => webhooks::run(verb),
        Verb::Chaos(verb) => chaos::run(verb),
        Verb::Token(verb) => token::run(verb),
        Verb::Cert(verb) => cert::run(verb),
    }
}
