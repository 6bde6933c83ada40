//! `vedfolnir doctor`: looks for what keeps clients away, and names it. Nothing is started or written.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vedfolnir::config;
use vedfolnir::tls::Severity;
use vedfolnir::tls::doctor::{Examination, examine};

use super::settings::SettingsArgs;
use super::{Failure, out};

#[derive(Debug, Subcommand)]
pub(crate) enum DoctorVerb {
    /// Examine the public listener's certificates: permissions, dates, chain, names, and whether clients would trust them.
    Tls(TlsArgs),
}

#[derive(Args, Debug)]
pub(crate) struct TlsArgs {
    /// PEM file of the authorities that clients trust; without it trust is not examined
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) fn run(DoctorVerb::Tls(arguments): DoctorVerb) -> Result<(), Failure> {
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
