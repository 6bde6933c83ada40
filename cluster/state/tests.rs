//! The state against golden scenarios, against itself through a snapshot, and against a brute-force model.

#[path = "model_tests.rs"]
mod model;
#[path = "review_tests.rs"]
mod review;
#[path = "scenario_tests.rs"]
mod scenario;
