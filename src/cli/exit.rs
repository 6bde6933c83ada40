//! How the process ends when something is wrong: one line on standard error, and the exit code. All codes are here.

use std::process::ExitCode;

use vedfolnir::config::{ConfigError, Severity};
use vedfolnir::server::ServerError;

/// `EX_CONFIG` of sysexits.h: what was asked for cannot be done; nothing was started.
const CONFIGURATION: u8 = 78;
/// `vedfolnir chaos`: the harness itself failed, which says nothing of the program under attack.
const HARNESS: u8 = 2;
/// Everything else.
const OTHER: u8 = 1;

/// Why the process ends with an error: one line, or one for each setting that is refused.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    lines: Vec<String>,
}

impl Failure {
    /// The arguments or settings are refused.
    pub(crate) fn configuration(line: impl Into<String>) -> Self {
        Self { code: CONFIGURATION, lines: vec![line.into()] }
    }

    /// Anything else went wrong.
    pub(crate) fn other(line: impl Into<String>) -> Self {
        Self { code: OTHER, lines: vec![line.into()] }
    }

    /// There is no verdict.
    pub(crate) fn harness(error: &vedfolnir_chaos::HarnessError) -> Self {
        Self { code: HARNESS, lines: vec![error.to_string()] }
    }

    /// The command line was not understood: clap's first line, which names the argument, and where to read on.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or("the arguments are not understood");
        let first = first.strip_prefix("error: ").unwrap_or(first);
        // A list of missing arguments follows on lines of their own.
        let detail: Vec<&str> = if first.ends_with(':') {
            lines.take_while(|line| !line.starts_with("Usage:")).collect()
        } else {
            Vec::new()
        };
        Self::configuration(format!("{} (see vedfolnir --help)", [&[first], detail.as_slice()].concat().join(" ")))
    }

    /// Says why and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        for line in self.lines() {
            super::out::stderr_line(&format!("vedfolnir: {line}"));
        }
        ExitCode::from(self.code)
    }

    /// The lines, each with anything that would break it replaced.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.lines
            .iter()
            .map(|line| line.split('\n').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let errors = error.problems.iter().filter(|problem| problem.severity == Severity::Error);
        Self { code: CONFIGURATION, lines: errors.map(ToString::to_string).collect() }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::other(error.to_string())
    }
}
