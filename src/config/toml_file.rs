//! The TOML file of settings, flattened to the environment's names, each with its line.
//!
//! A key is a setting's name without `WEBSOCKET_`, in small letters; a table's name and its keys join with an underscore, so
//! that `[cluster] bootstrap = …` and `cluster_bootstrap = …` are the same.

use std::path::Path;

use toml_span::value::{Table, ValueInner};
use toml_span::{Span, Value};

use super::names::{Meaning, meaning, variable_of_key};
use super::{Problem, env_file};

/// A value with the name that it would have in the environment.
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Tables inside tables at most.
const DEPTH_MAX: usize = 8;

/// Reads a file; what is wrong with it is added to `problems`.
pub(crate) fn read(path: &Path, setting: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    match env_file::read_text(path) {
        Ok(text) => parse(&text, path, problems),
        Err(reason) => {
            problems.push(Problem::error(
                setting,
                Some(path.display().to_string()),
                reason,
                "a readable TOML file of settings",
            ));
            Vec::new()
        }
    }
}

pub(super) fn parse(text: &str, path: &Path, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let document = match toml_span::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let place = format!("{}:{}", path.display(), line_of(text, error.span));
            problems.push(Problem::error(place, None, format!("not TOML: {error}"), "KEY = VALUE"));
            return Vec::new();
        }
    };
    let mut reader = Reader { text, path, entries: Vec::new(), problems };
    if let Some(table) = document.as_table() {
        reader.table(table, "", 0);
    }
    // A table is sorted by its keys: people read their own order.
    reader.entries.sort_by_key(|entry| entry.line);
    reader.entries
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    entries: Vec<Entry>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn table(&mut self, table: &Table<'_>, prefix: &str, depth: usize) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.name.to_string() } else { format!("{prefix}_{}", name.name) };
            let line = line_of(self.text, name.span);
            let variable = variable_of_key(&key);
            let known = !matches!(meaning(&variable), Meaning::Unknown | Meaning::Foreign);
            match value.as_table() {
                Some(inner) if !known && depth < DEPTH_MAX => self.table(inner, &key, depth + 1),
                _ => match text_of(value) {
                    Some(value) => self.entries.push(Entry { line, key, name: variable, value }),
                    None => self.problems.push(Problem::error(
                        format!("{} in {}:{line}", key, self.path.display()),
                        None,
                        "a value of this kind means nothing here",
                        "a string, number, boolean, an array of them without commas inside, or a table of numbers",
                    )),
                },
            }
        }
    }
}

/// The value as it would be typed in the environment.
fn text_of(value: &Value<'_>) -> Option<String> {
    match value.as_ref() {
        ValueInner::Array(items) => {
            let one = |item: &Value<'_>| scalar(item).filter(|item| !item.contains(','));
            Some(items.iter().map(one).collect::<Option<Vec<_>>>()?.join(","))
        }
        ValueInner::Table(table) => {
            let one = |(key, value): (&toml_span::value::Key<'_>, &Value<'_>)| {
                let number: serde_json::Value = serde_json::from_str(&scalar(value)?).ok()?;
                Some((key.name.to_string(), number))
            };
            let object: serde_json::Map<_, _> = table.iter().map(one).collect::<Option<_>>()?;
            serde_json::to_string(&object).ok()
        }
        _ => scalar(value),
    }
}

fn scalar(value: &Value<'_>) -> Option<String> {
    match value.as_ref() {
        ValueInner::String(text) => Some(text.to_string()),
        ValueInner::Integer(integer) => Some(integer.to_string()),
        ValueInner::Float(float) => Some(float.to_string()),
        ValueInner::Boolean(boolean) => Some(boolean.to_string()),
        ValueInner::Array(_) | ValueInner::Table(_) => None,
    }
}

fn line_of(text: &str, span: Span) -> usize {
    let before = text.get(..span.start).unwrap_or_default();
    before.bytes().filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(usize, String, String)>, Vec<Problem>) {
        let mut problems = Vec::new();
        let entries = parse(text, Path::new("x.toml"), &mut problems);
        (entries.into_iter().map(|entry| (entry.line, entry.name, entry.value)).collect(), problems)
    }

    #[test]
    fn tables_and_keys_become_names_with_their_lines() {
        let text = "port = 5000\nproduction_mode = true\n\n[cluster]\nbootstrap = [\"a:1\", \"b:1\"]\ntls = {ca_file = \"ca.pem\"}\n\n\
                    [alert_thresholds]\nconnection_errors = 10\nresponse_time_ms = 2.5\n";
        let (mut entries, problems) = read(text);
        entries.sort();
        assert_eq!(problems, []);
        let expected = [
            (1, "WEBSOCKET_PORT", "5000"),
            (2, "WEBSOCKET_PRODUCTION_MODE", "true"),
            (5, "WEBSOCKET_CLUSTER_BOOTSTRAP", "a:1,b:1"),
            (6, "WEBSOCKET_CLUSTER_TLS_CA_FILE", "ca.pem"),
            (8, "WEBSOCKET_ALERT_THRESHOLDS", "{\"connection_errors\":10,\"response_time_ms\":2.5}"),
        ];
        let expected: Vec<_> =
            expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())).into_iter().collect();
        assert_eq!(entries, expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, place, reason) in [
            ("port = 1\nport = 2\n", "x.toml:2", "port"),
            ("port = \n", "x.toml:1", "not TOML"),
            ("data_dir = \"x\"\nport = [[1]]\n", "port in x.toml:2", "kind"),
            ("transports = [\"a,b\"]\n", "transports in x.toml:1", "kind"),
        ] {
            let (_, problems) = read(text);
            let problem = problems.first().expect("refused");
            assert_eq!(problem.setting, place);
            assert!(problem.reason.contains(reason), "{problem}");
        }
    }
}
