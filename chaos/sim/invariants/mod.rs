//! What must hold, one file for each promise.

pub(crate) mod delivery;
pub(crate) mod liveness;
pub(crate) mod log;
pub(crate) mod owner;
pub mod registry;
pub(crate) mod session;
pub(crate) mod split_brain;
pub mod store;

use vedfolnir_chaos::linearizability::Timed;

/// One operation with its time; without an answer it returns never.
#[derive(Clone, Copy, Debug)]
pub struct Operation<C, A> {
    /// What was asked.
    pub call: C,
    /// What was answered, if anything was.
    pub answer: Option<A>,
    /// When it was asked.
    pub invoked_us: u64,
    /// When it was answered.
    pub returned_us: u64,
}

/// As the search for an order takes them.
fn timed<C, A>(operations: &[Operation<C, A>]) -> Vec<Timed<&Operation<C, A>>> {
    let returned_at = |operation: &Operation<C, A>| operation.answer.is_some().then_some(operation.returned_us);
    operations
        .iter()
        .map(|operation| Timed { operation, invoked_at: operation.invoked_us, returned_at: returned_at(operation) })
        .collect()
}
