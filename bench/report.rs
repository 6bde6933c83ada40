//! What a run found: as a line of JSON for programs, as a short list for people.

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::server::Usage;
use vedfolnir_chaos::Verdict;

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Its name in the table.
    pub(crate) label: String,
    /// What was asked for, in words.
    pub(crate) what: String,
    pub(crate) figures: Vec<Figure>,
    /// Promises that were broken, in words; empty: none.
    pub(crate) broken: Vec<String>,
}

impl Report {
    pub(crate) fn new(label: &str, what: String) -> Self {
        Self { label: label.to_owned(), what, figures: Vec::new(), broken: Vec::new() }
    }

    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &str) {
        self.figures.push(Figure { name: name.to_owned(), value, unit: unit.to_owned() });
    }

    /// p50, p99 and the maximum of nanoseconds, in milliseconds.
    pub(crate) fn latencies(&mut self, name: &str, histogram: &Histogram) {
        for (quantile, value) in
            [("p50", histogram.quantile(0.5)), ("p99", histogram.quantile(0.99)), ("max", histogram.max())]
        {
            self.figure(&format!("{name} {quantile}"), value as f64 / 1e6, "ms");
        }
    }

    /// p50, p99, p99.9 and the maximum of nanoseconds, in milliseconds.
    pub(crate) fn percentiles(&mut self, name: &str, histogram: &Histogram) {
        for (quantile, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            self.figure(&format!("{name} {quantile}"), histogram.quantile(share) as f64 / 1e6, "ms");
        }
        self.figure(&format!("{name} max"), histogram.max() as f64 / 1e6, "ms");
    }

    /// How busy the two sides were: a load generator near 100 % measures itself.
    pub(crate) fn usage(&mut self, servers: Option<(Usage, Usage)>, own: (Usage, Usage)) {
        if let Some((before, after)) = servers {
            self.figure("servers' processor", after.cpu_percent_since(&before), "% of a core");
        }
        self.figure("load's processor", own.1.cpu_percent_since(&own.0), "% of a core");
    }

    /// What the oracle says; a `binding` verdict that is not clean spoils the run.
    pub(crate) fn verdict(&mut self, verdict: &Verdict, binding: bool) {
        self.figure("lost", verdict.lost as f64, "");
        self.figure("duplicated", verdict.duplicated as f64, "");
        self.figure("out of order", verdict.out_of_order as f64, "");
        self.figure("phantom", verdict.phantom as f64, "");
        self.figure("judged", verdict.delivered as f64, "deliveries");
        if binding && !verdict.is_clean() {
            self.broken.push(verdict.to_string());
            self.broken.extend(verdict.examples.iter().cloned());
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    pub(crate) fn json(&self) -> String {
        // Strings and numbers only: serialisation cannot fail, and an empty line would be noticed by every reader.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.what);
        for Figure { name, value, unit } in &self.figures {
            text.push_str(&format!("  {name:<28}{:>14} {unit}\n", number(*value)));
        }
        for broken in &self.broken {
            text.push_str(&format!("  BROKEN: {broken}\n"));
        }
        text
    }
}

/// Three digits or more, without a false precision.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1_000.0 {
        grouped(value.round() as i64)
    } else if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (value, text) in [
            (0.0, "0"),
            (0.123, "0.12"),
            (12.34, "12.3"),
            (123.4, "123"),
            (999.0, "999"),
            (1234.5, "1,235"),
            (70_000.2, "70,000"),
            (1_234_567.0, "1,234,567"),
            (-1_000.0, "-1,000"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn a_report_survives_its_line() {
        let mut report = Report::new("echo", "echo of 64 bytes".to_owned());
        report.figure("rate", 1.5, "msg/s");
        let again: Report = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((again.figures, again.label), (report.figures, report.label));
    }

    #[test]
    fn a_broken_promise_spoils_a_binding_run_only() {
        let verdict = Verdict { lost: 1, ..Verdict::default() };
        let mut report = Report::new("", String::new());
        report.verdict(&verdict, false);
        assert!(report.is_clean());
        report.verdict(&verdict, true);
        assert!(!report.is_clean());
        assert!(report.text().contains("BROKEN"));
    }
}
