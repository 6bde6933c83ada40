//! How a record looks as a line. No format lets a text end its line, command a terminal or turn the reading order.

pub(crate) mod foreign;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod logfmt;

use std::sync::OnceLock;

use super::record::Record;

/// How lines of the log and its files look. What goes to receivers of other machines is always JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object: the document's schema.
    Json,
    /// For people; with colours where a terminal shows them.
    Human {
        /// Whether levels are coloured.
        colour: bool,
    },
    /// `key=value`.
    Logfmt,
    /// Somebody else writes lines of the log and its files, through
    /// [`Handle::foreign_writer`](super::Handle::foreign_writer); what the pipeline itself says there is JSON.
    Foreign,
}

impl Format {
    /// Writes a record, without a line feed.
    pub(crate) fn write(self, out: &mut String, record: &Record, identity: &Identity) {
        match self {
            Self::Json | Self::Foreign => json::write(out, record, identity),
            Self::Human { colour } => human::write(out, record, colour),
            Self::Logfmt => logfmt::write(out, record, identity),
        }
    }
}

/// Which process speaks.
#[derive(Debug)]
pub struct Identity {
    server_id: String,
    node: OnceLock<String>,
}

impl Identity {
    /// A process of that name; which node of a cluster it is may become known later.
    #[must_use]
    pub fn new(server_id: &str) -> Self {
        Self { server_id: server_id.to_owned(), node: OnceLock::new() }
    }

    /// The process's name.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// The node's identity in its cluster, once known.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.get().map(String::as_str)
    }

    /// From now on it is in every record. The first one stays: a process does not become another node.
    pub fn set_node(&self, node: &str) {
        // A second one is ignored, as said.
        let _ = self.node.set(node.to_owned());
    }
}

/// Writes a number of tenths.
fn push_tenths(out: &mut String, tenths: u64) {
    use std::fmt::Write as _;
    // Writing into a string cannot fail.
    let _ = write!(out, "{}.{}", tenths / 10, tenths % 10);
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
