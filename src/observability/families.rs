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

    /// A histogram kept as counts per bucket (not cumulative; one more than there are bounds) and a sum, both in
    /// microseconds; shown in seconds.
    pub(super) fn histogram_us(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[u64],
        counts: &[AtomicU64],
        sum: &AtomicU64,
    ) {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (bound, count) in bounds.iter().zip(counts) {
            cumulative += count.load(Ordering::Relaxed);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        let beyond: u64 = counts.iter().skip(bounds.len()).map(|count| count.load(Ordering::Relaxed)).sum();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative + beyond);
        histogram.set_sample_sum(sum.load(Ordering::Relaxed) as f64 / 1e6);
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
