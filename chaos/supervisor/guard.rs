//! Ends a frozen process with the harness: unlike one that runs it does not see that the harness is gone.

use std::io;
use std::process::{Child, Command, Stdio};

/// Looks whether the harness is there, and outlives the Ctrl-C that may end it.
const GUARD: &str = r#"
trap '' INT TERM HUP
while kill -0 "$0" 2> /dev/null; do sleep 0.2; done
kill -KILL "$1""#;

/// For as long as the process is frozen.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    pub(super) fn begin(pid: u32) -> io::Result<Self> {
        Command::new("sh")
            .args(["-c", GUARD, &std::process::id().to_string(), &pid.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .map(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
