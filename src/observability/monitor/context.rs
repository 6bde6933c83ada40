//! Something that is timed, and whose lines have a session's name.

use std::sync::Arc;
use std::time::Instant;

use tracing::Instrument as _;

use crate::observability::node::Node;
use crate::service::tenths;

/// Ends when it is dropped: then its line is written and its time counted.
#[must_use = "it ends at once when it is dropped"]
pub struct PerformanceContext {
    node: Arc<Node>,
    event_type: String,
    operation: String,
    message: String,
    span: tracing::Span,
    started: Instant,
    succeeded: bool,
}

impl PerformanceContext {
    pub(super) fn new(
        node: Arc<Node>,
        event_type: &str,
        operation: &str,
        message: &str,
        session_id: Option<&str>,
    ) -> Self {
        Self {
            node,
            event_type: event_type.to_owned(),
            operation: operation.to_owned(),
            message: message.to_owned(),
            span: tracing::info_span!(target: "vedfolnir::application", "performance_context", session_id, operation),
            started: Instant::now(),
            succeeded: true,
        }
    }

    /// The span in which nested lines get their session; for work on other threads or tasks.
    #[must_use]
    pub const fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// How it went, if it was not well: a failure is counted.
    pub const fn succeeded(&mut self, succeeded: bool) {
        self.succeeded = succeeded;
    }

    /// Does the work, and ends.
    pub fn run<T>(self, work: impl FnOnce() -> T) -> T {
        let span = self.span.clone();
        span.in_scope(work)
    }

    /// The same for what waits.
    pub async fn run_async<T>(self, work: impl Future<Output = T>) -> T {
        let span = self.span.clone();
        work.instrument(span).await
    }
}

impl Drop for PerformanceContext {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let succeeded = self.succeeded && !std::thread::panicking();
        self.node.operations().observe(&self.operation, took, !succeeded);
        let (event_type, duration_ms) = (self.event_type.as_str(), tenths(took));
        let _entered = self.span.enter();
        if succeeded {
            tracing::info!(
                target: "vedfolnir::application",
                category = "performance", event_type, duration_ms, succeeded, "{}", self.message
            );
        } else {
            tracing::warn!(
                target: "vedfolnir::application",
                category = "performance", event_type, duration_ms, succeeded, "{}", self.message
            );
        }
    }
}
