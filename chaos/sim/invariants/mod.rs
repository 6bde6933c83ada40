//! What must hold, one file for each promise.

pub(crate) mod delivery;
pub(crate) mod liveness;
pub(crate) mod log;
pub(crate) mod owner;
pub mod registry;
pub(crate) mod session;
pub(crate) mod split_brain;
pub mod store;
