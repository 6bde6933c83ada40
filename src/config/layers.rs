//! Where each value comes from: command line > environment > file of a value > TOML file > default.
//!
//! Files of variables (`--env-file`) count as environment, below the process's own. Within the environment a setting's own
//! name wins over its other names. Empty text is the same as none.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::env_file::{self, unquoted};
use super::names::{Meaning, meaning, nearest};
use super::schema::{About, Describe, mode};
use super::{Problem, Severity, toml_file};

/// A file that holds one value is no larger, in bytes.
const VALUE_FILE_BYTES_MAX: u64 = 64 << 10;

/// What settings are read from; nothing else is looked at but the files that these name.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Options and their text, without dashes: `("port", "5000")`; a value's file as `("auth-jwt-secret-file", …)`.
    pub arguments: Vec<(String, String)>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Files of `NAME=value` lines; a later one wins.
    pub env_files: Vec<PathBuf>,
    /// Files that the process may have open; `None`: not known, nothing is derived from it.
    pub open_files_max: Option<u64>,
    /// Memory that the process may take, in bytes: its control group's.
    pub memory_bytes_max: Option<u64>,
    /// Seconds since 1970, by which certificates are judged.
    pub now_unix: i64,
}

impl Inputs {
    /// The process's own environment; text that is not UTF-8 is left out.
    #[must_use]
    pub fn of_this_process() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { environment, now_unix: i64::try_from(now).unwrap_or(i64::MAX), ..Self::default() }
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: any of the values may be a secret.
        let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Inputs")
            .field("arguments", &names(&self.arguments))
            .field("environment", &self.environment.len())
            .field("env_files", &self.env_files)
            .field("open_files_max", &self.open_files_max)
            .field("memory_bytes_max", &self.memory_bytes_max)
            .finish()
    }
}

/// Where a value was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// An option.
    CommandLine,
    /// A variable of the environment.
    Env {
        /// Its name.
        variable: String,
    },
    /// A line of a file of variables.
    EnvFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A file that holds this value alone.
    ValueFile {
        /// The file.
        path: PathBuf,
    },
    /// A line of the TOML file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nothing was given.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Env { variable } => write!(f, "env {variable}"),
            Self::EnvFile { path, line } | Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::ValueFile { path } => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as it was given.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// The values that were given, the one that wins for each setting, and what was wrong on the way.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    given: BTreeMap<&'static str, Given>,
    pub(crate) problems: Vec<Problem>,
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: any of the values may be a secret.
        f.debug_set().entries(self.given.keys()).finish()
    }
}

/// Ranks: the lower one wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    CommandLine,
    CommandLineFile,
    /// The name's own rank.
    Env(usize),
    /// The file's, the later the better, then the name's.
    EnvFile(usize, usize),
    ValueFile(usize),
    Toml(usize),
    TomlValueFile,
}

/// One thing that was said about a setting.
struct Said {
    rank: Rank,
    given: Given,
}

#[derive(Default)]
struct Gathering {
    said: BTreeMap<&'static str, Vec<Said>>,
    problems: Vec<Problem>,
}

impl Layers {
    /// Reads everything there is.
    pub(crate) fn read(inputs: &Inputs) -> Self {
        let mut gathering = Gathering::default();
        for (option, text) in &inputs.arguments {
            gathering.argument(option, text);
        }
        for (name, text) in &inputs.environment {
            let source = Source::Env { variable: name.clone() };
            gathering.variable(name, text, source, Rank::Env, Rank::ValueFile(0));
        }
        let files = inputs.env_files.len();
        for (index, path) in inputs.env_files.iter().enumerate() {
            let place = files - index;
            for line in env_file::read(path, &mut gathering.problems) {
                let source = Source::EnvFile { path: path.clone(), line: line.number };
                let rank = |rank| Rank::EnvFile(place, rank);
                gathering.variable(&line.name, &line.value, source, rank, Rank::ValueFile(place));
            }
        }
        // The file's own name can be given by all but the file.
        if let Some(given) = gathering.best(mode::CONFIG_FILE.about().name) {
            let path = PathBuf::from(&given.text);
            for entry in toml_file::read(&path, &mode::CONFIG_FILE.about.spelled(), &mut gathering.problems) {
                let source = Source::File { path: path.clone(), line: entry.line };
                gathering.key(&entry, source);
            }
        }
        gathering.finish()
    }

    /// What was given for a setting.
    pub(crate) fn given(&self, about: &About) -> Option<&Given> {
        self.given.get(about.name)
    }
}

impl Gathering {
    fn argument(&mut self, option: &str, text: &str) {
        let of_option = |name: &str| super::schema::all().find(|setting| setting.about().option == name);
        if let Some(setting) = of_option(option) {
            self.say(setting, Rank::CommandLine, text, Source::CommandLine);
        } else if let Some(setting) = option.strip_suffix("-file").and_then(of_option) {
            self.say_file(setting, Rank::CommandLineFile, text, &format!("--{option}"));
        }
    }

    fn variable(&mut self, name: &str, text: &str, source: Source, rank: impl FnOnce(usize) -> Rank, file_rank: Rank) {
        let text = unquoted(text);
        if text.trim().is_empty() {
            return;
        }
        let place = place_of(name, &source);
        match meaning(name) {
            Meaning::Value(setting, name_rank) => self.say(setting, rank(name_rank), text, source),
            Meaning::ValueFile(setting) => self.say_file(setting, file_rank, text, &place),
            Meaning::NoEffect(why) => self.note(&place, why),
            Meaning::Unknown => self.unknown(&place, name),
            Meaning::Foreign => {}
        }
    }

    fn key(&mut self, entry: &toml_file::Entry, source: Source) {
        let place = place_of(&entry.key, &source);
        match meaning(&entry.name) {
            Meaning::Value(setting, _) if setting.about().name == mode::CONFIG_FILE.about.name => {
                self.problems.push(Problem::error(place, None, "a file cannot name another one", ""));
            }
            Meaning::Value(setting, rank) => self.say(setting, Rank::Toml(rank), &entry.value, source),
            Meaning::ValueFile(setting) => self.say_file(setting, Rank::TomlValueFile, &entry.value, &place),
            Meaning::NoEffect(why) => self.note(&place, why),
            Meaning::Unknown | Meaning::Foreign => self.unknown(&place, &entry.name),
        }
    }

    fn say(&mut self, setting: &'static dyn Describe, rank: Rank, text: &str, source: Source) {
        let text = text.trim();
        if !text.is_empty() {
            let given = Given { text: text.to_owned(), source };
            self.said.entry(setting.about().name).or_default().push(Said { rank, given });
        }
    }

    /// A value that is in a file of its own; a last line's end does not belong to it.
    fn say_file(&mut self, setting: &'static dyn Describe, rank: Rank, path: &str, place: &str) {
        let path = Path::new(path.trim());
        if path.as_os_str().is_empty() {
            return;
        }
        match read_value(path) {
            Ok(text) => {
                let source = Source::ValueFile { path: path.to_path_buf() };
                let text =
                    text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
                let given = Given { text: text.to_owned(), source };
                self.said.entry(setting.about().name).or_default().push(Said { rank, given });
            }
            Err(reason) => {
                let value = Some(path.display().to_string());
                self.problems.push(Problem::error(place, value, reason, "a readable file that holds the value alone"));
            }
        }
    }

    fn note(&mut self, place: &str, why: &str) {
        let problem = Problem::error(place, None, format!("it has no effect: {why}"), "");
        self.problems.push(problem.with(Severity::Note));
    }

    /// A warning; production mode makes an error of it.
    fn unknown(&mut self, place: &str, name: &str) {
        let accepted = nearest(name).map(|near| format!("did you mean {near}?"));
        let reason = format!("it is no setting{}", accepted.map(|hint| format!("; {hint}")).unwrap_or_default());
        self.problems.push(Problem::error(place, None, reason, "").with(Severity::Warning));
    }

    fn best(&self, name: &str) -> Option<&Given> {
        let said = self.said.get(name)?;
        said.iter().min_by_key(|said| said.rank).map(|said| &said.given)
    }

    fn finish(mut self) -> Layers {
        for (name, said) in &self.said {
            let of = |wanted: fn(&Rank) -> bool| said.iter().any(|said| wanted(&said.rank));
            let by_option =
                of(|rank| matches!(rank, Rank::CommandLine)) && of(|rank| matches!(rank, Rank::CommandLineFile));
            let by_variable = of(|rank| matches!(rank, Rank::Env(_) | Rank::EnvFile(..)))
                && of(|rank| matches!(rank, Rank::ValueFile(_)));
            let by_key = of(|rank| matches!(rank, Rank::Toml(_))) && of(|rank| matches!(rank, Rank::TomlValueFile));
            if by_option || by_variable || by_key {
                let reason = format!("it is given, and {name}_FILE names a file that holds it as well");
                self.problems.push(Problem::error(*name, None, reason, "one of the two"));
            }
        }
        let best = |said: Vec<Said>| said.into_iter().min_by_key(|said| said.rank).map(|said| said.given);
        let given = std::mem::take(&mut self.said)
            .into_iter()
            .filter_map(|(name, said)| Some((name, best(said)?)))
            .filter(|(_, given)| !given.text.trim().is_empty())
            .collect();
        Layers { given, problems: self.problems }
    }
}

fn place_of(name: &str, source: &Source) -> String {
    match source {
        Source::EnvFile { path, line } | Source::File { path, line } => format!("{name} in {}:{line}", path.display()),
        _ => name.to_owned(),
    }
}

fn read_value(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read ({error})");
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > VALUE_FILE_BYTES_MAX {
        return Err(format!("{length} bytes are no single value"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
