//! Metric families built from counters that the floors keep anyway: nothing is counted twice, nothing is missing at
//! the first scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// The families of one page, in the order in which they were added.
#[derive(Default)]
pub(super) struct Families(Vec<MetricFamily>);

/// A label and its value, with the sample's value.
pub(super) type Sample<'a> = (&'a str, &'a str, f64);

impl Families {
    pub(super) fn into_inner(self) -> Vec<MetricFamily> {
        self.0
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::COUNTER, vec![counter(value, Vec::new())]);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::GAUGE, vec![gauge(value, Vec::new())]);
    }

    /// One sample for each value of one label; all values are known beforehand.
    pub(super) fn counters(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        let metrics = samples.iter().map(|&(label, of, value)| counter(value, vec![pair(label, of)])).collect();
        self.add(name, help, MetricType::COUNTER, metrics);
    }

    /// As [`Self::counters`].
    pub(super) fn gauges(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        let metrics = samples.iter().map(|&(label, of, value)| gauge(value, vec![pair(label, of)])).collect();
        self.add(name, help, MetricType::GAUGE, metrics);
    }

    /// A histogram from counts per bucket (upper bound in microseconds and count, not cumulated; the last has no
    /// bound) and a sum in microseconds; shown in seconds.
    pub(super) fn histogram_us(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = (Option<u64>, u64)>,
        sum_us: &AtomicU64,
    ) {
        let mut cumulative = 0;
        let mut buckets = Vec::new();
        for (bound, count) in counts {
            cumulative += count;
            if let Some(bound) = bound {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(bound as f64 / 1e6);
                bucket.set_cumulative_count(cumulative);
                buckets.push(bucket);
            }
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative);
        histogram.set_sample_sum(sum_us.load(Ordering::Relaxed) as f64 / 1e6);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn counter(value: f64, labels: Vec<LabelPair>) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn gauge(value: f64, labels: Vec<LabelPair>) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}
