//! The simulator in every test run: some seeds without a finding, each the same twice, and a finding for every planted bug.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use vedfolnir_sim::Bug;

/// A seed that is known to find the bug comes first. Seeds change what they do with every change of the code, so further
/// ones are tried before it is said that the bug is not found.
const SEARCHED_SEEDS_MAX: u64 = 40;

const fn known_seed(bug: Bug) -> u64 {
    match bug {
        Bug::ReplayByTodaysRooms | Bug::SnapshotLosesRooms | Bug::VoteNotPersisted => 2,
        Bug::NodeDownIgnored => 4,
        Bug::HoleNotSaid => 13,
        Bug::ResyncNotTold => 16,
        _ => 1,
    }
}

/// Its exit code says so, and what it printed.
fn simulate(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate")).args(["--jobs", "1"]).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_promise_is_kept() {
    let (clean, said) = simulate(&["--start", "1", "--seeds", "24", "--keep-going"]);
    assert!(clean, "{said}");
}

#[test]
fn every_seed_replays() {
    let (same, said) = simulate(&["--start", "101", "--seeds", "8", "--twice", "--keep-going"]);
    assert!(same, "{said}");
}

#[test]
fn every_planted_bug_is_found() {
    let missed: Vec<String> = Bug::ALL
        .iter()
        .filter(|bug| bug.is_simulated())
        .filter_map(|bug| {
            let (start, seeds) = (known_seed(*bug).to_string(), SEARCHED_SEEDS_MAX.to_string());
            let (found, said) = simulate(&["--bug", bug.name(), "--start", &start, "--seeds", &seeds]);
            (!found).then(|| format!("{}: {said}", bug.name()))
        })
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}
