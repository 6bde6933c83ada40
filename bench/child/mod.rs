//! Processes of this same program that a workload needs beside itself: nodes with proposers inside or with an application, and the
//! two sides of a round trip. A child gets its orders as an argument, says in lines of JSON how far it is, and ends with its parent.

mod embedded;
mod floor;
mod member;

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::args::ChildArgs;
use crate::error::BenchError;

pub(crate) use embedded::{EmbeddedOrders, EmbeddedReady, Taken};
pub(crate) use floor::{EchoOrders, FloorOrders, FloorResult};
pub(crate) use member::{Go, MemberOrders, MemberReady, MemberResult};

/// What a child is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Orders {
    /// A node of a cluster.
    Member(MemberOrders),
    /// A node with an application of this program's own.
    Embedded(EmbeddedOrders),
    /// The far side of a round trip.
    Echo(EchoOrders),
    /// The near side, and the fsyncs.
    Floor(FloorOrders),
}

/// The child's side: carries the orders out.
pub(crate) fn run(arguments: &ChildArgs) -> Result<(), BenchError> {
    let orders = serde_json::from_str(&arguments.orders).map_err(|error| BenchError::Other(error.to_string()))?;
    // As the program that is measured does.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match orders {
        Orders::Member(orders) => runtime.block_on(member::run(orders)),
        Orders::Embedded(orders) => runtime.block_on(embedded::run(orders)),
        Orders::Echo(orders) => runtime.block_on(floor::echo(orders)),
        Orders::Floor(orders) => runtime.block_on(floor::measure(orders)),
    }
}

/// The child's side: one line to the parent.
fn say<T: Serialize>(value: &T) -> Result<(), BenchError> {
    let line = serde_json::to_string(value).map_err(|error| BenchError::Other(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The child's side: one line from the parent; `None` once the parent is gone or has closed the child's input.
async fn hear<T: DeserializeOwned + Send + 'static>() -> Result<Option<T>, BenchError> {
    let heard = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = heard.await.map_err(|error| BenchError::Other(error.to_string()))??;
    match line.trim() {
        "" => Ok(None),
        line => serde_json::from_str(line).map(Some).map_err(|error| BenchError::Other(format!("{error}: {line:?}"))),
    }
}

/// The parent's side of a child; killed when dropped.
pub(crate) struct Child {
    process: tokio::process::Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts one, on one core alone if so wished.
    pub(crate) fn start(orders: &Orders, core: Option<usize>) -> Result<Self, BenchError> {
        let orders = serde_json::to_string(orders).map_err(|error| BenchError::Other(error.to_string()))?;
        let mut command = pinned(std::env::current_exe()?.into_os_string(), core);
        command.arg("child").arg(orders).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(BenchError::Other("a child without standard input or output".to_owned()));
        };
        Ok(Self { process, input: Some(input), output: BufReader::new(output).lines() })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    pub(crate) async fn tell<T: Serialize>(&mut self, value: &T) -> Result<(), BenchError> {
        let mut line = serde_json::to_string(value).map_err(|error| BenchError::Other(error.to_string()))?;
        line.push('\n');
        let input = self.input.as_mut().ok_or_else(|| BenchError::Other("the child was let go".to_owned()))?;
        Ok(input.write_all(line.as_bytes()).await?)
    }

    /// The child's next line.
    pub(crate) async fn told<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        within: Duration,
    ) -> Result<T, BenchError> {
        let seconds = within.as_secs();
        let line = timeout(within, self.output.next_line())
            .await
            .map_err(|_| BenchError::Timeout { what: what.to_owned(), seconds })??
            .ok_or_else(|| BenchError::Other(format!("a child ended before {what}; see its error above")))?;
        serde_json::from_str(&line).map_err(|error| BenchError::Other(format!("{what}: {error}: {line:?}")))
    }

    /// Closes its input, which ends it, and waits for that.
    pub(crate) async fn end(mut self) -> Result<(), BenchError> {
        self.input = None;
        timeout(Duration::from_secs(10), self.process.wait())
            .await
            .map_err(|_| BenchError::Timeout { what: "the end of a child".to_owned(), seconds: 10 })??;
        Ok(())
    }
}

/// A command that runs on one core alone, if so wished.
pub(crate) fn pinned(program: OsString, core: Option<usize>) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    }
}
