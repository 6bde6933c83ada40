//! Several runs as one Markdown table: the median of each figure, and its spread.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use crate::error::BenchError;
use crate::report::{Report, number};

/// The table of all JSON lines in these files, in the order in which labels and figures first appear.
pub(crate) fn table(files: &[PathBuf]) -> Result<String, BenchError> {
    let mut reports: Vec<Report> = Vec::new();
    for file in files {
        let refused = |reason: String| BenchError::Other(format!("{}: {reason}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            reports.push(serde_json::from_str(line).map_err(|error| refused(error.to_string()))?);
        }
    }
    Ok(markdown(&reports))
}

fn markdown(reports: &[Report]) -> String {
    let mut order: Vec<(&str, &str, &str)> = Vec::new();
    let mut values: HashMap<(&str, &str), Vec<f64>> = HashMap::new();
    for report in reports {
        for figure in &report.figures {
            let row = (report.label.as_str(), figure.name.as_str());
            let found = values.entry(row).or_default();
            if found.is_empty() {
                order.push((row.0, row.1, &figure.unit));
            }
            found.push(figure.value);
        }
    }
    let mut text = String::from("| run | figure | median | lowest | highest | unit |\n|---|---|---|---|---|---|\n");
    let mut last = "";
    for (label, name, unit) in order {
        let Some(found) = values.get_mut(&(label, name)) else { continue };
        found.sort_by(f64::total_cmp);
        let (Some(lowest), Some(highest)) = (found.first(), found.last()) else { continue };
        let shown = if label == last { "" } else { label };
        last = label;
        text.push_str(&format!(
            "| {shown} | {name} | {} | {} | {} | {unit} |\n",
            number(found[found.len() / 2]),
            number(*lowest),
            number(*highest),
        ));
    }
    for report in reports.iter().filter(|report| !report.is_clean()) {
        text.push_str(&format!("\nBROKEN in a run of {}: {}\n", report.label, report.broken.join("; ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_in_the_order_of_appearance() {
        let reports: Vec<Report> = [3.0, 1.0, 2.0]
            .into_iter()
            .flat_map(|value| {
                ["b", "a"].map(|label| {
                    let mut report = Report::new(label, String::new());
                    report.figure("rate", value, "msg/s");
                    report.figure("p99", value * 10.0, "ms");
                    report
                })
            })
            .collect();
        let lines = markdown(&reports);
        let lines: Vec<&str> = lines.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| b | rate | 2 | 1 | 3 | msg/s |",
                "|  | p99 | 20 | 10 | 30 | ms |",
                "| a | rate | 2 | 1 | 3 | msg/s |",
                "|  | p99 | 20 | 10 | 30 | ms |",
            ]
        );
    }

    #[test]
    fn a_broken_run_is_named() {
        let mut report = Report::new("fan-out", String::new());
        report.broken.push("1 lost".to_owned());
        assert!(markdown(&[report]).contains("BROKEN in a run of fan-out: 1 lost"));
    }
}
