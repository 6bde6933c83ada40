//! A run's report as text.

use std::fmt::Write;

use crate::clock::{MS, SECOND};
use crate::invariants::{moves, moving, resumes, times};
use crate::record::MarkKind;
use crate::runner::Run;

/// The command that does the same again.
#[must_use]
pub fn replay(run: &Run) -> String {
    let options = &run.options;
    let duration = match options.duration {
        Some(duration) => format!("--duration {}s", duration.as_secs()),
        None => "--quick".to_owned(),
    };
    let official = options.official.as_ref().map_or(0, |plan| plan.defaults + plan.eager);
    format!(
        "vedfolnir chaos run {} --nodes {} {duration} --seed {} --clients {} --rate {} --official {official}",
        run.scenario, options.nodes, options.seed, options.clients, options.rate
    )
}

/// One line: the verdict.
#[must_use]
pub fn summary(run: &Run) -> String {
    let seconds = (run.record.ended.saturating_sub(run.record.began)) / SECOND;
    let acknowledged = run.record.samples.last().map_or(0, |sample| sample.acknowledged);
    let delivered: usize = run
        .record
        .listeners
        .iter()
        .flat_map(|listener| &listener.receptions)
        .map(|session| session.deliveries.len())
        .sum();
    let verdict = match run.violations() {
        0 => "ok".to_owned(),
        1 => "1 VIOLATION".to_owned(),
        many => format!("{many} VIOLATIONS"),
    };
    format!(
        "{:<20} {verdict:<12} seed {:<6} {} rounds in {seconds} s, {acknowledged} messages acknowledged, {delivered} delivered",
        run.scenario, run.options.seed, run.rounds
    )
}

/// All of it.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}\n", summary(run));
    for finding in &run.findings {
        let verdict = if finding.violations == 0 { "ok" } else { "BROKEN" };
        let _ =
            writeln!(out, "{}  {verdict:<7} {}\n            {}", finding.invariant, finding.promise, finding.checked);
        for example in &finding.examples {
            let _ = writeln!(out, "            - {}", example.replace('\n', "\n              "));
        }
        let more = finding.violations.saturating_sub(finding.examples.len() as u64);
        if more > 0 {
            let _ = writeln!(out, "            - and {more} more");
        }
    }
    let most = moving(&run.record);
    let at = most.at.saturating_sub(run.record.began) as f64 / SECOND as f64;
    let _ = writeln!(
        out,
        "\nmost clients on their way at once: {} ({:.1} %), after {at:.1} s",
        most.clients,
        100.0 * most.share
    );
    let groups = times(&resumes(&run.record));
    if !groups.is_empty() {
        let _ = writeln!(out, "\nfrom the loss of a node to `recovered`, ms: p50 / p99 / max");
        for group in groups {
            let whom = if group.of_leader { "leader" } else { "follower" };
            let _ = write!(out, "  {}, {whom} {}, {} resumes:", group.kind, group.loss, group.count);
            for (name, part) in [
                ("total", group.total),
                ("detect", group.detect),
                ("elect", group.elect),
                ("reconnect", group.reconnect),
                ("replay", group.replay),
            ] {
                let [p50, p99, max] = part.map(|time| time / MS);
                let _ = write!(out, " {name} {p50}/{p99}/{max}");
            }
            out.push('\n');
        }
    }
    let moves = moves(&run.record);
    if !moves.is_empty() {
        let _ = writeln!(out, "\nfrom a fault of the leader until others know another one, ms: p50 / p99 / max");
        for of in moves {
            let [p50, p99, max] = of.after.map(|time| time / MS);
            let _ = writeln!(out, "  {}: {} of {} faults, {p50}/{p99}/{max}", of.kind, of.moved, of.faults);
        }
    }
    let _ = writeln!(out, "\nseconds into the run");
    for mark in run.record.marks.iter().filter(|mark| mark.kind != MarkKind::Phase) {
        let at = |time: u64| time.saturating_sub(run.record.began) as f64 / SECOND as f64;
        let until = mark.until.map_or_else(|| "end".to_owned(), |until| format!("{:.1}", at(until)));
        let _ = writeln!(out, "  {:>6.1} - {until:<6} {}", at(mark.at), mark.what);
    }
    let _ = writeln!(out, "\nagain: {}", replay(run));
    out
}
