//! Metrics as JSON, for programs that read no Prometheus text.

use prometheus::proto::{MetricFamily, MetricType};
use serde_json::{Map, Value, json};

/// `[{"name","help","type","samples":[{"labels":{},"value":1}]}]`; a histogram's sample has `count`, `sum` and
/// `buckets`: `[["0.1",3],…,["+Inf",5]]`, cumulated.
pub(super) fn encode(families: &[MetricFamily]) -> Value {
    families.iter().map(family).collect()
}

fn family(family: &MetricFamily) -> Value {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        _ => "unknown",
    };
    let samples: Vec<Value> = family
        .get_metric()
        .iter()
        .map(|metric| {
            let pairs = metric.get_label().iter();
            let labels: Map<String, Value> =
                pairs.map(|pair| (pair.name().to_owned(), Value::from(pair.value()))).collect();
            match family.get_field_type() {
                MetricType::COUNTER => json!({"labels": labels, "value": metric.get_counter().get_value()}),
                MetricType::HISTOGRAM => {
                    let histogram = metric.get_histogram();
                    let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
                    let buckets = histogram.get_bucket().iter();
                    let buckets = buckets.map(|at| json!([at.upper_bound().to_string(), at.cumulative_count()]));
                    let buckets: Vec<Value> = buckets.chain([json!(["+Inf", count])]).collect();
                    json!({"labels": labels, "count": count, "sum": sum, "buckets": buckets})
                }
                _ => json!({"labels": labels, "value": metric.get_gauge().get_value()}),
            }
        })
        .collect();
    json!({"name": family.name(), "help": family.help(), "type": kind, "samples": samples})
}
