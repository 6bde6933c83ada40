//! What a bucket lets through.

use proptest::prelude::*;

use super::*;

fn limited(millis: u64) -> Decision {
    Decision::Limited { retry_after: Duration::from_millis(millis) }
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let rate = Rate::per_second(10, 3).unwrap();
    let start = Instant::now();
    let mut bucket = Bucket::full(start);
    for _ in 0..3 {
        assert_eq!(bucket.take(&rate, 1, start), Decision::Allowed);
    }
    assert_eq!(bucket.take(&rate, 1, start), limited(100));
    assert_eq!(bucket.take(&rate, 1, start + Duration::from_millis(99)), limited(1));
    assert_eq!(bucket.take(&rate, 1, start + Duration::from_millis(100)), Decision::Allowed);
    assert_eq!(bucket.take(&rate, 1, start + Duration::from_millis(100)), limited(100));
    // Idle time fills it, but never above its burst.
    let later = start + Duration::from_secs(3600);
    assert_eq!(bucket.take(&rate, 3, later), Decision::Allowed);
    assert_eq!(bucket.take(&rate, 1, later), limited(100));
}

#[test]
fn the_eleventh_within_a_window_is_refused() {
    let rate = Rate::new(10, Duration::from_secs(60), 10).unwrap();
    let start = Instant::now();
    let mut bucket = Bucket::full(start);
    let allowed = (0..11).filter(|_| bucket.take(&rate, 1, start).is_allowed()).count();
    assert_eq!(allowed, 10);
    assert_eq!(bucket.take(&rate, 1, start), limited(6000));
    assert_eq!(bucket.take(&rate, 1, start).retry_after_seconds(), Some(6));
}

#[test]
fn a_refusal_costs_nothing() {
    let rate = Rate::per_second(1, 1).unwrap();
    let start = Instant::now();
    let mut bucket = Bucket::full(start);
    assert!(bucket.take(&rate, 1, start).is_allowed());
    for _ in 0..1000 {
        assert_eq!(bucket.take(&rate, 1, start), limited(1000));
    }
    assert!(bucket.take(&rate, 1, start + Duration::from_secs(1)).is_allowed());
}

#[test]
fn a_cost_above_the_burst_needs_a_full_bucket_and_is_paid_for() {
    let rate = Rate::per_second(1000, 100).unwrap();
    let start = Instant::now();
    let mut bucket = Bucket::full(start);
    assert_eq!(bucket.take(&rate, 1, start), Decision::Allowed);
    assert_eq!(bucket.take(&rate, 5000, start), limited(1));
    assert_eq!(bucket.take(&rate, 5000, start + Duration::from_millis(1)), Decision::Allowed);
    assert_eq!(bucket.take(&rate, 1, start + Duration::from_millis(1)), limited(4901));
    assert_eq!(bucket.take(&rate, 0, start), limited(4901));
}

#[test]
fn a_clock_that_goes_backwards_gives_nothing_for_free() {
    let rate = Rate::per_second(1, 1).unwrap();
    let start = Instant::now() + Duration::from_secs(10);
    let mut bucket = Bucket::full(start);
    assert!(bucket.take(&rate, 1, start).is_allowed());
    assert_eq!(bucket.take(&rate, 1, start - Duration::from_secs(5)), limited(6000));
}

#[test]
fn rates_are_checked() {
    let second = Duration::from_secs(1);
    for (count, period, burst) in [(0, second, 1), (1, second, 0), (1, Duration::ZERO, 1)] {
        assert_eq!(Rate::new(count, period, burst), Err(RateError::Zero { count, period, burst }));
    }
    let (billion, day) = (1_000_000_000, Duration::from_secs(86_400));
    assert!(Rate::new(billion, second, billion).is_ok());
    assert!(Rate::new(1, day, 1).is_ok());
    for (count, period, burst) in [
        (billion + 1, second, 1),
        (1, day, 2),
        (1, day + second, 1),
        (1, Duration::MAX, 1),
        (1, Duration::from_nanos(u64::MAX), u32::MAX),
    ] {
        assert_eq!(Rate::new(count, period, burst), Err(RateError::OutOfRange { count, period, burst }));
    }
    assert_eq!(Rate::per_second(10, 5).unwrap().refill_time(), Duration::from_millis(500));
}

#[test]
fn retry_after_is_whole_seconds_and_never_zero() {
    for (millis, seconds) in [(1, 1), (1000, 1), (1001, 2), (0, 1)] {
        assert_eq!(limited(millis).retry_after_seconds(), Some(seconds));
    }
    assert_eq!(Decision::Allowed.retry_after_seconds(), None);
}

proptest! {
    #[test]
    fn no_pattern_gets_more_than_burst_and_rate(
        count in 1_u32..1000, burst in 1_u32..500, steps in prop::collection::vec((0_u64..50_000, 1_u32..20), 1..300)
    ) {
        let rate = Rate::per_second(count, burst).unwrap();
        let start = Instant::now();
        let (mut bucket, mut now, mut passed, mut largest) = (Bucket::full(start), start, 0_u64, u64::from(burst));
        for (micros, cost) in steps {
            now += Duration::from_micros(micros);
            if bucket.take(&rate, cost, now).is_allowed() {
                passed += u64::from(cost);
                largest = largest.max(cost.into());
            }
            let refilled = (now - start).as_nanos() * u128::from(count) / 1_000_000_000;
            prop_assert!(u128::from(passed) <= u128::from(largest) + refilled);
        }
    }

    #[test]
    fn what_waits_as_told_passes(
        count in 1_u32..5000, burst in 1_u32..100, costs in prop::collection::vec(1_u32..200, 1..50)
    ) {
        let rate = Rate::new(count, Duration::from_secs(7), burst).unwrap();
        let mut now = Instant::now();
        let mut bucket = Bucket::full(now);
        for cost in costs {
            if let Decision::Limited { retry_after } = bucket.take(&rate, cost, now) {
                prop_assert!(retry_after > Duration::ZERO);
                now += retry_after - Duration::from_nanos(1);
                let still = Decision::Limited { retry_after: Duration::from_nanos(1) };
                prop_assert_eq!(bucket.take(&rate, cost, now), still);
                now += Duration::from_nanos(1);
                prop_assert_eq!(bucket.take(&rate, cost, now), Decision::Allowed);
            }
        }
    }

    #[test]
    fn no_cost_makes_it_panic(
        count in 1_u32.., burst in 1_u32.., nanos in 1_u64.., costs in prop::collection::vec(any::<u32>(), 1..10)
    ) {
        if let Ok(rate) = Rate::new(count, Duration::from_nanos(nanos), burst) {
            let now = Instant::now();
            let mut bucket = Bucket::full(now);
            for cost in costs {
                let _ = bucket.take(&rate, cost, now);
            }
        }
    }
}
