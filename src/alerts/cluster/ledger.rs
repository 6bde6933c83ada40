//! What is told of the cluster, and what is still to be told: what every node knows of it, and any may go on with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vedfolnir_cluster::state::{LogPosition, State};

use super::super::message::{Event, Message, fingerprint};
use super::watch::{Finding, Subject};

/// Where it is in the replicated store.
pub(super) const KEY: &str = "\0vedfolnir/alerts";
/// Alerts that it holds at most: with their bodies they fit into one entry of the store.
const ALERTS_MAX: usize = 256;

/// See the module: alerts by fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    alerts: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    alert: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// Or over, and that is to be told.
    firing: bool,
    value: f64,
    threshold: f64,
    /// When it began, in milliseconds since 1970; with the fingerprint it names the alert.
    since_ms: u64,
    /// When it was told last that it fires, in committed cluster time.
    told_ms: u64,
    repeated: u32,
    /// Committed, and neither taken by the receiver nor given up yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    idempotency_key: String,
    /// As it is sent, to the byte.
    body: String,
}

/// An alert as status and metrics show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterAlert {
    /// Its name.
    pub alert: String,
    /// The member that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Since when, RFC 3339.
    pub since: String,
    /// Whether the receiver has taken the last message about it, or it was given up.
    pub told: bool,
}

/// The node that speaks for the cluster, and the time.
pub(super) struct Speaker<'a> {
    pub(super) server_id: &'a str,
    pub(super) cluster_id: &'a str,
    /// Milliseconds since 1970.
    pub(super) now_ms: u64,
    /// Committed cluster time, milliseconds.
    pub(super) cluster_time_ms: u64,
    /// An alert that goes on is told again after this long, milliseconds.
    pub(super) repeat_ms: u64,
}

/// Something that has to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) alert: String,
    pub(super) node: Option<String>,
    pub(super) firing: bool,
    pub(super) value: f64,
    pub(super) threshold: f64,
}

impl Ledger {
    /// What the replica holds, and its revision; an entry that cannot be read is none.
    pub(crate) fn read(state: &State) -> (Self, Option<LogPosition>) {
        let Some(entry) = state.kv_get(KEY) else { return (Self::default(), None) };
        (serde_json::from_slice(&entry.value).unwrap_or_default(), Some(entry.revision))
    }

    /// As it is written.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Numbers and texts: nothing that JSON does not take.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What fires.
    pub(crate) fn firing(&self) -> impl Iterator<Item = ClusterAlert> + '_ {
        self.alerts.values().filter(|entry| entry.firing).map(|entry| ClusterAlert {
            alert: entry.alert.clone(),
            node: entry.node.clone(),
            since: crate::observability::rfc3339_ms(entry.since_ms),
            told: entry.pending.is_none(),
        })
    }

    /// What is committed and not settled.
    pub(super) fn pending(&self) -> impl Iterator<Item = Message> + '_ {
        self.alerts.values().filter_map(|entry| {
            let pending = entry.pending.as_ref()?;
            Some(Message {
                alert: entry.alert.clone(),
                status: status(entry.firing),
                body: pending.body.clone().into_bytes(),
                idempotency_key: pending.idempotency_key.clone(),
            })
        })
    }

    /// A message needs no more sending, by its key.
    pub(super) fn settle(&mut self, idempotency_key: &str) {
        self.alerts.retain(|_, entry| {
            if entry.pending.as_ref().is_some_and(|pending| pending.idempotency_key == idempotency_key) {
                entry.pending = None;
            }
            entry.firing || entry.pending.is_some()
        });
    }

    /// Takes in what was found. One message of an alert at a time: what follows waits until that is settled.
    pub(super) fn judge(&mut self, findings: &BTreeMap<Subject, Option<Finding>>, speaker: &Speaker<'_>) -> Vec<Told> {
        let mut told = Vec::new();
        let mut seen = Vec::with_capacity(findings.len());
        for ((condition, node), finding) in findings {
            let fingerprint = fingerprint(&[condition.as_str(), speaker.cluster_id, node.as_deref().unwrap_or("")]);
            seen.push(fingerprint.clone());
            let Some(finding) = finding else { continue };
            let has_room = self.alerts.len() < ALERTS_MAX;
            match self.alerts.get_mut(&fingerprint) {
                None if finding.fires && has_room => {
                    let entry = Entry {
                        alert: condition.as_str().to_owned(),
                        node: node.clone(),
                        firing: true,
                        value: finding.value,
                        threshold: finding.threshold,
                        since_ms: speaker.now_ms,
                        told_ms: speaker.cluster_time_ms,
                        repeated: 0,
                        pending: None,
                    };
                    let entry = self.alerts.entry(fingerprint.clone()).or_insert(entry);
                    told.push(entry.tell(&fingerprint, speaker));
                }
                Some(entry) if entry.firing && entry.pending.is_none() => {
                    let due = speaker.cluster_time_ms.saturating_sub(entry.told_ms) >= speaker.repeat_ms;
                    if finding.fires && !due {
                        continue;
                    }
                    (entry.value, entry.threshold) = (finding.value, finding.threshold);
                    if finding.fires {
                        entry.repeated += 1;
                        entry.told_ms = speaker.cluster_time_ms;
                    } else {
                        entry.firing = false;
                    }
                    told.push(entry.tell(&fingerprint, speaker));
                }
                _ => {}
            }
        }
        // Who is a member no more, and conditions that this release does not know.
        for (fingerprint, entry) in &mut self.alerts {
            if entry.firing && entry.pending.is_none() && !seen.contains(fingerprint) {
                entry.firing = false;
                told.push(entry.tell(fingerprint, speaker));
            }
        }
        told
    }
}

impl Entry {
    fn tell(&mut self, fingerprint: &str, speaker: &Speaker<'_>) -> Told {
        let message = Message::of(&Event {
            alert: &self.alert,
            firing: self.firing,
            value: self.value,
            threshold: self.threshold,
            window_seconds: None,
            server_id: speaker.server_id,
            node: self.node.as_deref(),
            cluster: Some(speaker.cluster_id),
            since_ms: self.since_ms,
            now_ms: speaker.now_ms,
            repeated: self.repeated,
            fingerprint,
        });
        let body = String::from_utf8_lossy(&message.body).into_owned();
        self.pending = Some(Pending { idempotency_key: message.idempotency_key, body });
        Told {
            alert: self.alert.clone(),
            node: self.node.clone(),
            firing: self.firing,
            value: self.value,
            threshold: self.threshold,
        }
    }
}

const fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

#[cfg(test)]
mod tests {
    use super::super::ClusterCondition;
    use super::*;

    fn speaker(server_id: &str, seconds: u64) -> Speaker<'_> {
        Speaker {
            server_id,
            cluster_id: "00c1",
            now_ms: 1_738_060_200_000 + seconds * 1_000,
            cluster_time_ms: seconds * 1_000,
            repeat_ms: 100_000,
        }
    }

    fn found(fires: Option<bool>) -> BTreeMap<Subject, Option<Finding>> {
        let subject = (ClusterCondition::NodeDown, Some("00ff".to_owned()));
        BTreeMap::from([(subject, fires.map(|fires| Finding { fires, value: 31.0, threshold: 30.0 }))])
    }

    fn only(ledger: &Ledger) -> Message {
        let mut pending = ledger.pending();
        let message = pending.next().expect("one is to be sent");
        assert_eq!(pending.next(), None);
        message
    }

    #[test]
    fn another_leader_sends_the_same_bytes_until_they_are_settled() {
        let mut first = Ledger::default();
        assert_eq!(first.judge(&found(Some(false)), &speaker("a", 0)), []);
        assert_eq!(first.judge(&found(Some(true)), &speaker("a", 1)).len(), 1);
        let message = only(&first);
        let body: serde_json::Value = serde_json::from_slice(&message.body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "alert": "node_down", "status": "firing", "value": 31.0, "threshold": 30.0, "server_id": "a",
                "node": "00ff", "cluster": "00c1", "startsAt": "2025-01-28T10:30:01.000Z",
                "fingerprint": body["fingerprint"], "version": "1",
            })
        );
        let mut second: Ledger = serde_json::from_slice(&first.to_bytes()).expect("it reads what it writes");
        assert_eq!(second, first);
        for finding in [Some(true), None, Some(false)] {
            assert_eq!(second.judge(&found(finding), &speaker("b", 500)), [], "one at a time");
        }
        assert_eq!(only(&second), message);
        second.settle("another key");
        assert_eq!(only(&second), message);
        second.settle(&message.idempotency_key);
        assert_eq!(second.pending().count(), 0);
        assert_eq!(second.firing().count(), 1);
    }

    #[test]
    fn an_alert_is_told_again_while_it_lasts_and_once_that_it_is_over() {
        let mut ledger = Ledger::default();
        let mut keys = Vec::new();
        let mut step = |ledger: &mut Ledger, fires, seconds| {
            let told = ledger.judge(&found(fires), &speaker("a", seconds));
            for message in ledger.pending().collect::<Vec<_>>() {
                keys.push(message.idempotency_key.clone());
                ledger.settle(&message.idempotency_key);
            }
            told.into_iter().map(|told| told.firing).collect::<Vec<_>>()
        };
        assert_eq!(step(&mut ledger, Some(true), 1), [true]);
        assert!(step(&mut ledger, Some(true), 100).is_empty());
        assert!(step(&mut ledger, None, 101).is_empty(), "nothing is known: it stays as it was");
        assert_eq!(step(&mut ledger, Some(true), 101), [true]);
        assert_eq!(step(&mut ledger, Some(false), 102), [false]);
        assert_eq!(ledger, Ledger::default(), "what is over and told is forgotten");
        assert_eq!(step(&mut ledger, Some(true), 103), [true]);
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn an_alert_about_a_member_that_is_none_any_more_is_over() {
        let mut ledger = Ledger::default();
        ledger.judge(&found(Some(true)), &speaker("a", 1));
        ledger.settle(&only(&ledger).idempotency_key);
        let told = ledger.judge(&BTreeMap::new(), &speaker("a", 2));
        assert_eq!(
            told.iter().map(|told| (told.firing, told.node.as_deref())).collect::<Vec<_>>(),
            [(false, Some("00ff"))]
        );
    }

    #[test]
    fn a_full_ledger_fits_into_an_entry_of_the_store() {
        let mut ledger = Ledger::default();
        let many = (0..2 * ALERTS_MAX).map(|number| {
            let finding = Finding { fires: true, value: 1.0 / 3.0, threshold: 86_400.0 };
            ((ClusterCondition::ReplicationLag, Some(format!("{number:016x}"))), Some(finding))
        });
        let server_id = "s".repeat(128);
        let told = ledger.judge(&many.collect(), &Speaker { cluster_id: &"c".repeat(32), ..speaker(&server_id, 1) });
        assert_eq!(told.len(), ALERTS_MAX);
        assert!(ledger.to_bytes().len() < vedfolnir_cluster::state::limits::KV_VALUE_BYTES_MAX);
    }
}
