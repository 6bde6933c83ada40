//! The state against golden scenarios, against itself through a snapshot, and against a brute-force model.

#[path = "event_tests.rs"]
mod event;
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

#[test]
fn a_snapshot_of_a_newer_version_is_refused_by_name() {
    let mut bytes = Vec::new();
    crate::State::default().encode_snapshot(&mut bytes).unwrap();
    assert_eq!(crate::State::decode_snapshot(bytes.as_slice()).unwrap(), crate::State::default());
    bytes[0] += 1;
    let refused = crate::State::decode_snapshot(bytes.as_slice()).unwrap_err();
    assert_eq!(refused.to_string(), "version 2, this binary reads version 1");
}
