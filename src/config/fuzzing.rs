//! Doors for the package fuzz: the files of settings, and the text of each setting.

use std::path::Path;

use super::schema;
use super::{env_file, toml_file};

/// Lines, names and values of an `--env-file`, and how many of its lines are none.
#[must_use]
pub fn env_lines(text: &str) -> (Vec<(usize, String, String)>, usize) {
    let mut problems = Vec::new();
    let lines = env_file::parse(text, Path::new("x.env"), &mut problems);
    (lines.into_iter().map(|line| (line.number, line.name, line.value)).collect(), problems.len())
}

/// Lines, names and values of a TOML file of settings, and how much is wrong with it.
#[must_use]
pub fn toml_entries(text: &str) -> (Vec<(usize, String, String)>, usize) {
    let mut problems = Vec::new();
    let entries = toml_file::parse(text, Path::new("x.toml"), &mut problems);
    (entries.into_iter().map(|entry| (entry.line, entry.name, entry.value)).collect(), problems.len())
}

/// Whether this text may be the value of one of the settings, whichever it is; why not, otherwise.
///
/// # Errors
/// The reason.
pub fn check(which: usize, text: &str) -> Result<(), String> {
    let count = schema::all().count();
    match schema::all().nth(which % count) {
        Some(setting) => setting.check(text),
        None => Ok(()),
    }
}
