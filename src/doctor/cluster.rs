//! Whether a running cluster is well: each member is asked at its operators' door, and their answers are held against each
//! other.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::Check;
use crate::admin::{self, Members, NodeView, StatusView, Target};
use crate::observability::unix_ms;
use crate::security::secret::Secret;
use crate::tls::doctor::EXPIRY_WARNING_SECONDS;

/// The node that is asked first may have to ask its leader.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A member at its own door.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(2);
/// Entries that a replica may be behind while the others go on.
const BEHIND_MAX: u64 = 1_000;
/// A leader hears from each member many times in this time.
const CONTACT_MS_MAX: u64 = 2_000;
/// Beyond this, tokens and certificates are judged differently by the nodes.
const CLOCKS_APART_MS_MAX: i64 = 1_000;

/// What a member said of itself.
#[derive(Clone, Debug)]
struct Seen {
    status: StatusView,
    /// By its clock minus by this machine's, and what that may be wrong by, in milliseconds.
    clock_ms: Option<(i64, i64)>,
}

/// A member, and what it said or why it did not.
struct Member {
    node: NodeView,
    seen: Result<Seen, String>,
}

/// Asks the first node that answers who the members are, and each of them how it sees the cluster.
///
/// # Errors
/// When none of the nodes answers.
pub async fn cluster(targets: &[Target], token: Option<&Secret>) -> Result<Vec<Check>, String> {
    let mut last = "there is no node to ask".to_owned();
    for target in targets {
        let seen = match ask(target, token, TIMEOUT).await {
            Ok(seen) => seen,
            Err(error) => {
                last = error;
                continue;
            }
        };
        // With what only the leader knows: how recently it has heard from whom.
        let members: Vec<NodeView> = match get::<Members<NodeView>>(target, token, "/members", TIMEOUT).await {
            Ok(members) => members.members,
            Err(_) => seen.status.nodes.clone(),
        };
        let asked = members.into_iter().map(|node| async {
            if node.id == seen.status.node_id {
                return Member { node, seen: Ok(seen.clone()) };
            }
            let answer = match node.admin_url.parse::<Target>() {
                Ok(target) => ask(&target, token, MEMBER_TIMEOUT).await,
                Err(_) => Err(format!("its operators' address {:?} is none", node.admin_url)),
            };
            Member { node, seen: answer }
        });
        let members: Vec<Member> = futures_util::future::join_all(asked).await;
        return Ok(judge(&members, unix_ms(SystemTime::now())));
    }
    Err(last)
}

async fn get<T: for<'de> Deserialize<'de>>(
    target: &Target,
    token: Option<&Secret>,
    path: &str,
    timeout: Duration,
) -> Result<T, String> {
    let (status, body) = admin::get(target, token, path, timeout).await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("{target} answers {status}"));
    }
    serde_json::from_slice(&body).map_err(|error| format!("{target} is not understood: {error}"))
}

async fn ask(target: &Target, token: Option<&Secret>, timeout: Duration) -> Result<Seen, String> {
    let before = unix_ms(SystemTime::now());
    let status: StatusView = get(target, token, "/status", timeout).await?;
    let after = unix_ms(SystemTime::now());
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let half = signed(after.saturating_sub(before)) / 2;
    let clock_ms = status.unix_ms.map(|theirs| (signed(theirs).saturating_sub(signed(before) + half), half + 1));
    Ok(Seen { status, clock_ms })
}

fn judge(members: &[Member], now_unix_ms: u64) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(members.iter().map(who_answers));
    let seen: Vec<(&NodeView, &Seen)> =
        members.iter().filter_map(|member| Some((&member.node, member.seen.as_ref().ok()?))).collect();
    // A node of another cluster may have the same loopback address on another host: it says nothing about this one.
    let seen: Vec<(&NodeView, &Seen)> =
        seen.into_iter().filter(|(node, seen)| seen.status.node_id == node.id).collect();
    checks.push(one_leader(&seen));
    checks.push(one_term(&seen));
    checks.push(behind(&seen));
    checks.extend(contacts(members, &seen));
    checks.push(margin(members, &seen));
    checks.push(versions(members));
    checks.extend(seen.iter().filter_map(|(node, seen)| format(node, &seen.status)));
    checks.push(names(members));
    checks.extend(clocks(&seen));
    checks.extend(seen.iter().flat_map(|(node, seen)| certificates(node, &seen.status, now_unix_ms)));
    checks
}

fn who_answers(member: &Member) -> Check {
    let Member { node, seen } = member;
    let what = format!("node {}", node.id);
    match seen {
        Ok(seen) if seen.status.node_id != node.id => {
            let why = format!("at {} node {} answers", node.admin_url, seen.status.node_id);
            let fix =
                "give each node an --admin-addr of its own that is reached from here, or run this beside each node";
            Check::warn(what, why, fix)
        }
        Ok(Seen { status, .. }) if status.ready => Check::ok(what, "ready"),
        Ok(Seen { status, .. }) => {
            let reason = status.reason.as_deref().unwrap_or("it does not say why");
            Check::fail(what, format!("not ready: {reason}"), "see its log, and `vedfolnir doctor net` beside it")
        }
        Err(error) if !node.live => {
            let why = format!("it is down for the cluster, and does not answer: {error}");
            Check::fail(what, why, "start it again, or `vedfolnir remove` it for good")
        }
        Err(error) => {
            let why = format!("what it sees is not known here: {error}");
            Check::warn(
                what,
                why,
                "run this beside it, or let its operators' listener (with tokens) be reached from here",
            )
        }
    }
}

fn one_leader(seen: &[(&NodeView, &Seen)]) -> Check {
    let what = "leader";
    let leaders: BTreeSet<Option<&str>> = seen.iter().map(|(_, seen)| seen.status.leader.as_deref()).collect();
    match leaders.into_iter().collect::<Vec<_>>().as_slice() {
        [Some(leader)] => Check::ok(what, format!("{leader}, by all {} that answer", seen.len())),
        [None] | [] => {
            let fix = "a majority of the voters must run and reach each other: `vedfolnir doctor net` beside each";
            Check::fail(what, "none is known", fix)
        }
        several => {
            let names: Vec<&str> = several.iter().map(|leader| leader.unwrap_or("none")).collect();
            let why = format!("the nodes do not agree: {}", names.join(", "));
            Check::fail(what, why, "ask again in a second; if it stays, some do not reach the others")
        }
    }
}

fn one_term(seen: &[(&NodeView, &Seen)]) -> Check {
    let what = "term";
    let terms: BTreeSet<u64> = seen.iter().map(|(_, seen)| seen.status.term).collect();
    let clusters: BTreeSet<&str> = seen.iter().map(|(_, seen)| seen.status.cluster_id.as_str()).collect();
    let listed = terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if clusters.len() > 1 {
        let why = format!("the nodes are of {} clusters", clusters.len());
        Check::fail("cluster", why, "a node that formed one of its own starts again with an empty data directory")
    } else if terms.len() > 1 {
        let fix = "ask again in a second; a term that grows on one node only means that it cannot reach the others";
        Check::warn(what, format!("the nodes are in different ones: {listed}"), fix)
    } else {
        Check::ok(what, listed)
    }
}

fn behind(seen: &[(&NodeView, &Seen)]) -> Check {
    let what = "replicas";
    let first = seen.iter().map(|(_, seen)| seen.status.committed_index).max().unwrap_or(0);
    let last = seen.iter().min_by_key(|(_, seen)| seen.status.applied_index);
    match last {
        Some((node, seen)) if first.saturating_sub(seen.status.applied_index) > BEHIND_MAX => {
            let lag = first - seen.status.applied_index;
            let why = format!("node {} is {lag} entries behind {first}", node.id);
            Check::warn(
                what,
                why,
                "it catches up, or its disk or processors are too slow: `vedfolnir doctor disk` there",
            )
        }
        Some((_, seen)) => {
            Check::ok(what, format!("committed {first}, the last has applied {}", seen.status.applied_index))
        }
        None => Check::fail(what, "none answers", "start the nodes"),
    }
}

/// Whether the leader hears from each, and each knows the leader it is connected to.
fn contacts(members: &[Member], seen: &[(&NodeView, &Seen)]) -> Vec<Check> {
    let leader = seen.iter().find_map(|(_, seen)| seen.status.leader.as_deref());
    let Some(leader) = leader else { return Vec::new() };
    let others = members.iter().filter(|member| member.node.id != leader);
    others
        .map(|Member { node, .. }| {
            let what = format!("node {} and the leader", node.id);
            let own = seen.iter().find(|(of, _)| of.id == node.id);
            let connected =
                own.map(|(_, seen)| seen.status.nodes.iter().any(|other| other.id == leader && other.format.is_some()));
            let net =
                "let UDP to both cluster ports through every firewall, in both directions: `vedfolnir doctor net`";
            match (node.last_contact_ms, connected) {
                (None, _) => Check::fail(what, "the leader has not heard from it", net),
                (Some(ms), _) if ms > CONTACT_MS_MAX => {
                    Check::fail(what, format!("the leader has not heard from it for {ms} ms"), net)
                }
                (Some(_), Some(false)) => {
                    Check::warn(what, "the leader reaches it, and it has no connection of its own to the leader", net)
                }
                (Some(ms), _) => Check::ok(what, format!("heard from {ms} ms ago")),
            }
        })
        .collect()
}

fn margin(members: &[Member], seen: &[(&NodeView, &Seen)]) -> Check {
    let what = "quorum";
    let voters: Vec<&NodeView> =
        members.iter().map(|member| &member.node).filter(|node| node.role != "learner").collect();
    let live = voters.iter().filter(|node| node.live).count();
    let needed = voters.len() / 2 + 1;
    let tolerance = seen.iter().map(|(_, seen)| seen.status.failure_tolerance).min().unwrap_or(0);
    let why = format!("{live} of {} voters live, {needed} are needed", voters.len());
    match tolerance {
        _ if live < needed => {
            Check::fail(what, format!("{why}: nothing is acknowledged"), "start the voters that are down")
        }
        0 if voters.len() < 3 => Check::warn(
            what,
            format!("{why}: one death stops it"),
            "three voters survive the death of one: start more nodes",
        ),
        0 => Check::warn(
            what,
            format!("{why}: one more death stops it"),
            "start the voters that are down, or replace them",
        ),
        tolerance => Check::ok(what, format!("{why}: {tolerance} more may die")),
    }
}

fn versions(members: &[Member]) -> Check {
    let what = "versions";
    let versions: BTreeSet<&str> =
        members.iter().map(|member| member.node.version.as_str()).filter(|version| !version.is_empty()).collect();
    let listed = versions.iter().copied().collect::<Vec<_>>().join(", ");
    if versions.len() > 1 {
        Check::warn(
            what,
            format!("{listed} side by side"),
            "finish the upgrade: neighbouring releases go together, no others",
        )
    } else {
        Check::ok(what, listed)
    }
}

fn format(node: &NodeView, status: &StatusView) -> Option<Check> {
    let own = status.nodes.iter().find(|member| member.id == node.id)?.format?;
    (own != status.format).then(|| {
        let why = format!("it speaks format {own}, the cluster writes {}", status.format);
        let fix = "it rises by itself once all members are there and speak more (--format-version keeps it down)";
        Check::warn(format!("format of {}", node.id), why, fix)
    })
}

fn names(members: &[Member]) -> Check {
    let what = "names and addresses";
    type Of = fn(&NodeView) -> &str;
    let kinds: [(&str, Of); 4] = [
        ("server id", |node| &node.server_id),
        ("public URL", |node| &node.url),
        ("operators' address", |node| &node.admin_url),
        ("cluster address", |node| &node.cluster_addr),
    ];
    let twice: Vec<String> = kinds
        .into_iter()
        .filter_map(|(kind, of)| {
            let mut known = BTreeSet::new();
            let mut values = members.iter().map(|member| of(&member.node)).filter(|value| !value.is_empty());
            values.find(|value| !known.insert(*value)).map(|value| format!("{kind} {value}"))
        })
        .collect();
    // One URL of all nodes is a balancer's, and one loopback address of each may be each host's own.
    let serious = twice.iter().any(|text| text.starts_with("server id") || text.starts_with("cluster"));
    match (twice.is_empty(), serious) {
        (true, _) => Check::ok(what, "each node has its own"),
        (false, true) => {
            Check::fail(what, format!("two nodes have the {}", twice.join(" and the ")), "give each its own")
        }
        (false, false) => Check::ok(what, format!("each node has its own, but for the {}", twice.join(" and the "))),
    }
}

fn clocks(seen: &[(&NodeView, &Seen)]) -> Option<Check> {
    let clocks: Vec<(&str, i64, i64)> =
        seen.iter().filter_map(|(node, seen)| seen.clock_ms.map(|(ms, error)| (node.id.as_str(), ms, error))).collect();
    let (first, last) = (clocks.iter().min_by_key(|clock| clock.1)?, clocks.iter().max_by_key(|clock| clock.1)?);
    let apart = last.1.saturating_sub(first.1);
    let error = last.2.saturating_add(first.2);
    let why = format!("at most {apart} ms apart (give or take {error} ms)");
    Some(if apart > CLOCKS_APART_MS_MAX.saturating_add(error) {
        let why = format!("{why}: {} is behind {}", first.0, last.0);
        Check::warn("clocks", why, "keep them by NTP: tokens and certificates are judged by them")
    } else {
        Check::ok("clocks", why)
    })
}

fn certificates(node: &NodeView, status: &StatusView, now_unix_ms: u64) -> Vec<Check> {
    let now = i64::try_from(now_unix_ms / 1_000).unwrap_or(i64::MAX);
    let public = status.tls.certificates.iter().map(|certificate| certificate.expires).min();
    let kinds = [("public certificate", public), ("cluster certificate", status.cluster_certificate_expires)];
    kinds
        .into_iter()
        .filter_map(|(kind, expires)| {
            let (what, left) = (format!("{kind} of {}", node.id), expires?.saturating_sub(now));
            let days = left / 86_400;
            Some(match left {
                i64::MIN..=0 => Check::fail(what, "it has expired", "renew it"),
                1..EXPIRY_WARNING_SECONDS => Check::warn(what, format!("it expires in {days} days"), "renew it"),
                _ => Check::ok(what, format!("it expires in {days} days")),
            })
        })
        .collect()
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
