//! Why a configuration is refused, in one line.

use std::fmt;

/// A refused setting: names the setting, the value, the reason and the accepted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Option and environment variable, as an operator would write them.
    pub setting: &'static str,
    /// What was given; `None`: nothing.
    pub value: Option<String>,
    /// Why it is refused.
    pub reason: String,
    /// What would be accepted.
    pub accepted: String,
}

impl ConfigError {
    pub(crate) fn new(
        setting: &'static str,
        value: impl Into<String>,
        reason: impl Into<String>,
        accepted: impl Into<String>,
    ) -> Self {
        Self { setting, value: Some(value.into()), reason: reason.into(), accepted: accepted.into() }
    }

    pub(crate) fn missing(setting: &'static str, reason: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self { setting, value: None, reason: reason.into(), accepted: accepted.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            // Debug escapes control characters, so that the line stays one line.
            Some(value) => {
                write!(f, "{} = {value:?} is refused: {}; accepted: {}", self.setting, self.reason, self.accepted)
            }
            None => write!(f, "{} is missing: {}; accepted: {}", self.setting, self.reason, self.accepted),
        }
    }
}

impl std::error::Error for ConfigError {}
