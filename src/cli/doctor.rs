//! `vedfolnir doctor`: looks for what keeps clients away, and names it. Nothing is started or written.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vedfolnir::config;
use vedfolnir::doctor::{NetOptions, Verdict, net};
use vedfolnir::tls::Severity;
use vedfolnir::tls::doctor::{Examination, examine};

use super::settings::SettingsArgs;
use super::{Failure, out, runtime};

#[derive(Debug, Subcommand)]
pub(crate) enum DoctorVerb {
    /// Examine the public listener's certificates: permissions, dates, chain, names, and whether clients would trust them.
    Tls(TlsArgs),
    /// Examine, from here, whether clients reach this node and it reaches its peers: names, ports, firewalls, certificates,
    /// a WebSocket handshake, clocks. With the settings that `start` is given.
    Net(Box<NetArgs>),
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

pub(crate) fn run(verb: DoctorVerb) -> Result<(), Failure> {
    match verb {
        DoctorVerb::Tls(arguments) => run_tls(&arguments),
        DoctorVerb::Net(arguments) => run_net(*arguments),
    }
}

fn run_net(arguments: NetArgs) -> Result<(), Failure> {
    let config = config::load(&arguments.settings.inputs())?.config;
    let options = NetOptions { origin: arguments.origin, trust: arguments.trust };
    let checks = runtime::block_on(Some(1), async { Ok(net(&config, &options).await) })?;
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    if arguments.json {
        out::stdout(&format!("{}\n", serde_json::json!({ "failed": failed, "checks": checks })));
    } else {
        for check in &checks {
            out::stdout(&format!("{check}\n"));
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::configuration("one check failed")),
        failed => Err(Failure::configuration(format!("{failed} checks failed"))),
    }
}

fn run_tls(arguments: &TlsArgs) -> Result<(), Failure> {
    let inputs = arguments.settings.inputs();
    let Some(plan) = config::tls_files(&inputs) else {
        return Err(Failure::configuration("there is no certificate to examine: --ssl-cert-file and --ssl-key-file"));
    };
    let diagnosis = examine(&Examination {
        pairs: &plan.files.pairs,
        client_ca: plan.files.client_ca.as_deref(),
        trust: arguments.trust.as_deref(),
        public_host: plan.public_host.as_deref(),
        strictness: plan.files.strictness,
        now: inputs.now_unix,
    });
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
