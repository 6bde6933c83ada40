//! What stops the harness itself: it says nothing of the program under attack. Exit code 2, one line.

use std::io;
use std::path::PathBuf;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// No scenario goes by this name.
    #[error("there is no scenario {name:?}; `vedfolnir chaos list` names them{hint}")]
    UnknownScenario {
        /// As it was asked for.
        name: String,
        /// `: did you mean …?` or nothing.
        hint: String,
    },
    /// An argument is out of its range.
    #[error("{argument} = {value} is refused: accepted: {accepted}")]
    Argument {
        /// With its dashes.
        argument: &'static str,
        /// As it was given.
        value: String,
        /// What would be.
        accepted: String,
    },
    /// A file or directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A program that is not there or does not start.
    #[error("{program} cannot be started: {source}{fix}")]
    Program {
        /// Its name.
        program: String,
        /// What the system says.
        source: io::Error,
        /// `; …` what to do about it, or nothing.
        fix: &'static str,
    },
    /// A node that does not do what its start promises.
    #[error("{node} {what}; the end of its log:\n{log}")]
    Node {
        /// Its name.
        node: String,
        /// What it did or did not do.
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// Something that the harness waits for in order to go on, and that is no promise of the program.
    #[error("{what} did not happen within {seconds} s")]
    Timeout {
        /// In words.
        what: String,
        /// The bound.
        seconds: u64,
    },
    /// The network of the harness.
    #[error("{what}: {source}")]
    Network {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The network of the harness between the nodes.
    #[error(transparent)]
    Proxy(#[from] crate::proxy::ProxyError),
    /// A fault below a node.
    #[error("a fault cannot be injected: {0}")]
    Inject(#[from] crate::inject::InjectError),
    /// This machine lacks what the scenario takes: it is skipped.
    #[error("not possible here: {0}")]
    NotHere(#[source] crate::inject::InjectError),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl HarnessError {
    /// `map_err` of what is done with a file.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// `map_err` of what is done with the network.
    pub fn network(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Network { what, source }
    }
}
