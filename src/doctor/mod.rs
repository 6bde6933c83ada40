//! What `vedfolnir doctor` looks at: whether clients reach this node, and this node its peers; the disk below it; what the
//! machine lets it do; and a running cluster. Nothing is changed.
//!
//! ```text
//!   Config ─► public: name ─► TCP ─► TLS ─► health ─► WebSocket handshake with an Origin
//!          ├► peers:  name ─► UDP ─► QUIC, certificates ─► same cluster? ─► clocks
//!          ├► disk:   directories ─► file system ─► room ─► writes that are synced
//!          └► limits: files, memory, processors, sockets, ports, threads, clock
//!   operators' doors ─► cluster: what each member says, held against what the others say
//! ```

mod cluster;
mod disk;
mod limits;
mod peers;
mod public;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::config::Config;
use crate::tls::{Finding, Severity};

pub use cluster::cluster;
pub use limits::OpenFiles;

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Doubtful, or it could not be looked at.
    Warn,
    /// It keeps clients or peers away.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// How well it is.
    pub verdict: Verdict,
    /// What was looked at, with its address.
    pub what: String,
    /// What was found.
    pub why: String,
    /// What to do about it; nothing if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    fn ok(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, what: what.into(), why: why.into(), fix: None }
    }

    fn warn(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, what: what.into(), why: why.into(), fix: Some(fix.into()) }
    }

    fn fail(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, what: what.into(), why: why.into(), fix: Some(fix.into()) }
    }
}

/// A finding about a certificate's file.
impl From<&Finding> for Check {
    fn from(finding: &Finding) -> Self {
        let verdict = match finding.severity {
            Severity::Error => Verdict::Fail,
            Severity::Warning => Verdict::Warn,
        };
        let what = format!("file {}", finding.file.display());
        Self { verdict, what, why: finding.reason.clone(), fix: Some(format!("accepted: {}", finding.accepted)) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict}  {}: {}", self.what, self.why)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// What the configuration does not say.
#[derive(Clone, Debug, Default)]
pub struct NetOptions {
    /// The origin of the page that a client comes from; `None`: a page of the service itself.
    pub origin: Option<String>,
    /// PEM file of the authorities that clients trust besides the system's.
    pub trust: Option<PathBuf>,
}

/// Looks at everything; takes some seconds where nothing answers.
pub async fn net(config: &Config, options: &NetOptions) -> Vec<Check> {
    let (mut checks, peers) = tokio::join!(public::examine(config, options), peers::examine(config));
    checks.extend(peers);
    checks
}

/// Looks at the disk; takes some seconds if it is slow.
#[must_use]
pub fn disk(config: &Config) -> Vec<Check> {
    disk::examine(config)
}

/// Looks at what the machine lets the node do.
#[must_use]
pub fn limits(config: &Config, open_files: OpenFiles) -> Vec<Check> {
    limits::examine(config, open_files)
}
