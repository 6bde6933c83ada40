//! Faults below one node: its disk, its files, its clocks, its share of the machine, its certificate.
//!
//! None of it knows the product beyond the names of the files in a data directory. What needs root or a tool says so when it
//! is made, as an [`InjectError`] in one line; whatever was set up goes with the value that stands for it, and with the
//! process however it ends.

pub mod below;
pub mod certificates;
pub mod cgroup;
pub mod corrupt;
pub mod loop_disk;
pub mod namespace;
pub mod shim;
pub mod small_disk;

pub use below::{Below, Disk, Ground};

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a fault cannot be injected.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// A file or directory.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A program that is needed is missing or failed.
    #[error("{program}: {reason}")]
    Program {
        /// Its name.
        program: String,
        /// What it said, or why it could not be started.
        reason: String,
    },
    /// This machine lacks what it takes.
    #[error("{0}")]
    Lacking(String),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl InjectError {
    /// For `map_err`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::File { path, reason }
    }
}

/// Runs a program to its end and gives what it wrote to standard output.
pub(crate) fn run<I, S>(program: &str, arguments: I) -> Result<String, InjectError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let failed = |reason: String| InjectError::Program { program: program.to_owned(), reason };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        return Err(failed(format!("{}: {}", output.status, line.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether this process may do what only root may.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program can be found in `PATH`, or in the directories for administrators that a user's `PATH` may lack.
#[must_use]
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|directory| directory.join(name).is_file())
}

/// Compiles a C source with `cc` into `output`, unless it is there already.
pub(crate) fn compile(source: &str, output: &Path, flags: &[&str]) -> Result<(), InjectError> {
    if output.exists() {
        return Ok(());
    }
    let file = output.with_extension("c");
    std::fs::write(&file, source).map_err(InjectError::file(&file))?;
    // Whole or not there.
    let beside = output.with_extension("new");
    let mut arguments: Vec<&OsStr> = flags.iter().map(OsStr::new).collect();
    arguments.extend([OsStr::new("-O2"), OsStr::new("-o"), beside.as_os_str(), file.as_os_str(), OsStr::new("-ldl")]);
    run("cc", arguments)?;
    std::fs::rename(&beside, output).map_err(InjectError::file(output))
}
