//! Several nodes that form one cluster, on loopback, behind the network of the harness.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::guard::Guard;
use super::node::{Launch, Node, Status};
use super::ports::Ports;
use super::roster::Roster;
use crate::error::HarnessError;
use crate::proxy::Network;

/// A cluster that does not stand after this long will not.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often the nodes are asked whether they agree.
const AGREE_PAUSE: Duration = Duration::from_millis(20);

/// The nodes, and how to make more of them.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    directory: PathBuf,
    program: PathBuf,
    ports: Ports,
    random: fastrand::Rng,
    /// Where each node is found by its peers: its place in the harness's network.
    peers: Vec<SocketAddr>,
    doors: Vec<SocketAddr>,
    roster: Roster,
}

impl Cluster {
    /// No nodes yet; what they keep and write lies in `directory`.
    #[must_use]
    pub fn new(program: &Path, directory: &Path, seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            directory: directory.to_path_buf(),
            program: program.to_path_buf(),
            ports: Ports::default(),
            random: fastrand::Rng::with_seed(seed),
            peers: Vec::new(),
            doors: Vec::new(),
            roster: Roster::default(),
        }
    }

    /// Plans nodes that form a cluster together, each started as its `launch` says. None is started.
    ///
    /// # Errors
    /// No free ports, or the network of the harness cannot be made.
    pub async fn plan(&mut self, launches: Vec<Launch>, network: &Network) -> Result<(), HarnessError> {
        let expected = launches.len();
        for launch in launches {
            self.place(launch, network).await?;
        }
        let peers = self.bootstrap();
        for node in &mut self.nodes {
            node.arguments.extend([OsString::from("--bootstrap"), peers.clone()]);
            node.arguments.extend([OsString::from("--bootstrap-expect"), OsString::from(expected.to_string())]);
        }
        Ok(())
    }

    fn bootstrap(&self) -> OsString {
        self.peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into()
    }

    async fn place(&mut self, launch: Launch, network: &Network) -> Result<usize, HarnessError> {
        let index = self.nodes.len();
        let mut address =
            || Ok::<_, HarnessError>(SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.next(&mut self.random)?)));
        let (peer, door, admin) = (address()?, address()?, address()?);
        let seen_at = network.add_node(index, peer, door).await?;
        let name = format!("node-{}", index + 1);
        let data_dir = self.directory.join(&name);
        let mut arguments: Vec<OsString> = vec!["start".into(), "--data-dir".into(), data_dir.clone().into()];
        for (flag, value) in [
            ("--port", door.port().to_string()),
            ("--cluster-addr", peer.to_string()),
            ("--cluster-advertise", seen_at.peer.to_string()),
            ("--admin-addr", admin.to_string()),
            ("--server-id", name.clone()),
            ("--relay", "on".to_owned()),
        ] {
            arguments.extend([flag.into(), value.into()]);
        }
        arguments.push("--exit-with-stdin".into());
        let log = self.directory.join(format!("{name}.log"));
        self.peers.push(seen_at.peer);
        self.doors.push(seen_at.door);
        self.roster.add(admin);
        self.nodes.push(Node {
            name,
            data_dir,
            peer,
            door,
            admin,
            launch,
            program: self.program.clone(),
            arguments,
            log,
            log_from: 0,
            child: None,
            frozen: None,
            id: None,
        });
        Ok(index)
    }

    /// Starts every node and waits until all serve.
    ///
    /// # Errors
    /// One does not.
    pub async fn start_all(&mut self) -> Result<(), HarnessError> {
        for index in 0..self.nodes.len() {
            self.spawn(index)?;
        }
        for index in 0..self.nodes.len() {
            self.ready(index).await?;
        }
        Ok(())
    }

    /// One more node, which joins by the addresses of the others; ready.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn add(&mut self, launch: Launch, network: &Network) -> Result<usize, HarnessError> {
        let peers = self.bootstrap();
        let index = self.place(launch, network).await?;
        self.nodes[index].arguments.extend(["--bootstrap".into(), peers]);
        self.start(index).await?;
        Ok(index)
    }

    /// Who is there, for those who watch.
    #[must_use]
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Tells those who watch whether it is up.
    fn note(&self, index: usize) {
        let node = &self.nodes[index];
        self.roster.set(index, node.pid().filter(|_| node.is_up()));
    }

    /// How this node ended by itself, if it did since this was last asked.
    pub fn ended_alone(&mut self, index: usize) -> Option<std::process::ExitStatus> {
        let status = self.nodes[index].ended()?;
        self.note(index);
        Some(status)
    }

    /// Nodes whose process ended although nobody ended it, and how.
    pub fn ended(&mut self) -> Vec<(usize, std::process::ExitStatus)> {
        let ended: Vec<_> =
            self.nodes.iter_mut().enumerate().filter_map(|(index, node)| Some((index, node.ended()?))).collect();
        for (index, _) in &ended {
            self.note(*index);
        }
        ended
    }

    /// The nodes, by number.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node.
    ///
    /// # Panics
    /// There is none of this number.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// There is none of this number.
    pub fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// Where clients find each node.
    #[must_use]
    pub fn doors(&self) -> &[SocketAddr] {
        &self.doors
    }

    /// Nodes that run and are not frozen.
    #[must_use]
    pub fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&index| self.nodes[index].is_up()).collect()
    }

    /// SIGKILL; gone on return.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill(&mut self, index: usize) -> Result<(), HarnessError> {
        self.kill_together(&[index]).await
    }

    /// SIGKILL to several in one moment.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill_together(&mut self, indices: &[usize]) -> Result<(), HarnessError> {
        for &index in indices {
            self.nodes[index].signal(Signal::KILL)?;
        }
        for &index in indices {
            self.nodes[index].gone().await?;
            self.note(index);
        }
        Ok(())
    }

    /// SIGSTOP: it is there, and does nothing.
    ///
    /// # Errors
    /// The system refuses.
    pub fn pause(&mut self, index: usize) -> Result<(), HarnessError> {
        let node = &mut self.nodes[index];
        let Some(pid) = node.pid() else { return Ok(()) };
        let failed = |error| HarnessError::Other(format!("{}: a guard for the frozen process: {error}", node.name));
        let guard = Guard::begin(pid).map_err(failed)?;
        node.signal(Signal::STOP)?;
        node.frozen = Some(guard);
        self.note(index);
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// The system refuses.
    pub fn unpause(&mut self, index: usize) -> Result<(), HarnessError> {
        self.nodes[index].signal(Signal::CONT)?;
        self.nodes[index].frozen = None;
        self.note(index);
        Ok(())
    }

    /// SIGTERM, as a deploy does; gone on return.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self, index: usize) -> Result<(), HarnessError> {
        self.nodes[index].signal(Signal::TERM)?;
        self.nodes[index].gone().await?;
        self.note(index);
        Ok(())
    }

    /// Waits until it has ended by itself, as it was told to; how it did.
    ///
    /// # Errors
    /// It does not.
    pub async fn gone(&mut self, index: usize) -> Result<Option<std::process::ExitStatus>, HarnessError> {
        let status = self.nodes[index].gone().await;
        self.note(index);
        status
    }

    /// Starts it with the same command, or as its `launch` says by now; ready on return.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(&mut self, index: usize) -> Result<(), HarnessError> {
        self.spawn(index)?;
        self.ready(index).await
    }

    /// Starts it without waiting for it.
    ///
    /// # Errors
    /// The program does not start.
    pub fn spawn(&mut self, index: usize) -> Result<(), HarnessError> {
        if self.nodes[index].child.is_none() {
            self.nodes[index].spawn()?;
            self.note(index);
        }
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It does not.
    pub async fn ready(&mut self, index: usize) -> Result<(), HarnessError> {
        self.nodes[index].ready(READY_WITHIN).await
    }

    /// What each node that is up says; those that do not answer are left out.
    pub async fn statuses(&self) -> Vec<(usize, Status)> {
        let asked = self.up().into_iter().map(|index| async move { Some((index, self.nodes[index].status().await?)) });
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// The node that leads, once most of those that are up agree on one of them.
    ///
    /// # Errors
    /// They do not.
    pub async fn leader(&self) -> Result<usize, HarnessError> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let seen = self.statuses().await;
            let named: Vec<&str> = seen.iter().filter_map(|(_, status)| status.leader.as_deref()).collect();
            for (index, status) in &seen {
                let votes = named.iter().filter(|id| **id == status.node_id).count();
                if votes * 2 > seen.len() && status.leader.as_deref() == Some(&status.node_id) {
                    return Ok(*index);
                }
            }
            if Instant::now() >= until {
                let seconds = READY_WITHIN.as_secs();
                return Err(HarnessError::Timeout { what: "an agreement on a leader".to_owned(), seconds });
            }
            sleep(AGREE_PAUSE).await;
        }
    }

    /// Those that are up and do not lead.
    ///
    /// # Errors
    /// There is no leader.
    pub async fn followers(&self) -> Result<Vec<usize>, HarnessError> {
        let leader = self.leader().await?;
        Ok(self.up().into_iter().filter(|&index| index != leader).collect())
    }

    /// Ends every process, at once.
    pub async fn end(&mut self) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        // What cannot be killed is killed again when it is dropped.
        let _ = self.kill_together(&all).await;
    }
}
