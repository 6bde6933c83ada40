//! Begins spans, and hands those that are over to the export.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::state::TraceContext;

use super::sampler::{Judge, Verdict};
use super::span::{Attribute, Kind, Span};
use super::{Parent, TraceConfig, TraceStats, export};

/// Spans that wait to be sent; beyond it new ones are dropped and counted.
const SPANS_MAX: usize = 8_192;

/// See the module.
pub struct Tracer {
    judge: Judge,
    spans: mpsc::Sender<Box<Span>>,
    stats: Arc<TraceStats>,
    random: fn() -> u64,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("judge", &self.judge).finish_non_exhaustive()
    }
}

impl Tracer {
    /// A tracer whose spans are sent until `stop`, and a little longer. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A header is none.
    pub(crate) fn start(
        config: &TraceConfig,
        server_id: &str,
        stats: Arc<TraceStats>,
        random: fn() -> u64,
        stop: CancellationToken,
    ) -> std::io::Result<Arc<Self>> {
        let (spans, queue) = mpsc::channel(SPANS_MAX);
        let export = export::Export::new(config, server_id, Arc::clone(&stats), random)?;
        tokio::spawn(export.run(queue, stop));
        Ok(Arc::new(Self { judge: Judge::new(config.sampler, config.per_second_max), spans, stats, random }))
    }

    /// Begins what comes from outside; `None`: it is not told.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: impl FnOnce() -> String,
        kind: Kind,
        parent: Option<&Parent>,
        began: Instant,
    ) -> Option<ActiveSpan> {
        let trace_id = parent.map_or_else(|| self.trace_id(), |parent| parent.context.trace_id);
        let context = TraceContext { trace_id, span_id: self.span_id() };
        match self.judge.judge(&context, parent, began) {
            Verdict::Told => {}
            Verdict::NotSampled => return None,
            Verdict::TooMany => {
                TraceStats::add(&self.stats.limited_total, 1);
                return None;
            }
        }
        let parent = parent.map(|parent| parent.context.span_id);
        Some(self.active(context, parent, Cow::Owned(name()), kind, began))
    }

    /// Goes on with what is told already.
    pub(crate) fn child(self: &Arc<Self>, of: &TraceContext, name: &'static str, kind: Kind) -> ActiveSpan {
        self.child_since(of, name, kind, Instant::now())
    }

    /// The same for what began earlier.
    pub(crate) fn child_since(
        self: &Arc<Self>,
        of: &TraceContext,
        name: &'static str,
        kind: Kind,
        began: Instant,
    ) -> ActiveSpan {
        let context = TraceContext { trace_id: of.trace_id, span_id: self.span_id() };
        self.active(context, Some(of.span_id), Cow::Borrowed(name), kind, began)
    }

    fn active(
        self: &Arc<Self>,
        context: TraceContext,
        parent: Option<[u8; 8]>,
        name: Cow<'static, str>,
        kind: Kind,
        began: Instant,
    ) -> ActiveSpan {
        let began_unix_ns = unix_ns(began);
        let (ended_unix_ns, attributes, error) = (began_unix_ns, Vec::new(), None);
        let span = Span { context, parent, name, kind, began_unix_ns, ended_unix_ns, attributes, error };
        ActiveSpan { tracer: Arc::clone(self), began, span: Some(Box::new(span)) }
    }

    fn trace_id(&self) -> [u8; 16] {
        (u128::from((self.random)()) << 64 | u128::from((self.random)().max(1))).to_be_bytes()
    }

    /// Never all zero.
    fn span_id(&self) -> [u8; 8] {
        (self.random)().max(1).to_be_bytes()
    }
}

/// A span that is under way; it is over when it is dropped.
pub(crate) struct ActiveSpan {
    tracer: Arc<Tracer>,
    began: Instant,
    /// `None` only while it is dropped.
    span: Option<Box<Span>>,
}

impl fmt::Debug for ActiveSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActiveSpan").field(&self.span).finish()
    }
}

impl ActiveSpan {
    /// Its place in the trace.
    pub(crate) fn context(&self) -> TraceContext {
        self.span.as_ref().map_or(TraceContext { trace_id: [0; 16], span_id: [0; 8] }, |span| span.context)
    }

    /// Says something of it.
    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<Attribute>) {
        if let Some(span) = &mut self.span {
            span.set(key, value.into());
        }
    }

    /// It has failed.
    pub(crate) fn fail(&mut self, why: impl fmt::Display) {
        if let Some(span) = &mut self.span {
            span.error = Some(why.to_string());
        }
    }

    /// It has not failed after all, and is over.
    pub(crate) fn succeed(mut self) {
        if let Some(span) = &mut self.span {
            span.error = None;
        }
    }

    /// Something that belongs to it begins now.
    pub(crate) fn child(&self, name: &'static str, kind: Kind) -> Self {
        self.tracer.child(&self.context(), name, kind)
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        let Some(mut span) = self.span.take() else { return };
        // By the monotonic clock: a span never ends before it began.
        let took = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        span.ended_unix_ns = span.began_unix_ns.saturating_add(took);
        if self.tracer.spans.try_send(span).is_err() {
            TraceStats::add(&self.tracer.stats.queue_full_total, 1);
        }
    }
}

/// When something was, by the wall clock, which is for display.
fn unix_ns(at: Instant) -> u64 {
    let when = SystemTime::now().checked_sub(at.elapsed()).unwrap_or(UNIX_EPOCH);
    u64::try_from(when.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
