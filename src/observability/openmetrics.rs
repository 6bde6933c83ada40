//! OpenMetrics 1.0 text: the same families as Prometheus' text, under that format's rules for names and types.

use std::fmt::Write;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

/// The form's media type.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text";
/// What an answer in it is labelled with.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All families, and the mark that nothing is missing.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut page = String::new();
    for family in families {
        encode_family(&mut page, family);
    }
    page.push_str("# EOF\n");
    page
}

fn encode_family(page: &mut String, family: &MetricFamily) {
    let kind = family.get_field_type();
    // A counter's family has no suffix; its samples have.
    let name = match kind {
        MetricType::COUNTER => family.name().strip_suffix("_total").unwrap_or(family.name()),
        _ => family.name(),
    };
    let kind_name = match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        _ => "unknown",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# TYPE {name} {kind_name}");
    let _ = writeln!(page, "# HELP {name} {}", escaped(family.help()));
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            MetricType::COUNTER => sample(page, name, "_total", labels, None, metric.get_counter().get_value()),
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                for bucket in histogram.get_bucket() {
                    let le = number(bucket.upper_bound());
                    sample(page, name, "_bucket", labels, Some(&le), bucket.cumulative_count() as f64);
                }
                sample(page, name, "_bucket", labels, Some("+Inf"), histogram.get_sample_count() as f64);
                sample(page, name, "_count", labels, None, histogram.get_sample_count() as f64);
                sample(page, name, "_sum", labels, None, histogram.get_sample_sum());
            }
            _ => sample(page, name, "", labels, None, metric.get_gauge().get_value()),
        }
    }
}

fn sample(page: &mut String, name: &str, suffix: &str, labels: &[LabelPair], le: Option<&str>, value: f64) {
    page.push_str(name);
    page.push_str(suffix);
    let le = le.map(|le| ("le", le.to_owned()));
    let pairs = labels.iter().map(|pair| (pair.name(), escaped(pair.value()))).chain(le);
    let mut open = '{';
    for (label, value) in pairs {
        let _ = write!(page, "{open}{label}=\"{value}\"");
        open = ',';
    }
    if open == ',' {
        page.push('}');
    }
    let _ = writeln!(page, " {}", number(value));
}

/// Bounds of buckets must look like floats.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.1}") } else { value.to_string() }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
