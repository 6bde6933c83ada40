//! A run's report as one page that needs nothing else: the verdict, the time line, what was judged, resume times.

use std::fmt::Write;

use super::chart::Chart;
use crate::clock::MS;
use crate::invariants::{Finding, resumes, times};
use crate::record::{MarkKind, Record};
use crate::runner::Run;

const STYLE: &str = include_str!("report.css");

/// What the rows of the time line are called.
const ROWS: [(MarkKind, &str); 6] = [
    (MarkKind::Process, "processes"),
    (MarkKind::Network, "network"),
    (MarkKind::Disk, "disks"),
    (MarkKind::Clock, "clocks"),
    (MarkKind::Membership, "members"),
    (MarkKind::Clients, "clients"),
];

pub(super) fn html(run: &Run) -> String {
    let violations = run.violations();
    let (class, verdict) = match violations {
        0 => ("ok", "every promise was kept".to_owned()),
        1 => ("broken", "1 broken promise".to_owned()),
        many => ("broken", format!("{many} broken promises")),
    };
    let options = &run.options;
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}: {verdict}</title>\n<style>{STYLE}</style>\n\
         <h1>{name} <span class=\"{class}\">{verdict}</span></h1>\n\
         <p>{nodes} nodes, {clients} listening clients, {rate} messages a second, {rounds} rounds, seed {seed}</p>\n\
         <p><code>{replay}</code></p>\n",
        name = escaped(run.scenario),
        nodes = options.nodes,
        clients = run.record.listeners.len(),
        rate = options.rate,
        rounds = run.rounds,
        seed = options.seed,
        replay = escaped(&super::replay(run)),
    );
    time_line(&mut page, &run.record);
    findings(&mut page, &run.findings);
    resume_times(&mut page, &run.record);
    marks(&mut page, &run.record);
    page.push_str("</html>\n");
    page
}

/// Faults, leader, clients with a session, latency, resumes, one below the other on one axis of time.
fn time_line(page: &mut String, record: &Record) {
    let mut chart = Chart::new(record.began, record.ended);
    for (kind, name) in ROWS {
        let marks: Vec<_> = record.marks.iter().filter(|mark| mark.kind == kind).collect();
        if marks.is_empty() {
            continue;
        }
        chart.row(name);
        for mark in marks {
            chart.bar("fault", mark.at, mark.until.unwrap_or(record.ended), &mark.what);
        }
    }
    chart.row("leader");
    let mut led: Option<(u64, usize, u64)> = None;
    for seen in record.leaders.iter().filter(|seen| seen.node.is_some()) {
        let Some(node) = seen.node else { continue };
        match led {
            Some((_, leads, term)) if (leads, term) == (node, seen.term) || seen.term < term => {}
            _ => {
                if let Some((since, leads, term)) = led {
                    chart.bar(node_class(leads), since, seen.at, &format!("node-{} leads, term {term}", leads + 1));
                }
                led = Some((seen.at, node, seen.term));
            }
        }
    }
    if let Some((since, leads, term)) = led {
        chart.bar(node_class(leads), since, record.ended, &format!("node-{} leads, term {term}", leads + 1));
    }
    let connected: Vec<_> = record.samples.iter().map(|sample| (sample.at, sample.connected as f64)).collect();
    chart.line("with a session", "", &connected);
    let latency: Vec<_> = record
        .samples
        .iter()
        .filter(|sample| sample.latency_p99 > 0)
        .map(|sample| (sample.at, sample.latency_p99 as f64 / MS as f64))
        .collect();
    chart.line("ack p99, ms", " ms", &latency);
    let rate: Vec<_> = record
        .samples
        .windows(2)
        .map(|pair| {
            let seconds = (pair[1].at - pair[0].at) as f64 / crate::clock::SECOND as f64;
            (pair[1].at, (pair[1].delivered - pair[0].delivered) as f64 / seconds)
        })
        .collect();
    chart.line("deliveries/s", "/s", &rate);
    let back: Vec<_> = record
        .listeners
        .iter()
        .flat_map(|listener| {
            listener.disconnects.iter().filter_map(|broke| {
                let back = listener.connects.iter().find(|connect| connect.at > broke.at)?;
                Some((back.at, (back.at - broke.at) as f64 / MS as f64, back.recovered))
            })
        })
        .collect();
    chart.dots("back after, ms", " ms", &back);
    page.push_str(&chart.finish());
}

fn node_class(node: usize) -> &'static str {
    ["node-a", "node-b", "node-c", "node-d", "node-e"][node % 5]
}

fn findings(page: &mut String, findings: &[Finding]) {
    page.push_str("<h2>Promises</h2>\n<table>\n");
    for finding in findings {
        let (class, word) = if finding.violations == 0 { ("ok", "kept") } else { ("broken", "broken") };
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"{class}\">{word}</td><td>{}<br><small>{}</small>",
            finding.invariant,
            escaped(finding.promise),
            escaped(&finding.checked)
        );
        if !finding.examples.is_empty() {
            page.push_str("<ul>");
            for example in &finding.examples {
                let _ = write!(page, "<li><pre>{}</pre></li>", escaped(example));
            }
            let more = finding.violations.saturating_sub(finding.examples.len() as u64);
            if more > 0 {
                let _ = write!(page, "<li>and {more} more</li>");
            }
            page.push_str("</ul>");
        }
        page.push_str("</td></tr>\n");
    }
    page.push_str("</table>\n");
}

fn resume_times(page: &mut String, record: &Record) {
    let groups = times(&resumes(record));
    if groups.is_empty() {
        return;
    }
    page.push_str(
        "<h2>From the loss of a node to <code>recovered</code></h2>\n<p>Milliseconds: median / 99th percentile / largest.</p>\n<table>\n\
         <tr><th>client</th><th>node</th><th>resumes</th><th>total</th><th>detect</th><th>elect</th><th>reconnect</th><th>replay</th></tr>\n",
    );
    for group in groups {
        let whom = if group.of_leader { "leader" } else { "follower" };
        let _ = write!(page, "<tr><td>{}</td><td>{whom}, {}</td><td>{}</td>", group.kind, group.loss, group.count);
        for part in [group.total, group.detect, group.elect, group.reconnect, group.replay] {
            let [p50, p99, max] = part.map(|time| time / MS);
            let _ = write!(page, "<td>{p50} / {p99} / {max}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn marks(page: &mut String, record: &Record) {
    page.push_str("<h2>What was done</h2>\n<table>\n<tr><th>from, s</th><th>to, s</th><th></th></tr>\n");
    for mark in &record.marks {
        let at = |time: u64| time.saturating_sub(record.began) as f64 / crate::clock::SECOND as f64;
        let until = mark.until.map_or_else(|| "end".to_owned(), |until| format!("{:.1}", at(until)));
        let _ = writeln!(page, "<tr><td>{:.1}</td><td>{until}</td><td>{}</td></tr>", at(mark.at), escaped(&mark.what));
    }
    page.push_str("</table>\n");
}

/// Nothing of a run is taken for HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_run_is_taken_for_html() {
        assert_eq!(escaped("<a href=\"x\">&</a>"), "&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;");
    }
}
