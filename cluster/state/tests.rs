//! The state against golden scenarios, against itself through a snapshot, and against a brute-force model.

#[path = "event_tests.rs"]
mod event;
#[path = "fixture_tests.rs"]
mod fixture;
#[path = "kv_tests.rs"]
mod kv;
#[path = "model_tests.rs"]
mod model;
#[path = "retention_tests.rs"]
mod retention;
#[path = "scenario_tests.rs"]
mod scenario;
#[path = "snapshot_tests.rs"]
mod snapshot;

use crate::{Command, Format, Origin, Outcome, Proposal, State, encode_proposal};

fn raise(written_in: Format) -> bytes::Bytes {
    let command = Command::RaiseFormat { format: Format::NEWEST };
    encode_proposal(written_in, &Proposal { origin: Origin::System, commands: vec![command] })
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused_by_name() {
    let mut state = State::default();
    state.apply(1, &raise(Format::NEWEST));
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    assert_eq!(State::decode_snapshot(bytes.as_slice()).unwrap(), state);
    bytes[0] += 1;
    let refused = State::decode_snapshot(bytes.as_slice()).unwrap_err();
    assert_eq!(refused.to_string(), "format 3, this binary reads formats 1 to 2");
    // Nor does one say that it is older than it is.
    bytes[0] = 1;
    let refused = State::decode_snapshot(bytes.as_slice()).unwrap_err();
    assert!(refused.to_string().contains("a state of format 2 written in format 1"), "{refused}");
}

#[test]
fn the_format_rises_and_never_goes_back() {
    let mut state = State::default();
    assert_eq!(state.format(), Format::FIRST);
    // Whoever does not know the command finds the same: an entry that is none.
    assert_eq!(state.apply(1, &raise(Format::FIRST)).outcome, Outcome::Malformed);
    assert_eq!(state.format(), Format::FIRST);
    state.apply(2, &raise(Format::NEWEST));
    assert_eq!(state.format(), Format::NEWEST);
    let lower = Command::RaiseFormat { format: Format::FIRST };
    state.apply(3, &encode_proposal(Format::NEWEST, &Proposal { origin: Origin::System, commands: vec![lower] }));
    assert_eq!(state.format(), Format::NEWEST);
    let mut newer = raise(Format::NEWEST).to_vec();
    newer[0] += 1;
    assert_eq!(state.apply(4, &newer).outcome, Outcome::UnknownVersion { version: 3 });
}

#[test]
fn only_the_leader_raises_the_format() {
    let mut state = State::default();
    let incarnation = crate::Incarnation { node: 1, generation: 1 };
    let up = Command::NodeUp { incarnation, info: crate::NodeInfo::default() };
    state.apply(1, &encode_proposal(Format::FIRST, &Proposal { origin: Origin::System, commands: vec![up] }));
    let origin = Origin::Node { incarnation, first_sequence: 1 };
    let commands = vec![Command::RaiseFormat { format: Format::NEWEST }];
    state.apply(2, &encode_proposal(Format::NEWEST, &Proposal { origin, commands }));
    assert_eq!(state.format(), Format::FIRST);
}
