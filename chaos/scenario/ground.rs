//! What the scenarios below a node have in common: laying the ground that nodes stand on, and seeing a node end, be refused, or be
//! replaced.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::error::HarnessError;
use crate::inject::shim::Control;
use crate::inject::{Below, Ground, InjectError};
use crate::world::{Setup, World};

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(20);
/// A node whose disk fails stops at once; this is for a machine that is busy.
pub(super) const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// A start that comes to no end is neither one nor a refusal.
const START_WITHIN: Duration = Duration::from_secs(60);
/// The others have to notice first that a node is dead, before they let it be removed.
const REMOVED_WITHIN: Duration = Duration::from_secs(60);

/// What each node stands on, by number, and the program that they are.
pub(super) struct Grounds {
    below: Vec<Below>,
    program: std::path::PathBuf,
}

/// Lays it below every node.
pub(super) fn lay(setup: &mut Setup, ground: Ground) -> Result<(), HarnessError> {
    let mut below = Vec::new();
    for (index, launch) in setup.launches.iter_mut().enumerate() {
        let name = format!("node-{}", index + 1);
        let made = Below::make(ground, &setup.directory, &name, &setup.directory.join(&name));
        let made = made.map_err(HarnessError::NotHere)?;
        launch.prefix.extend(made.prefix());
        launch.environment.extend(made.environment());
        below.push(made);
    }
    let program = setup.program.clone();
    setup.bring(Grounds { below, program });
    Ok(())
}

/// Does something to what the nodes stand on, beside the runtime: most of it waits for the system.
pub(super) async fn with<T: Send + 'static>(
    world: &mut World,
    act: impl FnOnce(&mut [Below]) -> Result<T, InjectError> + Send + 'static,
) -> Result<T, HarnessError> {
    let mut grounds = world.take_tool::<Grounds>()?;
    let acted = tokio::task::spawn_blocking(move || {
        let done = act(&mut grounds.below);
        (grounds, done)
    });
    let (grounds, done) = acted.await.map_err(|error| HarnessError::Other(format!("injecting a fault: {error}")))?;
    world.give_back(grounds);
    Ok(done?)
}

/// Steers the library in one node.
pub(super) fn shim<T>(
    world: &mut World,
    node: usize,
    steer: impl FnOnce(&mut Control) -> Result<T, InjectError>,
) -> Result<T, HarnessError> {
    let name = world.cluster.node(node).name.clone();
    let none = || HarnessError::Other(format!("{name} does not run with the library for faults"));
    let control =
        world.tool::<Grounds>()?.below.get_mut(node).and_then(|below| below.shim.as_mut()).ok_or_else(none)?;
    if control.seen()?.processes == 0 {
        return Err(HarnessError::Other(format!(
            "{name} has not loaded the library for faults: a program that is linked statically cannot be given any"
        )));
    }
    Ok(steer(control)?)
}

/// Where the files of a node's data directory are for us.
pub(super) fn files(world: &mut World, node: usize) -> Result<std::path::PathBuf, HarnessError> {
    let data_dir = world.cluster.node(node).data_dir.clone();
    let below = world.tool::<Grounds>()?.below.get(node).map(|below| below.files(&data_dir));
    Ok(below.unwrap_or(data_dir))
}

/// How a node ended by itself.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// The exit code; `None`: a signal.
    pub(super) code: Option<i32>,
    /// The line that says why.
    pub(super) word: String,
}

/// Waits until a node ends by itself; `None`: it does not.
pub(super) async fn ends(world: &mut World, node: usize, within: Duration) -> Option<Ended> {
    let until = Instant::now() + within;
    loop {
        if let Some(ended) = ended(world, node) {
            return Some(ended);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(LOOK).await;
    }
}

fn ended(world: &mut World, node: usize) -> Option<Ended> {
    let status = world.cluster.ended_alone(node)?;
    let output = world.cluster.node(node).output();
    let word = output.lines().rfind(|line| line.starts_with("vedfolnir: ")).unwrap_or_default().to_owned();
    if output.contains("panicked at") {
        return Some(Ended { code: status.code(), word: format!("panicked; {word}") });
    }
    Some(Ended { code: status.code(), word })
}

/// A node that a fault of its disk must have stopped says so in a line with all these words, and exits with 1.
pub(super) async fn must_stop(world: &mut World, node: usize, why: &str, words: &[&str]) {
    let name = world.cluster.node(node).name.clone();
    match ends(world, node, STOPS_WITHIN).await {
        None => {
            let seconds = STOPS_WITHIN.as_secs();
            world.violation(format!("{name}: {why}, and it did not stop within {seconds} s"));
        }
        Some(Ended { code: Some(1), word }) if words.iter().all(|part| word.contains(part)) => {}
        Some(Ended { code, word }) => {
            world.violation(format!("{name}: {why}; it ended with {code:?} and said {word:?}, not {words:?}"));
        }
    }
}

/// What came of a start.
#[derive(Clone, Debug)]
pub(super) enum Started {
    /// It serves.
    Serves,
    /// It ended.
    Refused(Ended),
}

/// Starts a node that may refuse to.
pub(super) async fn try_start(world: &mut World, node: usize) -> Result<Started, HarnessError> {
    world.cluster.spawn(node)?;
    let until = Instant::now() + START_WITHIN;
    loop {
        if let Some(ended) = ended(world, node) {
            return Ok(Started::Refused(ended));
        }
        if world.cluster.node(node).status().await.is_some_and(|status| status.ready) {
            world.cluster.ready(node).await?;
            return Ok(Started::Serves);
        }
        if Instant::now() >= until {
            // The error says what the node says.
            world.cluster.ready(node).await?;
        }
        sleep(LOOK).await;
    }
}

/// Removes the member that a node was, empties its disk and starts it: it joins as a new one, under another id.
pub(super) async fn replace(world: &mut World, node: usize) -> Result<(), HarnessError> {
    remove(world, node).await?;
    wipe(world, node).await?;
    start_as_another(world, node).await
}

/// Empties the disk of a node that does not run.
pub(super) async fn wipe(world: &mut World, node: usize) -> Result<(), HarnessError> {
    let files = files(world, node)?;
    with(world, move |_| crate::inject::corrupt::wipe(&files)).await
}

/// Starts a node whose disk was emptied.
pub(super) async fn start_as_another(world: &mut World, node: usize) -> Result<(), HarnessError> {
    let before = world.cluster.node(node).id().map(ToOwned::to_owned);
    world.cluster.start(node).await?;
    let after = world.cluster.node(node).id().map(ToOwned::to_owned);
    if before == after {
        let name = world.cluster.node(node).name.clone();
        world.violation(format!("{name}: its disk was emptied, and it is back under its old id {after:?}"));
    }
    Ok(())
}

/// `vedfolnir remove` of a node that is down, on another one.
pub(super) async fn remove(world: &mut World, node: usize) -> Result<(), HarnessError> {
    let program = world.tool::<Grounds>()?.program.clone();
    let name = world.cluster.node(node).name.clone();
    let Some(id) = world.cluster.node(node).id().map(ToOwned::to_owned) else {
        return Err(HarnessError::Other(format!("{name} cannot be removed: its id is not known")));
    };
    let until = Instant::now() + REMOVED_WITHIN;
    loop {
        let asked = world.cluster.leader().await?;
        let address = format!("http://{}", world.cluster.node(asked).admin);
        let mut command = Command::new(&program);
        command.args(["remove", &id, "--addr", &address]).kill_on_drop(true);
        let failed = |source| HarnessError::Program { program: program.display().to_string(), source, fix: "" };
        let output = command.output().await.map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        if Instant::now() >= until {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(HarnessError::Other(format!("{name} cannot be removed: {}", said.trim())));
        }
        sleep(10 * LOOK).await;
    }
}

/// Waits until somebody else leads.
pub(super) async fn leadership_moves(world: &World, from: usize, within: Duration) -> bool {
    let until = Instant::now() + within;
    let old = world.cluster.node(from).id().map(ToOwned::to_owned);
    while Instant::now() < until {
        // Only what the others see counts: the old one may not know it yet.
        for (index, status) in world.cluster.statuses().await {
            if index != from && status.leader.is_some() && status.leader != old {
                return true;
            }
        }
        sleep(LOOK).await;
    }
    false
}

/// The leader, or any of the others.
pub(super) async fn pick(world: &mut World, is_leader: bool) -> Result<usize, HarnessError> {
    if is_leader {
        return world.cluster.leader().await;
    }
    let followers = world.cluster.followers().await?;
    let any = world.random.choice(&followers).copied();
    any.ok_or_else(|| HarnessError::Other("this cluster has no followers".to_owned()))
}

/// `node-1, the leader`.
pub(super) fn called(world: &World, node: usize, is_leader: bool) -> String {
    let role = if is_leader { "the leader" } else { "a follower" };
    format!("{}, {role}", world.cluster.node(node).name)
}
