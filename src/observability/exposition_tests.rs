//! A strict judge of Prometheus' text format (0.0.4): `promtool check metrics` passes a histogram without `+Inf`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Samples on a page at most: series cost the scraper memory.
const SAMPLES_MAX: usize = 2_000;

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Judges a page; the error names the first line that is wrong.
pub(crate) fn judge(page: &str) -> Result<(), String> {
    let mut helped = BTreeSet::new();
    let mut kinds: HashMap<&str, &str> = HashMap::new();
    let mut samples: Vec<Sample> = Vec::new();
    let mut seen = BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| format!("no help: {line}"))?;
            if help.trim().is_empty() || !helped.insert(name) {
                return Err(format!("no help, or twice: {line}"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| format!("no type: {line}"))?;
            if kinds.insert(name, kind).is_some() {
                return Err(format!("twice: {line}"));
            }
            let counts = kind == "counter";
            if counts != name.ends_with("_total") || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(format!("a counter ends in _total, nothing else does: {line}"));
            }
            if ["_ms", "_millis", "_kb", "_mb", "_minutes"].iter().any(|unit| name.ends_with(unit)) {
                return Err(format!("not a base unit: {line}"));
            }
        } else {
            let sample = parse(line)?;
            if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                return Err(format!("twice: {line}"));
            }
            let family = family_of(&sample.name, &kinds);
            if !helped.contains(family) || !kinds.contains_key(family) {
                return Err(format!("without HELP and TYPE before it: {line}"));
            }
            if kinds.get(family) != Some(&"gauge") && sample.value < 0.0 {
                return Err(format!("a negative count: {line}"));
            }
            samples.push(sample);
        }
    }
    if samples.len() > SAMPLES_MAX {
        return Err(format!("{} samples", samples.len()));
    }
    for (name, _) in kinds.iter().filter(|(_, kind)| **kind == "histogram") {
        judge_histogram(name, &samples)?;
    }
    Ok(())
}

fn judge_histogram(name: &str, samples: &[Sample]) -> Result<(), String> {
    let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == format!("{name}_bucket")) {
        let mut labels = sample.labels.clone();
        let le = labels.remove("le").ok_or_else(|| format!("{name}: a bucket without le"))?;
        let le = if le == "+Inf" { f64::INFINITY } else { le.parse().map_err(|_| format!("{name}: le={le}"))? };
        buckets.entry(labels).or_default().push((le, sample.value));
    }
    if buckets.is_empty() {
        return Err(format!("{name}: no buckets"));
    }
    for (labels, buckets) in buckets {
        let of = |suffix: &str| {
            let name = format!("{name}{suffix}");
            samples.iter().find(|sample| sample.name == name && sample.labels == labels).map(|sample| sample.value)
        };
        let rises = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let last = buckets.last().copied().unwrap_or_default();
        if !rises || last.0 != f64::INFINITY || of("_count") != Some(last.1) || of("_sum").is_none() {
            return Err(format!("{name}{labels:?}: buckets, _sum and _count do not fit: {buckets:?}"));
        }
    }
    Ok(())
}

fn family_of<'n>(sample: &'n str, kinds: &HashMap<&str, &str>) -> &'n str {
    let histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| sample.strip_suffix(suffix));
    histogram.into_iter().find(|name| kinds.get(name) == Some(&"histogram")).unwrap_or(sample)
}

fn parse(line: &str) -> Result<Sample, String> {
    let wrong = || format!("not a sample: {line}");
    let (series, value) = line.rsplit_once(' ').ok_or_else(wrong)?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().map_err(|_| wrong())? };
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').ok_or_else(wrong)?),
        None => (series, ""),
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if !is_name(name) {
        return Err(wrong());
    }
    let mut parsed = BTreeMap::new();
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (label, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or_else(wrong)?;
        if !is_name(label) || parsed.insert(label.to_owned(), value.to_owned()).is_some() {
            return Err(wrong());
        }
    }
    Ok(Sample { name: name.to_owned(), labels: parsed, value })
}

#[test]
fn the_judge_finds_what_promtool_does_not() {
    let good = "# HELP a_seconds A.\n# TYPE a_seconds histogram\na_seconds_bucket{le=\"1\"} 1\na_seconds_bucket{le=\"+Inf\"} 2\na_seconds_sum 3\na_seconds_count 2\n";
    assert_eq!(judge(good), Ok(()));
    for (from, to) in [
        ("a_seconds_bucket{le=\"+Inf\"} 2\n", ""),
        ("a_seconds_sum 3\n", ""),
        ("a_seconds_count 2", "a_seconds_count 3"),
        ("bucket{le=\"1\"} 1", "bucket{le=\"1\"} 5"),
        ("# HELP a_seconds A.\n", ""),
        ("histogram", "summary"),
        ("a_seconds", "a_ms"),
    ] {
        assert!(judge(&good.replace(from, to)).is_err(), "{from} -> {to}");
    }
    assert!(judge("# HELP a A.\n# TYPE a counter\na 1\n").is_err(), "a counter without _total");
    assert!(judge("# HELP a_total A.\n# TYPE a_total counter\na_total 1\na_total 2\n").is_err(), "a series twice");
}
