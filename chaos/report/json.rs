//! A run's report as JSON, for programs. Times are nanoseconds from the beginning of the run.

use serde_json::json;

use crate::invariants::{moves, moving, resumes, times};
use crate::runner::Run;

/// Raised when a field changes its meaning or goes.
const VERSION: u32 = 1;

pub(super) fn json(run: &Run) -> String {
    let record = &run.record;
    let since = |at: u64| at.saturating_sub(record.began);
    let mut marks = record.marks.clone();
    for mark in &mut marks {
        mark.at = since(mark.at);
        mark.until = mark.until.map(since);
    }
    let mut samples = record.samples.clone();
    for sample in &mut samples {
        sample.at = since(sample.at);
    }
    let mut leaders = record.leaders.clone();
    for leader in &mut leaders {
        leader.at = since(leader.at);
    }
    let mut most = moving(record);
    most.at = since(most.at);
    let options = &run.options;
    let report = json!({
        "version": VERSION,
        "scenario": run.scenario,
        "seed": options.seed,
        "nodes": options.nodes,
        "clients": record.listeners.len(),
        "rate": options.rate,
        "rounds": run.rounds,
        "duration": since(record.ended),
        "violations": run.violations(),
        "findings": run.findings,
        "resume_times": times(&resumes(record)),
        "leadership_moves": moves(record),
        "most_on_their_way": most,
        "marks": marks,
        "leaders": leaders,
        "samples": samples,
        "states": record.states,
        "replay": super::replay(run),
    });
    // Values made of numbers and strings are written without fail; `{:#}` is for eyes.
    format!("{report:#}\n")
}
