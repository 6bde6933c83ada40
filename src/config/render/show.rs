//! What applies: each setting's value and where it comes from.

use std::fmt;

use ring::digest;
use serde::Serialize;

use crate::config::layers::Source;
use crate::config::schema::{CATEGORIES, Describe, Preset};
use crate::config::values::{HIDDEN, Values};

/// Every setting, by category.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// In the order of the documentation.
    pub settings: Vec<ShownSetting>,
}

/// A setting as it applies.
#[derive(Clone, Debug, Serialize)]
pub struct ShownSetting {
    /// Its category's title.
    pub category: &'static str,
    /// Its environment variable.
    pub var: &'static str,
    /// What applies; `None`: nothing is given and there is no default text; `***`: a secret.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// What nothing comes to, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unset: Option<&'static str>,
}

impl Shown {
    pub(crate) fn of(values: &Values<'_>) -> Self {
        let one = |category: &'static str, setting: &'static dyn Describe| {
            let about = setting.about();
            let (value, source) = match values.text(about) {
                Some((text, source)) => (Some(text), source),
                None => (None, Source::Default),
            };
            let unset = match about.default {
                Preset::Unset(words) if value.is_none() => Some(words),
                _ => None,
            };
            let value = value.map(|text| if about.secret { HIDDEN.to_owned() } else { text });
            ShownSetting { category, var: about.name, value, source, unset }
        };
        let settings = CATEGORIES
            .iter()
            .flat_map(|category| category.settings.iter().map(move |setting| one(category.title, *setting)));
        Self { settings: settings.collect() }
    }

    /// Names what applies, wherever it comes from.
    pub(crate) fn hash(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for setting in &self.settings {
            // Lengths, so that no two lists are the same bytes.
            for text in [Some(setting.var), setting.value.as_deref()] {
                context.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
                context.update(text.unwrap_or_default().as_bytes());
            }
        }
        context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.settings.iter().map(|setting| setting.var.len()).max().unwrap_or(0);
        let mut category = "";
        for setting in &self.settings {
            if setting.category != category {
                let gap = if category.is_empty() { "" } else { "\n" };
                category = setting.category;
                writeln!(f, "{gap}# {category}")?;
            }
            let value = match (&setting.value, setting.unset) {
                // Debug escapes what would break the line.
                (Some(text), _) if text.chars().any(char::is_control) => format!("{text:?}"),
                (Some(text), _) => text.clone(),
                (None, words) => format!("({})", words.unwrap_or("none")),
            };
            writeln!(f, "{:width$}  {value}  [{}]", setting.var, setting.source)?;
        }
        Ok(())
    }
}
