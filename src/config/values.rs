//! The settings' values, typed: what was given where it is valid, the default otherwise; and all that is wrong, gathered.

use std::cell::RefCell;

use super::layers::{Given, Layers, Source};
use super::problem::{Problem, Severity};
use super::schema::kind::{Boolean, Kind};
use super::schema::{About, Describe, Mode, Setting, all, mode, security};

/// What a secret is shown as.
pub(crate) const HIDDEN: &str = "***";

/// See the module.
pub(crate) struct Values<'a> {
    layers: &'a Layers,
    mode: Mode,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Values<'a> {
    /// Judges every value by itself.
    pub(crate) fn new(layers: &'a Layers) -> Self {
        let on = |setting: &Setting<Boolean>| Boolean.parse(&layers.given(&setting.about)?.text).ok();
        let production = on(&mode::PRODUCTION_MODE).unwrap_or_default();
        let hardened = on(&security::ENHANCED_SECURITY).unwrap_or(production);
        let values = Self { layers, mode: Mode { production, hardened }, problems: RefCell::default() };
        for problem in &layers.problems {
            let severity = if problem.severity == Severity::Warning { values.strict() } else { problem.severity };
            values.push(problem.clone().with(severity));
        }
        for setting in all() {
            values.judge(setting);
        }
        values
    }

    fn judge(&self, setting: &dyn Describe) {
        let about = setting.about();
        let Some(given) = self.layers.given(about) else { return };
        if let Err(reason) = setting.check(&given.text) {
            self.refuse_text(about, reason, setting.accepted());
            return;
        }
        let is_off = about.default.text(self.mode).is_some_and(|default| same(default, &given.text));
        if let Some(what) = about.later
            && !is_off
        {
            let accepted = match about.default.text(self.mode) {
                Some(default) => format!("{default}, or leave it away"),
                None => "leave it away".to_owned(),
            };
            self.refuse_text(about, format!("it asks for {what}, which this version does not have"), accepted);
        }
    }

    /// Production mode?
    pub(crate) const fn production(&self) -> bool {
        self.mode.production
    }

    /// An error in production mode, a warning otherwise.
    pub(crate) const fn strict(&self) -> Severity {
        if self.mode.production { Severity::Error } else { Severity::Warning }
    }

    /// What applies, of a setting that has a default.
    pub(crate) fn get<K: Kind>(&self, setting: &Setting<K>) -> K::Value {
        self.maybe(setting).unwrap_or_else(|| unreachable_default(&setting.about))
    }

    /// What applies: what was given, if it is valid, or the default, if there is one.
    pub(crate) fn maybe<K: Kind>(&self, setting: &Setting<K>) -> Option<K::Value> {
        self.given(setting).or_else(|| {
            let text = setting.about.default.text(self.mode)?;
            setting.kind.parse(text).ok()
        })
    }

    /// What was given, if it is valid.
    pub(crate) fn given<K: Kind>(&self, setting: &Setting<K>) -> Option<K::Value> {
        setting.kind.parse(&self.layers.given(&setting.about)?.text).ok()
    }

    /// Whether anything was given.
    pub(crate) fn is_given<K>(&self, setting: &Setting<K>) -> bool {
        self.layers.given(&setting.about).is_some()
    }

    /// As it was given, or the default's text.
    pub(crate) fn text(&self, about: &About) -> Option<(String, Source)> {
        match self.layers.given(about) {
            Some(Given { text, source }) => Some((text.clone(), source.clone())),
            None => about.default.text(self.mode).map(|text| (text.to_owned(), Source::Default)),
        }
    }

    /// A setting cannot be as it was given, or not be missing.
    pub(crate) fn refuse<K>(&self, setting: &Setting<K>, reason: impl Into<String>, accepted: impl Into<String>) {
        self.refuse_text(&setting.about, reason.into(), accepted.into());
    }

    /// The same for an error of another module, whose text ends with what would be accepted.
    pub(crate) fn refuse_for<K>(&self, setting: &Setting<K>, error: &impl ToString) {
        let text = error.to_string();
        let (reason, accepted) = split_accepted(&text);
        self.refuse_text(&setting.about, reason.to_owned(), accepted.to_owned());
    }

    /// The same with a severity.
    pub(crate) fn say<K>(
        &self,
        severity: Severity,
        setting: &Setting<K>,
        reason: impl Into<String>,
        accepted: impl Into<String>,
    ) {
        let problem = Problem::error(self.name(&setting.about), self.shown(&setting.about), reason, accepted);
        self.push(problem.with(severity));
    }

    fn refuse_text(&self, about: &About, reason: String, accepted: String) {
        let value = self.shown(about);
        self.push(Problem { missing: value.is_none(), ..Problem::error(self.name(about), value, reason, accepted) });
    }

    fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// The names of a setting, and where its value came from unless that is clear by them.
    fn name(&self, about: &About) -> String {
        match self.layers.given(about).map(|given| &given.source) {
            Some(Source::Env { variable }) if variable != about.name => format!("{} ({variable})", about.spelled()),
            Some(source @ (Source::EnvFile { .. } | Source::ValueFile { .. } | Source::File { .. })) => {
                format!("{} in {source}", about.spelled())
            }
            _ => about.spelled(),
        }
    }

    fn shown(&self, about: &About) -> Option<String> {
        let given = self.layers.given(about)?;
        Some(if about.secret { HIDDEN.to_owned() } else { given.text.clone() })
    }

    /// All that is wrong, in the order in which it was found.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// `get` is for settings with a default only, and every default is valid: the test of the schema composes a configuration
/// of nothing, in both modes.
#[allow(clippy::panic)]
fn unreachable_default<T>(about: &About) -> T {
    panic!("{} has no valid default", about.name)
}

/// An error's text as reason and accepted form: `REASON; accepted: FORM` or `REASON (accepted: FORM)`.
pub(crate) fn split_accepted(text: &str) -> (&str, &str) {
    if let Some((reason, accepted)) = text.split_once("; accepted: ") {
        return (reason, accepted);
    }
    match text.split_once(" (accepted: ") {
        Some((reason, accepted)) => (reason, accepted.strip_suffix(')').unwrap_or(accepted)),
        None => (text, ""),
    }
}

/// Whether two texts mean the same: booleans by their value, others as text.
fn same(one: &str, other: &str) -> bool {
    match (Boolean.parse(one), Boolean.parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}
