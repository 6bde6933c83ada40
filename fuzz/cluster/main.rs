//! Floors 0b to 2: what peers and strangers send a node, and what a node reads from its own disk.
#![no_main]
// What a target expects is what it checks.
#![allow(clippy::expect_used)]

mod apply;
mod backup;
mod body;
mod certificate;
mod enrol;
mod frame;
mod hello;
mod join_token;
mod proposal;
mod raft_body;
mod record;
mod snapshot_file;
mod snapshot_state;

vedfolnir_fuzz::fuzz!(
    frame,
    hello,
    body,
    raft_body,
    enrol,
    certificate,
    join_token,
    proposal,
    apply,
    record,
    snapshot_state,
    snapshot_file,
    backup,
);

/// Reads an input as one of many things, writes it again, and reads that.
fn again_and_again(table: &[vedfolnir_cluster::fuzzing::Again], input: &[u8]) {
    let mut input = vedfolnir_fuzz::input::Input(input);
    let again = table[input.below(table.len())];
    let Some(written) = again(input.0) else { return };
    assert_eq!(again(&written), Some(written), "what was written is read as something else");
}
