//! A mount namespace with a file system of its own in it, that is gone as soon as nobody uses it: when this process ends,
//! in whatever way, the process that holds the namespace reads the end of its standard input and goes too.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{InjectError, run};

/// Says that it is done, then waits for the end of its input.
const HOLD: &str = "\necho mounted\nexec cat";

/// The namespace; it ends with this value, once the programs in it have ended.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    has_user: bool,
}

impl Namespace {
    /// A namespace in which the shell script `mount` was run with these arguments (from `$0` on). Without root it needs a
    /// user namespace as well.
    ///
    /// # Errors
    /// The system allows no such namespace, or the script failed.
    pub fn make(mount: &str, arguments: &[&OsStr]) -> Result<Self, InjectError> {
        let failed = |reason: String| InjectError::Program { program: "unshare".to_owned(), reason };
        let has_user = !super::is_root();
        let mut command = Command::new("unshare");
        if has_user {
            command.args(["--user", "--map-root-user"]);
        }
        let mut holder = command
            .args(["--mount", "--propagation", "private", "sh", "-ec"])
            .arg(format!("{mount}{HOLD}"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let mut line = String::new();
        let read = holder.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        if matches!(read, Some(Ok(_))) && line.trim() == "mounted" {
            return Ok(Self { holder, has_user });
        }
        let _ = holder.kill();
        let output = holder.wait_with_output().map_err(|error| failed(error.to_string()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it was refused");
        Err(failed(reason.trim().to_owned()))
    }

    /// The beginning of a command line whose program sees the file system; it keeps the pid that was spawned.
    #[must_use]
    pub fn prefix(&self) -> Vec<OsString> {
        let mut prefix: Vec<OsString> =
            ["nsenter", "--target", &self.holder.id().to_string()].iter().map(OsString::from).collect();
        if self.has_user {
            prefix.extend(["--user", "--preserve-credentials"].map(OsString::from));
        }
        prefix.push("--mount".into());
        prefix
    }

    /// Runs a shell script inside, with these arguments (from `$0` on).
    ///
    /// # Errors
    /// It failed.
    pub fn run(&self, script: &str, arguments: &[&OsStr]) -> Result<String, InjectError> {
        let prefix = self.prefix();
        let shell = ["sh", "-ec", script].map(OsString::from);
        let all =
            prefix.into_iter().skip(1).chain(shell).chain(arguments.iter().map(|argument| OsString::from(*argument)));
        run("nsenter", all)
    }

    /// Where a path inside is found from outside.
    #[must_use]
    pub fn outside(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").unwrap_or(path);
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(relative)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
