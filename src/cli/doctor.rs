//! `vedfolnir doctor`: looks for what keeps clients away or a node from doing its work, and names it. Nothing is started.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use vedfolnir::admin::{SOCKET_NAME, Target};
use vedfolnir::config::{self, Config, Inputs};
use vedfolnir::doctor::{self, Check, NetOptions, Verdict, net};
use vedfolnir::security::secret::Secret;
use vedfolnir::tls::Severity;
use vedfolnir::tls::doctor::{Diagnosis, Examination, examine};

use super::door::Door;
use super::settings::SettingsArgs;
use super::{Failure, open_files, out, runtime};

/// Everything that applies, or one part of it.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct DoctorArgs {
    #[command(subcommand)]
    verb: Option<DoctorVerb>,
    #[command(flatten)]
    all: Box<HostArgs>,
}

#[derive(Debug, Subcommand)]
enum DoctorVerb {
    /// Examine the public listener's certificates: permissions, dates, chain, names, and whether clients would trust them.
    Tls(TlsArgs),
    /// Examine, from here, whether clients reach this node and it reaches its peers: names, ports, firewalls, certificates,
    /// a WebSocket handshake, clocks. With the settings that `start` is given.
    Net(Box<NetArgs>),
    /// Examine the data directory and those of logs: permissions, file system, room, and how long a synced write takes.
    /// With the settings that `start` is given.
    Disk(Box<HostArgs>),
    /// Examine what the machine lets a node do: open files, memory, processors, sockets, ports, threads, clock. With the
    /// settings that `start` is given.
    Limits(Box<HostArgs>),
    /// Examine a running cluster: leader, terms, replicas, contacts, quorum, versions, clocks, certificates, names.
    Cluster(ClusterArgs),
}

/// With the settings that `start` is given.
#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    /// One JSON object in place of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ClusterArgs {
    /// One JSON object in place of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: Door,
}

#[derive(Args, Debug)]
pub(crate) struct NetArgs {
    /// One JSON object in place of lines
    #[arg(long)]
    json: bool,
    /// Origin of the page that clients come from, such as https://app.example.com; without it a page of the service itself
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// PEM file of the authorities that clients trust besides this machine's
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TlsArgs {
    /// PEM file of the authorities that clients trust; without it trust is not examined
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) fn run(arguments: DoctorArgs) -> Result<(), Failure> {
    // Reading the settings raises it, as a start does.
    let files = open_files::now();
    match arguments.verb {
        None => {
            let HostArgs { json, settings } = *arguments.all;
            let inputs = settings.inputs();
            let config = config::load(&inputs)?.config;
            report(json, &runtime::block_on(Some(1), async { Ok(everything(&config, &inputs, files).await) })?)
        }
        Some(DoctorVerb::Tls(arguments)) => run_tls(&arguments),
        Some(DoctorVerb::Net(arguments)) => run_net(*arguments),
        Some(DoctorVerb::Disk(arguments)) => {
            report(arguments.json, &doctor::disk(&config::load(&arguments.settings.inputs())?.config))
        }
        Some(DoctorVerb::Limits(arguments)) => {
            report(arguments.json, &doctor::limits(&config::load(&arguments.settings.inputs())?.config, files))
        }
        Some(DoctorVerb::Cluster(arguments)) => {
            let (targets, token) = (arguments.door.targets()?, arguments.door.token()?);
            let checks = runtime::block_on(Some(1), async {
                doctor::cluster(&targets, token.as_ref()).await.map_err(Failure::other)
            })?;
            report(arguments.json, &checks)
        }
    }
}

/// All that applies: certificates if there are any, a cluster if a node of it runs here.
pub(super) async fn everything(config: &Config, inputs: &Inputs, files: doctor::OpenFiles) -> Vec<Check> {
    let mut checks = doctor::limits(config, files);
    checks.extend(doctor::disk(config));
    if let Some(diagnosis) = diagnose(inputs, None) {
        checks.extend(diagnosis.findings.iter().map(Check::from));
    }
    let running = running(&config.node.data_dir).await;
    // Before it has started a node's ports are closed, which is no fault.
    if let Some(target) = running {
        checks.extend(net(config, &NetOptions::default()).await);
        let tokens = &config.admin.tokens;
        let token: Option<&Secret> = [&tokens.read, &tokens.operate, &tokens.admin].into_iter().flatten().next();
        match doctor::cluster(&[target], token).await {
            Ok(cluster) => checks.extend(cluster),
            Err(reason) => checks.push(Check {
                verdict: Verdict::Warn,
                what: "cluster".to_owned(),
                why: format!("the node that runs here does not answer: {reason}"),
                fix: Some("see its log; ask another with `vedfolnir doctor cluster --addr`".to_owned()),
            }),
        }
    }
    checks
}

/// The socket of a node that runs in a data directory.
async fn running(data_dir: &Path) -> Option<Target> {
    let socket = data_dir.join(SOCKET_NAME);
    tokio::net::UnixStream::connect(&socket).await.ok()?;
    Some(Target::Unix(socket))
}

fn run_net(arguments: NetArgs) -> Result<(), Failure> {
    let config = config::load(&arguments.settings.inputs())?.config;
    let options = NetOptions { origin: arguments.origin, trust: arguments.trust };
    report(arguments.json, &runtime::block_on(Some(1), async { Ok(net(&config, &options).await) })?)
}

fn report(json: bool, checks: &[Check]) -> Result<(), Failure> {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    if json {
        out::stdout(&format!("{}\n", serde_json::json!({ "failed": failed, "checks": checks })));
    } else {
        for check in checks {
            out::stdout(&format!("{check}\n"));
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::configuration("one check failed")),
        failed => Err(Failure::configuration(format!("{failed} checks failed"))),
    }
}

fn diagnose(inputs: &Inputs, trust: Option<&Path>) -> Option<Diagnosis> {
    let plan = config::tls_files(inputs)?;
    Some(examine(&Examination {
        pairs: &plan.files.pairs,
        client_ca: plan.files.client_ca.as_deref(),
        trust,
        public_host: plan.public_host.as_deref(),
        strictness: plan.files.strictness,
        now: inputs.now_unix,
    }))
}

fn run_tls(arguments: &TlsArgs) -> Result<(), Failure> {
    let Some(diagnosis) = diagnose(&arguments.settings.inputs(), arguments.trust.as_deref()) else {
        return Err(Failure::configuration("there is no certificate to examine: --ssl-cert-file and --ssl-key-file"));
    };
    for (file, report) in &diagnosis.certificates {
        let names = report.names.join(", ");
        out::stdout(&format!(
            "{}: {} of {}, serial {}, for {names}, from {} to {}\n",
            file.display(),
            report.subject,
            report.issuer,
            report.serial,
            config::show_time(report.not_before),
            config::show_time(report.not_after),
        ));
    }
    for finding in &diagnosis.findings {
        out::stdout(&format!("{}: {finding}\n", finding.severity.as_str()));
    }
    match diagnosis.findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 if diagnosis.findings.is_empty() => out::stdout("no fault was found\n"),
        0 => {}
        1 => return Err(Failure::configuration("one fault keeps clients away")),
        faults => return Err(Failure::configuration(format!("{faults} faults keep clients away"))),
    }
    Ok(())
}
