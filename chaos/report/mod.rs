//! What people and programs read of a run: a live table, a text, JSON, one page of HTML.

mod chart;
mod html;
mod json;
mod live;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

pub use live::{Eye, Watched};
pub use text::{replay, summary, text};

use crate::error::HarnessError;
use crate::runner::Run;

/// Writes a run's reports into a directory; returns their paths.
///
/// # Errors
/// The disk.
pub fn write(run: &Run, directory: &Path) -> Result<Vec<PathBuf>, HarnessError> {
    fs::create_dir_all(directory).map_err(HarnessError::file(directory))?;
    let mut paths = Vec::new();
    for (name, content) in
        [("report.txt", text(run)), ("report.json", json::json(run)), ("report.html", html::html(run))]
    {
        let path = directory.join(name);
        fs::write(&path, content).map_err(HarnessError::file(&path))?;
        paths.push(path);
    }
    Ok(paths)
}
