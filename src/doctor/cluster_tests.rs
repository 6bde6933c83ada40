//! A cluster that is well, and each thing that can be wrong with it.

use super::*;
use crate::doctor::Verdict;

const NOW_MS: u64 = 1_800_000_000_000;

/// Three nodes that agree on everything, as they answer.
fn three() -> Vec<Member> {
    let ids = ["a", "b", "c"];
    let node = |id: &str| NodeView {
        id: id.to_owned(),
        role: if id == "a" { "leader" } else { "voter" }.to_owned(),
        live: true,
        url: format!("http://{id}:5000"),
        admin_url: format!("http://{id}:5002"),
        cluster_addr: format!("{id}:5001"),
        server_id: format!("server-{id}"),
        version: "1.0.0".to_owned(),
        format: Some(2),
        sessions: 0,
        matched_index: None,
        last_contact_ms: (id != "a").then_some(5),
        standing: None,
        vitals: None,
    };
    let status = |id: &str| StatusView {
        cluster_id: "x".to_owned(),
        node_id: id.to_owned(),
        server_id: format!("server-{id}"),
        leader: Some("a".to_owned()),
        format: 2,
        term: 3,
        committed_index: 5_000,
        applied_index: 4_999,
        snapshot_index: 0,
        failure_tolerance: 1,
        ready: true,
        reason: None,
        sessions_connected: 0,
        sessions_disconnected: 0,
        unix_ms: Some(NOW_MS),
        cluster_certificate_expires: Some(1_900_000_000),
        tls: crate::admin::TlsSeen::default(),
        nodes: ids.map(node).to_vec(),
        alerts: Vec::new(),
        backups: None,
    };
    ids.map(|id| Member { node: node(id), seen: Ok(Seen { status: status(id), clock_ms: Some((0, 1)) }) }).into()
}

fn wrong(members: &[Member]) -> Vec<String> {
    let checks = judge(members, NOW_MS).into_iter().filter(|check| check.verdict != Verdict::Ok);
    checks.map(|check| format!("{:?} {}: {}", check.verdict, check.what, check.why)).collect()
}

/// What is wrong after a change of the second node's answer.
fn after(change: impl FnOnce(&mut NodeView, &mut Seen)) -> Vec<String> {
    let mut members = three();
    let Member { node, seen: Ok(seen) } = &mut members[1] else { panic!("it answers") };
    change(node, seen);
    wrong(&members)
}

#[test]
fn a_cluster_that_is_well_has_nothing_wrong() {
    assert_eq!(wrong(&three()), Vec::<String>::new());
}

#[test]
fn each_thing_that_is_wrong_is_named_once() {
    let one = |found: Vec<String>, part: &str| {
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(part), "{found:?}");
    };
    one(after(|_, seen| seen.status.leader = None), "Fail leader: the nodes do not agree: none, a");
    one(after(|_, seen| seen.status.term = 9), "Warn term: the nodes are in different ones: 3, 9");
    one(after(|_, seen| seen.status.cluster_id = "y".to_owned()), "Fail cluster: the nodes are of 2 clusters");
    one(after(|_, seen| seen.status.applied_index = 3_999), "Warn replicas: node b is 1001 entries behind 5000");
    one(after(|node, _| node.last_contact_ms = None), "Fail node b and the leader: the leader has not heard from it");
    one(after(|node, _| node.last_contact_ms = Some(2_001)), "for 2001 ms");
    one(after(|_, seen| seen.status.nodes[0].format = None), "Warn node b and the leader");
    one(after(|_, seen| seen.status.failure_tolerance = 0), "Warn quorum: 3 of 3 voters live, 2 are needed: one more");
    one(after(|node, _| node.version = "1.1.0".to_owned()), "Warn versions: 1.0.0, 1.1.0 side by side");
    one(after(|_, seen| seen.status.nodes[1].format = Some(3)), "Warn format of b: it speaks format 3");
    one(
        after(|node, _| node.server_id = "server-a".to_owned()),
        "Fail names and addresses: two nodes have the server id",
    );
    one(after(|_, seen| seen.clock_ms = Some((-1_005, 1))), "Warn clocks: at most 1005 ms apart");
    one(after(|_, seen| seen.status.ready = false), "Fail node b: not ready");
    one(after(|_, seen| seen.status.node_id = "z".to_owned()), "Warn node b: at http://b:5002 node z answers");
    let soon = 1_800_000_000 + 86_400 * 13;
    one(after(|_, seen| seen.status.cluster_certificate_expires = Some(soon)), "Warn cluster certificate of b");
    one(
        after(|_, seen| seen.status.cluster_certificate_expires = Some(1)),
        "Fail cluster certificate of b: it has expired",
    );
}

#[test]
fn a_dead_voter_is_a_fault_and_so_is_a_lost_majority() {
    let mut members = three();
    members[2].node.live = false;
    members[2].node.last_contact_ms = None;
    members[2].seen = Err("nothing listens".to_owned());
    let found = wrong(&members);
    assert!(found.iter().any(|line| line.starts_with("Fail node c: it is down")), "{found:?}");
    members[1].node.live = false;
    let found = wrong(&members);
    assert!(found.iter().any(|line| line.contains("nothing is acknowledged")), "{found:?}");
}

#[test]
fn one_balancers_address_for_all_is_no_fault() {
    let mut members = three();
    for member in &mut members {
        member.node.url = "https://app.example.com".to_owned();
    }
    assert_eq!(wrong(&members), Vec::<String>::new());
}
