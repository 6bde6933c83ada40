//! `vedfolnir api`: what the HTTP API is. Nothing is asked of any node.

use clap::Subcommand;

use super::{Failure, out};

#[derive(Debug, Subcommand)]
pub(crate) enum ApiVerb {
    /// Print its description: an OpenAPI 3.1 document.
    Openapi,
}

pub(crate) fn run(verb: &ApiVerb) -> Result<(), Failure> {
    match verb {
        ApiVerb::Openapi => out::stdout(&vedfolnir::api::openapi()),
    }
    Ok(())
}
