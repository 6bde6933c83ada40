//! How many clients are on their way at one moment: those whose connection broke and who came back later.

use serde::Serialize;

use super::Finding;
use crate::clock::Nanos;
use crate::record::Record;

/// The moment at which most were on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Moving {
    /// How many.
    pub clients: usize,
    /// Of all that listen, from 0 to 1.
    pub share: f64,
    /// When.
    pub at: Nanos,
}

/// The largest number of clients on their way at once. Who never came back is another promise's affair.
#[must_use]
pub fn moving(record: &Record) -> Moving {
    let mut changes: Vec<(Nanos, isize)> = Vec::new();
    for listener in &record.listeners {
        for broken in &listener.disconnects {
            if let Some(back) = listener.connects.iter().map(|connect| connect.at).find(|at| *at >= broken.at) {
                changes.extend([(broken.at, 1), (back, -1)]);
            }
        }
    }
    // Of those at one moment, first who is back.
    changes.sort_unstable();
    let (mut now, mut most, mut at) = (0, 0, 0);
    for (when, change) in changes {
        now += change;
        if now > most {
            (most, at) = (now, when);
        }
    }
    let clients = most.unsigned_abs();
    Moving { clients, share: clients as f64 / record.listeners.len().max(1) as f64, at }
}

/// Whether never more than a share of them were.
pub(super) fn judge(record: &Record, share_max: f64) -> Finding {
    let mut finding = Finding::new("I8", "clients of a node that stops are moved a few at a time");
    let Moving { clients, share, .. } = moving(record);
    let percent = |share: f64| 100.0 * share;
    finding.checked = format!(
        "at most {clients} of {} clients on their way at once ({:.1} %; bound {:.0} %)",
        record.listeners.len(),
        percent(share),
        percent(share_max)
    );
    if share > share_max {
        finding.broken(|| format!("{:.1} % of the clients were on their way at once", percent(share)));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Connect, Disconnect, ListenerKind, ListenerLog};

    fn listener(breaks: &[(Nanos, Option<Nanos>)]) -> ListenerLog {
        let connect = |at| Connect { began: at, at, node: None, recovered: true, sid: String::new() };
        let backs = breaks.iter().filter_map(|(_, back)| *back);
        ListenerLog {
            name: String::new(),
            kind: ListenerKind::Own,
            connects: std::iter::once(1).chain(backs).map(connect).collect(),
            disconnects: breaks
                .iter()
                .map(|(at, _)| Disconnect { at: *at, node: None, reason: String::new() })
                .collect(),
            receptions: Vec::new(),
        }
    }

    #[test]
    fn those_who_are_away_at_the_same_moment_are_counted_and_the_end_is_not() {
        let listeners = vec![
            listener(&[(10, Some(20)), (40, Some(50)), (90, None)]),
            listener(&[(20, Some(30)), (90, None)]),
            listener(&[(25, Some(28)), (90, None)]),
            listener(&[(90, None)]),
        ];
        let record = Record { listeners, ..Record::default() };
        assert_eq!(moving(&record), Moving { clients: 2, share: 0.5, at: 25 });
        assert_eq!(judge(&record, 0.5).violations, 0);
        assert_eq!(judge(&record, 0.4).violations, 1);
        assert_eq!(moving(&Record::default()), Moving::default());
    }
}
