//! Metric families built from counters that the floors keep anyway: nothing is counted twice, nothing is missing at
//! the first scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::service::Distribution;

/// Times are counted in microseconds and shown in seconds.
const US_PER_SECOND: f64 = 1e6;

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

    /// As [`Self::counters`], with two labels.
    pub(super) fn counters_of_two(&mut self, name: &str, help: &str, labels: [&str; 2], samples: &[(&str, &str, f64)]) {
        let of = |&(first, second, value): &(&str, &str, f64)| {
            counter(value, vec![pair(labels[0], first), pair(labels[1], second)])
        };
        self.add(name, help, MetricType::COUNTER, samples.iter().map(of).collect());
    }

    /// A histogram of times for each value of a label; an empty label: one without. Shown in seconds.
    pub(super) fn times(&mut self, name: &str, help: &str, label: &str, samples: &[(&str, &Distribution)]) {
        let of = |&(value, times): &(&str, &Distribution)| {
            let labels = if label.is_empty() { Vec::new() } else { vec![pair(label, value)] };
            histogram(times.buckets(), times.sum(), US_PER_SECOND, labels)
        };
        self.add(name, help, MetricType::HISTOGRAM, samples.iter().map(of).collect());
    }

    /// A histogram of sizes in bytes.
    pub(super) fn sizes(&mut self, name: &str, help: &str, sizes: &Distribution) {
        self.add(name, help, MetricType::HISTOGRAM, vec![histogram(sizes.buckets(), sizes.sum(), 1.0, Vec::new())]);
    }

    /// A histogram of counts.
    pub(super) fn counts(&mut self, name: &str, help: &str, counts: &Distribution) {
        self.sizes(name, help, counts);
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
        let sum_us = sum_us.load(Ordering::Relaxed);
        self.add(name, help, MetricType::HISTOGRAM, vec![histogram(counts, sum_us, US_PER_SECOND, Vec::new())]);
    }

    /// A family without samples, such as the leader's word on followers elsewhere, is left out: the format has no such.
    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

/// `unit`: how many of the counts' units are one of what is shown.
fn histogram(counts: impl Iterator<Item = (Option<u64>, u64)>, sum: u64, unit: f64, labels: Vec<LabelPair>) -> Metric {
    let mut cumulative = 0;
    let mut buckets = Vec::new();
    for (bound, count) in counts {
        cumulative += count;
        // The last one, without a bound, is the count: each form writes it in its own way.
        let Some(bound) = bound else { continue };
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound as f64 / unit);
        bucket.set_cumulative_count(cumulative);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(cumulative);
    histogram.set_sample_sum(sum as f64 / unit);
    let mut metric = Metric::from_label(labels);
    metric.set_histogram(histogram);
    metric
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
