//! `vedfolnir cert`: an authority and certificates for the nodes of a cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vedfolnir::certificates::write_certificates;

use super::{Failure, out};

#[derive(Subcommand, Debug)]
pub(crate) enum CertVerb {
    /// Write an authority (ca.pem, ca-key.pem) and for each node NAME/cert.pem and NAME/key.pem
    Init(InitArgs),
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// Where the files go; an authority that is there already is used again
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A node: the name of its folder, and every further name or address peers reach it by; repeat for each node
    #[arg(long = "node", value_name = "HOST[,HOST|IP...]", required = true)]
    nodes: Vec<String>,
}

pub(crate) fn run(CertVerb::Init(arguments): CertVerb) -> Result<(), Failure> {
    for node in &arguments.nodes {
        check(node)?;
    }
    let files = write_certificates(&arguments.directory, &arguments.nodes)
        .map_err(|error| Failure::configuration(error.to_string()))?;
    let mut text = format!(
        "{}: an authority and {} node certificates
",
        arguments.directory.display(),
        files.len()
    );
    for (node, files) in arguments.nodes.iter().zip(&files) {
        let (ca, cert, key) = (files.ca.display(), files.cert.display(), files.key.display());
        text.push_str(&format!(
            "
{node}
  vedfolnir start --tls-ca {ca} --tls-cert {cert} --tls-key {key}
"
        ));
    }
    text.push_str(
        "
Give each node ca.pem and its own two files, and keep ca-key.pem away from the nodes.
",
    );
    out::stdout(&text);
    Ok(())
}

fn check(node: &str) -> Result<(), Failure> {
    let valid = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'))
    };
    if node.split(',').all(|name| valid(name.trim())) {
        return Ok(());
    }
    Err(Failure::configuration(format!(
        "--node = {node:?} is refused: accepted: names and addresses separated by commas, such as node-1.example,10.0.0.1"
    )))
}
