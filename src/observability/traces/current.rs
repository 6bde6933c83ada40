//! The span in which a handler runs: what it publishes and logs belongs to it.

use std::future::Future;

use vedfolnir_cluster::state::TraceContext;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Where the calling code is, if it is told of. A task that a handler spawns is on its own.
pub(crate) fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Runs a future there.
pub(crate) fn scope<F: Future>(context: TraceContext, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(context, future)
}

/// Runs something there.
pub(crate) fn within<T>(context: Option<TraceContext>, work: impl FnOnce() -> T) -> T {
    match context {
        Some(context) => CURRENT.sync_scope(context, work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_future_and_what_it_calls_know_where_they_are() {
        let context = TraceContext { trace_id: [1; 16], span_id: [2; 8] };
        assert_eq!(current(), None);
        let seen = scope(context, async {
            tokio::task::yield_now().await;
            (current(), tokio::spawn(async { current() }).await.unwrap())
        });
        assert_eq!(seen.await, (Some(context), None));
        assert_eq!(within(Some(context), current), Some(context));
        assert_eq!(within(None, current), None);
    }
}
