//! `vedfolnir cert`: an authority and certificates for the nodes of a cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vedfolnir::certificates::{NodeNames, write_certificates};

use super::{Failure, out};

#[derive(Subcommand, Debug)]
pub(crate) enum CertVerb {
    /// Write an authority (ca.pem, ca-key.pem) and for each node NAME/cert.pem and NAME/key.pem; what is there already stays
    Init(InitArgs),
}

#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// Where the files go
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A node: the name of its folder, and every further name or address peers reach it by; repeat for each node
    #[arg(long = "node", value_name = "HOST[,HOST|IP...]", required = true)]
    nodes: Vec<String>,
}

pub(crate) fn run(CertVerb::Init(arguments): CertVerb) -> Result<(), Failure> {
    let nodes = arguments.nodes.iter().map(|node| parse(node)).collect::<Result<Vec<_>, _>>()?;
    let files =
        write_certificates(&arguments.directory, &nodes).map_err(|error| Failure::configuration(error.to_string()))?;
    let mut text =
        format!("{}: an authority and certificates for {} nodes\n", arguments.directory.display(), nodes.len());
    for (node, files) in nodes.iter().zip(&files) {
        let (ca, cert, key) = (files.ca.display(), files.cert.display(), files.key.display());
        let names = node.names.join(", ");
        text.push_str(&format!("\n{names}\n  vedfolnir start --tls-ca {ca} --tls-cert {cert} --tls-key {key}\n"));
    }
    text.push_str("\nGive each node ca.pem and its own two files, and keep ca-key.pem away from the nodes.\n");
    out::stdout(&text);
    Ok(())
}

fn parse(node: &str) -> Result<NodeNames, Failure> {
    let names: Vec<String> = node.split(',').map(|name| name.trim().to_owned()).collect();
    let valid = |name: &String| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'))
    };
    match names.first() {
        Some(first) if names.iter().all(valid) => Ok(NodeNames { name: first.replace(':', "-"), names }),
        _ => Err(Failure::configuration(format!(
            "--node = {node:?} is refused: accepted: names and addresses separated by commas, such as node-1.example,10.0.0.1"
        ))),
    }
}
