//! The fault itself: a signal to a node's process on this machine, or a command that the operator names.

use std::fmt;
use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::Fault;
use crate::error::HarnessError;

/// What will be done.
pub(super) enum Act {
    Signal { pid: u32, signal: Signal, name: &'static str },
    Command(String),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { pid, name, .. } => write!(f, "{name} to process {pid}, node"),
            Self::Command(command) => write!(f, "`{command}`, which should stop node"),
        }
    }
}

impl Act {
    /// Finds out how it is done; does nothing yet.
    pub(super) fn plan(
        fault: Fault,
        with: &Option<String>,
        node: &str,
        url: &str,
        admin_url: &str,
    ) -> Result<Self, HarnessError> {
        if let Some(command) = with {
            return Ok(Self::Command(command.replace("{node}", node).replace("{url}", url)));
        }
        let port = admin_url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
        let pid = port.and_then(listening_on).ok_or_else(|| {
            HarnessError::Other(format!(
                "no process of this machine that can be seen listens on {admin_url}; for a node elsewhere give --with 'ssh HOST …'"
            ))
        })?;
        Ok(match fault {
            Fault::KillLeader | Fault::KillNode => Self::Signal { pid, signal: Signal::KILL, name: "SIGKILL" },
            Fault::Drain => Self::Signal { pid, signal: Signal::TERM, name: "SIGTERM" },
        })
    }

    pub(super) async fn carry_out(&self) -> Result<(), HarnessError> {
        match self {
            Self::Signal { pid, signal, name } => {
                let known = Pid::from_raw(pid.cast_signed());
                let gone = || HarnessError::Other(format!("process {pid} is gone already"));
                kill_process(known.ok_or_else(gone)?, *signal)
                    .map_err(|error| HarnessError::Other(format!("{name} to process {pid}: {error}")))
            }
            Self::Command(command) => {
                let status = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).status().await;
                let status =
                    status.map_err(|source| HarnessError::Program { program: "sh".to_owned(), source, fix: "" })?;
                match status.success() {
                    true => Ok(()),
                    false => Err(HarnessError::Other(format!("--with: `{command}` failed: {status}"))),
                }
            }
        }
    }
}

/// The process that listens on a TCP port of this machine, if this user may see it: by /proc/net/tcp and the open files of
/// processes (proc(5)).
fn listening_on(port: u16) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inode = tables.iter().flat_map(|table| table.lines().skip(1)).find_map(|line| inode_of(line, port))?;
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(entry.path().join("fd")).ok()?;
        let owns = files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket.as_str()));
        owns.then_some(pid)
    })
}

/// The socket of a line of /proc/net/tcp that listens on this port.
fn inode_of(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit(':').next()?;
    let is_it = u16::from_str_radix(local, 16) == Ok(port) && *fields.get(3)? == LISTEN;
    is_it.then(|| fields.get(9)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(listening_on(port), None);
    }
}
