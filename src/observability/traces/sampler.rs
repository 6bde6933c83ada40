//! Which traces are told: by who asks, by a share of all, and never more than so many in a second.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use vedfolnir_cluster::state::TraceContext;

use super::traceparent::Parent;

/// By what it is decided (OpenTelemetry SDK specification, built-in samplers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerKind {
    /// `always_on`.
    AlwaysOn,
    /// `always_off`.
    AlwaysOff,
    /// `traceidratio`: a share of all, whatever the one who asks says.
    Ratio,
    /// `parentbased_always_on`: as the one who asks says; all, where nobody does.
    ParentOrAlwaysOn,
    /// `parentbased_always_off`: as the one who asks says; none, where nobody does.
    ParentOrAlwaysOff,
    /// `parentbased_traceidratio`: as the one who asks says; a share, where nobody does.
    ParentOrRatio,
}

/// A sampler and its share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// By what it is decided.
    pub kind: SamplerKind,
    /// The share, from 0 to 1.
    pub ratio: f64,
}

impl Sampler {
    /// Whether a trace is told. The same trace is judged the same by every node.
    #[must_use]
    pub fn samples(&self, trace_id: &[u8; 16], parent: Option<&Parent>) -> bool {
        let asked = parent.map(|parent| parent.is_sampled);
        match self.kind {
            SamplerKind::AlwaysOn => true,
            SamplerKind::AlwaysOff => false,
            SamplerKind::Ratio => self.is_in_share(trace_id),
            SamplerKind::ParentOrAlwaysOn => asked.unwrap_or(true),
            SamplerKind::ParentOrAlwaysOff => asked.unwrap_or(false),
            SamplerKind::ParentOrRatio => asked.unwrap_or_else(|| self.is_in_share(trace_id)),
        }
    }

    /// By the right-most bytes, which are random by the specification (W3C Trace Context, section 3.2.2.3).
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn is_in_share(&self, trace_id: &[u8; 16]) -> bool {
        const SPACE: f64 = (1_u64 << 63) as f64;
        let mut number = [0; 8];
        number.copy_from_slice(&trace_id[8..]);
        // A float beyond the space becomes the largest number.
        u64::from_be_bytes(number) >> 1 < (self.ratio.clamp(0.0, 1.0) * SPACE) as u64
    }
}

/// What became of the wish to tell a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Told,
    NotSampled,
    /// It would have been, but too many are.
    TooMany,
}

/// A sampler with a bound. Clients can ask for their traces to be told: this is how much of it they can cause.
#[derive(Debug)]
pub(super) struct Judge {
    sampler: Sampler,
    per_second_max: u32,
    /// When the current second began, and how many were told in it.
    second: Mutex<Option<(Instant, u32)>>,
}

impl Judge {
    pub(super) const fn new(sampler: Sampler, per_second_max: u32) -> Self {
        Self { sampler, per_second_max, second: Mutex::new(None) }
    }

    /// Decides on what is about to begin.
    pub(super) fn judge(&self, context: &TraceContext, parent: Option<&Parent>, now: Instant) -> Verdict {
        if !self.sampler.samples(&context.trace_id, parent) {
            return Verdict::NotSampled;
        }
        let mut second = self.second.lock();
        let (began, told) = match *second {
            Some((began, told)) if now.saturating_duration_since(began) < Duration::from_secs(1) => (began, told),
            _ => (now, 0),
        };
        if told >= self.per_second_max {
            return Verdict::TooMany;
        }
        *second = Some((began, told + 1));
        Verdict::Told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(number: u64) -> TraceContext {
        let mut trace_id = [7; 16];
        trace_id[8..].copy_from_slice(&number.to_be_bytes());
        TraceContext { trace_id, span_id: [1; 8] }
    }

    fn asked(is_sampled: bool) -> Option<Parent> {
        Some(Parent { context: context(1), is_sampled })
    }

    #[test]
    fn it_is_as_the_one_who_asks_says_or_as_it_is_set() {
        use SamplerKind as Kind;
        for (kind, nobody, yes, no) in [
            (Kind::AlwaysOn, true, true, true),
            (Kind::AlwaysOff, false, false, false),
            (Kind::ParentOrAlwaysOn, true, true, false),
            (Kind::ParentOrAlwaysOff, false, true, false),
            (Kind::ParentOrRatio, false, true, false),
            (Kind::Ratio, false, false, false),
        ] {
            let sampler = Sampler { kind, ratio: 0.0 };
            let samples = |parent: Option<Parent>| sampler.samples(&context(5).trace_id, parent.as_ref());
            assert_eq!((samples(None), samples(asked(true)), samples(asked(false))), (nobody, yes, no), "{kind:?}");
        }
    }

    #[test]
    fn a_share_is_a_share_of_the_numbers() {
        let share = |ratio: f64| {
            let sampler = Sampler { kind: SamplerKind::Ratio, ratio };
            let step = u64::MAX / 1_000;
            (0..1_000).filter(|at| sampler.samples(&context(at * step).trace_id, None)).count()
        };
        assert_eq!((share(0.0), share(0.25), share(1.0), share(2.0)), (0, 251, 1_000, 1_000));
    }

    #[test]
    fn no_more_are_told_in_a_second_than_that() {
        let judge = Judge::new(Sampler { kind: SamplerKind::AlwaysOn, ratio: 1.0 }, 2);
        let now = Instant::now();
        let verdicts = |after_ms: u64, count: usize| -> Vec<Verdict> {
            let at = now + Duration::from_millis(after_ms);
            (0..count).map(|_| judge.judge(&context(1), asked(true).as_ref(), at)).collect()
        };
        assert_eq!(verdicts(0, 3), [Verdict::Told, Verdict::Told, Verdict::TooMany]);
        assert_eq!(verdicts(999, 1), [Verdict::TooMany]);
        assert_eq!(verdicts(1_000, 3), [Verdict::Told, Verdict::Told, Verdict::TooMany]);
        let off = Judge::new(Sampler { kind: SamplerKind::AlwaysOff, ratio: 1.0 }, 2);
        assert_eq!(off.judge(&context(1), None, now), Verdict::NotSampled);
    }
}
