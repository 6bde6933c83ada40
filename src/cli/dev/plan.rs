//! What a development cluster consists of; kept as `dev.json`, so that the same directory is the same cluster again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use vedfolnir::certificates::{NodeNames, write_certificates};

use super::ports::{self, NodePorts};
use crate::cli::{Failure, out};

const FILE: &str = "dev.json";
/// Raised when an older program could not read the file any more.
const VERSION: u32 = 1;
/// Nodes that form the cluster together; further ones join it.
const FOUNDERS_MAX: usize = 5;

/// Where the cluster lives; a temporary directory goes with it.
pub(super) struct Directory {
    path: PathBuf,
    temporary: bool,
}

impl Directory {
    pub(super) fn open(data_dir: Option<&Path>) -> Result<Self, Failure> {
        let (path, temporary) = match data_dir {
            Some(path) => (path.to_path_buf(), false),
            None => (temporary_path()?, true),
        };
        let refused = |error: io::Error| {
            Failure::configuration(format!(
                "--data-dir = {path:?} cannot be used: {error}; accepted: a directory that this user may write to"
            ))
        };
        fs::create_dir_all(&path).map_err(refused)?;
        let path = fs::canonicalize(&path).map_err(refused)?;
        Ok(Self { path, temporary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            out::stderr_line(&format!("vedfolnir dev: {} could not be removed: {error}", self.path.display()));
        }
    }
}

fn temporary_path() -> Result<PathBuf, Failure> {
    let mut random = [0_u8; 6];
    getrandom::fill(&mut random).map_err(|error| Failure::other(format!("no randomness from the system: {error}")))?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(std::env::temp_dir().join(format!("vedfolnir-dev-{name}")))
}

/// A cluster of `nodes`, each with its ports and the command that runs it.
pub(super) struct Plan {
    directory: PathBuf,
    pub(super) nodes: Vec<NodePlan>,
    is_new: bool,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct NodePlan {
    /// `node-1` and so on.
    pub(super) name: String,
    pub(super) data_dir: PathBuf,
    pub(super) ports: NodePorts,
    /// Arguments after the program's name.
    pub(super) arguments: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct PlanFile {
    version: u32,
    nodes: Vec<NodeFile>,
}

#[derive(Serialize, Deserialize)]
struct NodeFile {
    name: String,
    #[serde(flatten)]
    ports: NodePorts,
    /// How to start this node by hand; written for people, not read back.
    #[serde(default)]
    command: Vec<String>,
}

impl Plan {
    /// The plan in the directory, or a new one with `nodes` nodes.
    pub(super) fn load_or_make(
        directory: &Path,
        nodes: Option<usize>,
        base_port: Option<u16>,
    ) -> Result<Self, Failure> {
        let file = directory.join(FILE);
        let kept = match fs::read(&file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::other(format!("{}: {error}", file.display()))),
        };
        let Some(text) = kept else {
            let count = nodes.unwrap_or(3);
            let ports = match base_port {
                Some(base) => ports::from_base(base, count)?,
                None => ports::free(count)?,
            };
            return Ok(Self::new(directory, &ports, true));
        };
        let kept: PlanFile = serde_json::from_slice(&text).map_err(|error| {
            Failure::configuration(format!("{} is not a file of vedfolnir dev: {error}", file.display()))
        })?;
        if kept.version != VERSION {
            return Err(Failure::configuration(format!(
                "{} has version {}, this program reads {VERSION}",
                file.display(),
                kept.version
            )));
        }
        let ports: Vec<NodePorts> = kept.nodes.iter().map(|node| node.ports).collect();
        if let Some(nodes) = nodes
            && nodes != ports.len()
        {
            return Err(Failure::configuration(format!(
                "--nodes = {nodes} is refused: {} holds a cluster of {} nodes; leave --nodes away or take another --data-dir",
                directory.display(),
                ports.len()
            )));
        }
        if let Some(base) = base_port
            && !ports::from_base(base, ports.len())?.iter().zip(&ports).all(|(asked, kept)| asked.is_as(kept))
        {
            return Err(Failure::configuration(format!(
                "--base-port = {base} is refused: the cluster in {} has other ports; leave --base-port away",
                directory.display()
            )));
        }
        Ok(Self::new(directory, &ports, false))
    }

    fn new(directory: &Path, ports: &[NodePorts], is_new: bool) -> Self {
        let bootstrap: Vec<String> = ports.iter().map(|ports| format!("127.0.0.1:{}", ports.cluster)).collect();
        let bootstrap = bootstrap.join(",");
        let founders = ports.len().min(FOUNDERS_MAX).to_string();
        let certificates = directory.join("certificates");
        let nodes = ports
            .iter()
            .enumerate()
            .map(|(index, &ports)| {
                let name = format!("node-{}", index + 1);
                let data_dir = directory.join(&name);
                let file = |name: String| certificates.join(name).display().to_string();
                let arguments = [
                    "start",
                    "--data-dir",
                    &data_dir.display().to_string(),
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &ports.service.to_string(),
                    "--tls-port",
                    "0",
                    "--admin-addr",
                    &format!("127.0.0.1:{}", ports.admin),
                    "--cluster-addr",
                    &format!("127.0.0.1:{}", ports.cluster),
                    "--bootstrap",
                    &bootstrap,
                    "--bootstrap-expect",
                    &founders,
                    "--tls-ca",
                    &file("ca.pem".to_owned()),
                    "--tls-cert",
                    &file(format!("{name}/cert.pem")),
                    "--tls-key",
                    &file(format!("{name}/key.pem")),
                ]
                .map(str::to_owned);
                let api = (ports.api > 0).then(|| ["--api-addr".to_owned(), format!("127.0.0.1:{}", ports.api)]);
                let arguments = arguments.into_iter().chain(api.into_iter().flatten()).collect();
                NodePlan { name, data_dir, ports, arguments }
            })
            .collect();
        Self { directory: directory.to_path_buf(), nodes, is_new }
    }

    /// Whether no cluster was started from this directory before.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// An authority and a certificate for each node, unless they are there already.
    pub(super) fn write_certificates(&self) -> Result<(), Failure> {
        let directory = self.directory.join("certificates");
        let names: Vec<NodeNames> =
            self.nodes.iter().map(|node| NodeNames::parse(&format!("{},localhost,127.0.0.1", node.name))).collect();
        write_certificates(&directory, &names).map(drop).map_err(|error| Failure::other(error.to_string()))
    }

    /// Keeps the plan; from now on this directory is this cluster.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let program =
            std::env::current_exe().map_or_else(|_| "vedfolnir".to_owned(), |path| path.display().to_string());
        let nodes = self
            .nodes
            .iter()
            .map(|node| NodeFile {
                name: node.name.clone(),
                ports: node.ports,
                command: [std::slice::from_ref(&program), node.arguments.as_slice()].concat(),
            })
            .collect();
        let refused = |error: String| Failure::other(format!("{}: {error}", self.directory.join(FILE).display()));
        let text = serde_json::to_vec_pretty(&PlanFile { version: VERSION, nodes })
            .map_err(|error| refused(error.to_string()))?;
        let temporary = self.directory.join("dev.json.new");
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, self.directory.join(FILE)))
            .map_err(|error| refused(error.to_string()))
    }

    /// Removes what a start that never became a cluster left behind.
    pub(super) fn discard(&self) -> Result<(), Failure> {
        for node in &self.nodes {
            match fs::remove_dir_all(&node.data_dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::other(format!("{}: {error}", node.data_dir.display())));
                }
                _ => {}
            }
        }
        let file = self.directory.join(FILE);
        fs::remove_file(&file).map_err(|error| Failure::other(format!("{}: {error}", file.display())))
    }
}
