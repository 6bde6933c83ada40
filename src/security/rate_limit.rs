//! How often something may happen: a token bucket, kept as the one instant at which it will be full again.
//!
//! That form is known as GCRA (ITU-T I.371, "virtual scheduling"): a bucket of `burst` tokens that refills at an even
//! rate is full at some instant; taking a token moves that instant by one token's time, and a token is there as long as
//! the instant is less than the whole bucket's time away. It needs no timer and a few machine words per bucket.
//!
//! A cost above the burst passes from a full bucket only, and leaves it in debt: a large message is not refused for
//! ever, and the rate still holds in the long run.

use std::time::{Duration, Instant};

use thiserror::Error;

/// The longest time that an empty bucket may take to be full again.
pub const REFILL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a rate is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RateError {
    /// Nothing would ever be allowed.
    #[error("a rate of {count} per {period:?} with a burst of {burst} lets nothing through (accepted: all above zero)")]
    Zero {
        /// Tokens per period.
        count: u32,
        /// The period.
        period: Duration,
        /// Tokens at once.
        burst: u32,
    },
    /// A token would take less than a nanosecond, or the bucket more than [`REFILL_MAX`].
    #[error(
        "a rate of {count} per {period:?} with a burst of {burst} is out of range (accepted: up to 1000000000 per \
         second, and a burst that refills within {REFILL_MAX:?})"
    )]
    OutOfRange {
        /// Tokens per period.
        count: u32,
        /// The period.
        period: Duration,
        /// Tokens at once.
        burst: u32,
    },
}

/// A rate and its burst; shared by all buckets that obey it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    period_nanos: u64,
    token_nanos: u64,
    burst_nanos: u64,
}

impl Rate {
    /// `count` tokens per `period` in the long run, `burst` at once.
    ///
    /// # Errors
    /// [`RateError`].
    pub fn new(count: u32, period: Duration, burst: u32) -> Result<Self, RateError> {
        if count == 0 || burst == 0 || period.is_zero() {
            return Err(RateError::Zero { count, period, burst });
        }
        let out_of_range = RateError::OutOfRange { count, period, burst };
        let period_nanos = u64::try_from(period.as_nanos()).map_err(|_| out_of_range)?;
        let mut rate = Self { count: count.into(), period_nanos, token_nanos: 0, burst_nanos: 0 };
        (rate.token_nanos, rate.burst_nanos) = (rate.nanos_of(1), rate.nanos_of(burst));
        if rate.count > period_nanos || Duration::from_nanos(rate.burst_nanos) > REFILL_MAX {
            return Err(out_of_range);
        }
        Ok(rate)
    }

    /// `count` tokens per second in the long run, `burst` at once.
    ///
    /// # Errors
    /// [`RateError`].
    pub fn per_second(count: u32, burst: u32) -> Result<Self, RateError> {
        Self::new(count, Duration::from_secs(1), burst)
    }

    /// How long an empty bucket takes to be full again.
    #[must_use]
    pub fn refill_time(&self) -> Duration {
        Duration::from_nanos(self.burst_nanos)
    }

    /// The time of `cost` tokens, rounded up: never more than the rate.
    fn nanos_of(&self, cost: u32) -> u64 {
        match u64::from(cost).checked_mul(self.period_nanos) {
            Some(nanos) => nanos.div_ceil(self.count),
            None => {
                let nanos = u128::from(cost) * u128::from(self.period_nanos);
                u64::try_from(nanos.div_ceil(u128::from(self.count))).unwrap_or(u64::MAX)
            }
        }
    }

    /// Takes `cost` tokens from a bucket that is full in `full_in` nanoseconds: when it then is full, or how long the
    /// tokens take to be there.
    pub(super) fn take(&self, full_in: u64, cost: u32) -> Result<u64, u64> {
        let nanos = if cost == 1 { self.token_nanos } else { self.nanos_of(cost) };
        let then = full_in.saturating_add(nanos);
        let allowed = self.burst_nanos.max(nanos);
        if then <= allowed { Ok(then) } else { Err(then - allowed) }
    }
}

/// The answer of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may happen, and has been counted.
    Allowed,
    /// It may not happen now, and has not been counted.
    Limited {
        /// From then on it may, if nothing else happens meanwhile.
        retry_after: Duration,
    },
}

impl Decision {
    /// Whether it may happen.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }

    /// Whole seconds, rounded up and at least 1, for `Retry-After` (RFC 9110, section 10.2.3); `None` if it may happen.
    #[must_use]
    pub fn retry_after_seconds(self) -> Option<u64> {
        match self {
            Self::Allowed => None,
            Self::Limited { retry_after } => {
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                Some(seconds.max(1))
            }
        }
    }
}

/// The bucket of one session, for its messages or its bytes. Two words; neither allocates nor locks.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes `cost` tokens at `rate`. A clock that goes backwards gives nothing for free.
    pub fn take(&mut self, rate: &Rate, cost: u32, now: Instant) -> Decision {
        let full_in = self.full_at.saturating_duration_since(now).as_nanos();
        match rate.take(u64::try_from(full_in).unwrap_or(u64::MAX), cost) {
            Ok(then) => match now.checked_add(Duration::from_nanos(then)) {
                Some(full_at) => {
                    self.full_at = full_at;
                    Decision::Allowed
                }
                // Centuries away.
                None => Decision::Limited { retry_after: REFILL_MAX },
            },
            Err(wait) => Decision::Limited { retry_after: Duration::from_nanos(wait) },
        }
    }
}

#[cfg(test)]
#[path = "rate_limit_tests.rs"]
mod tests;
