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
