//! What is wrong with a configuration, one line each.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing wrong, but worth a line: a name without effect here.
    Note,
    /// The node starts; production mode refuses some of these.
    Warning,
    /// The node does not start.
    Error,
}

/// A setting that is refused or doubtful: names the setting, the value, the reason and the accepted form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Option and environment variable, as an operator would write them, or the file and line.
    #[serde(rename = "var")]
    pub setting: String,
    /// What was given, hidden when it is a secret; `None`: nothing.
    pub value: Option<String>,
    /// Why it is refused.
    pub reason: String,
    /// What would be accepted; empty when there is nothing to say.
    pub accepted: String,
    /// How bad it is.
    pub severity: Severity,
    /// Nothing was given where something must be.
    #[serde(skip)]
    pub(crate) missing: bool,
}

/// All that is wrong; at least one [`Severity::Error`].
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// In the order they were found.
    pub problems: Vec<Problem>,
}

impl Problem {
    pub(crate) fn error(
        setting: impl Into<String>,
        value: Option<String>,
        reason: impl Into<String>,
        accepted: impl Into<String>,
    ) -> Self {
        let (setting, reason, accepted) = (setting.into(), reason.into(), accepted.into());
        Self { setting, value, reason, accepted, severity: Severity::Error, missing: false }
    }

    pub(crate) const fn with(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, reason, accepted, .. } = self;
        match &self.value {
            // Debug escapes control characters, so that the line stays one line.
            Some(value) if self.severity == Severity::Error => write!(f, "{setting} = {value:?} is refused: {reason}")?,
            Some(value) => write!(f, "{setting} = {value:?}: {reason}")?,
            None if self.missing => write!(f, "{setting} is missing: {reason}")?,
            None => write!(f, "{setting}: {reason}")?,
        }
        if accepted.is_empty() { Ok(()) } else { write!(f, "; accepted: {accepted}") }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        for (index, problem) in errors.enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
