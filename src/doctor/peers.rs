//! Whether this node reaches its peers' cluster ports, and they agree with it on certificates, cluster and time.

use std::io;

use socket2::{Domain, Socket, Type};
use vedfolnir_cluster::doctor::{ExamineError, PeerAnswer, PeerFinding, examine_peers};

use super::Check;
use crate::config::Config;

/// Beyond this, tokens and certificates are judged differently by the nodes.
const CLOCKS_APART_MS_MAX: i64 = 1_000;
/// What a node asks of the kernel (`cluster/network/socket.rs`), and what is little for bursts of a busy cluster.
pub(super) const BUFFER_BYTES_ASKED: usize = 4 << 20;
pub(super) const BUFFER_BYTES_FEW: usize = 1 << 20;

pub(super) async fn examine(config: &Config) -> Vec<Check> {
    let cluster = &config.cluster;
    let own = cluster.advertise.clone().unwrap_or_else(|| cluster.bind.to_string());
    let mut addresses = vec![own.clone()];
    addresses.extend(cluster.bootstrap.iter().filter(|address| **address != own).cloned());
    // Port 0: nobody can know it before the node has started.
    addresses.retain(|address| !address.ends_with(":0"));
    let found = examine_peers(&cluster.tls, &config.node.data_dir, cluster.bind.ip(), &addresses).await;
    let findings = match found {
        Ok(findings) => findings,
        Err(error @ ExamineError::NoCertificate) => {
            return vec![Check::warn("cluster ports", error.to_string(), "start it, and run this again")];
        }
        Err(error) => {
            return vec![Check::fail("cluster ports", error.to_string(), "mend it: `vedfolnir start` would not start")];
        }
    };
    let mut checks: Vec<Check> = Vec::new();
    let mut clusters: Vec<(&str, &str)> = Vec::new();
    for (address, finding) in &findings {
        let what = if *address == own {
            format!("cluster port {address} (UDP, this node)")
        } else {
            format!("cluster port {address} (UDP)")
        };
        checks.push(judge(what, address, finding));
        if let PeerFinding::Answers(answer) = finding {
            clusters.extend(answer.cluster_id.as_deref().map(|id| (address.as_str(), id)));
            checks.extend(clock(address, answer));
        }
    }
    checks.extend(one_cluster(&clusters));
    checks.extend(buffers());
    checks
}

fn judge(what: String, address: &str, finding: &PeerFinding) -> Check {
    match finding {
        PeerFinding::Answers(answer) => {
            let led = match (&answer.cluster_id, &answer.leader) {
                (None, _) => "in no cluster yet".to_owned(),
                (Some(id), None) => format!("cluster {id}, which has no leader at the moment"),
                (Some(id), Some(leader)) => format!("cluster {id}, led by {leader}"),
            };
            let why = format!("node {:016x} answers: {led}", answer.node_id);
            if answer.cluster_id.is_some() && answer.leader.is_some() {
                Check::ok(what, why)
            } else {
                let fix = "as many nodes as --bootstrap-expect says, or a majority of the voters, must run and reach each other";
                Check::warn(what, why, fix)
            }
        }
        PeerFinding::Unresolved(reason) => Check::fail(
            what,
            format!("the name in {address:?} does not resolve ({reason})"),
            "mend it in --bootstrap (WEBSOCKET_CLUSTER_BOOTSTRAP) or --cluster-advertise, or in the DNS",
        ),
        PeerFinding::Closed(resolved) => Check::fail(
            what,
            format!("{resolved} refuses: the machine is there, and nothing listens on that UDP port"),
            "start the node, or give the port of its --cluster-addr",
        ),
        PeerFinding::Silent(resolved) => Check::fail(
            what,
            format!("{resolved} is silent: the packets are dropped on the way, or nothing is at that address"),
            "let UDP to that port through every firewall, in both directions",
        ),
        PeerFinding::Refuses(reason) => {
            Check::fail(what, reason.clone(), "mend what it names, on the node that it is about")
        }
    }
}

fn clock(address: &str, answer: &PeerAnswer) -> Option<Check> {
    let ahead_ms = answer.clock_ahead_ms?;
    let what = format!("clock of {address}");
    let error_ms = i64::try_from(answer.clock_error.as_millis()).unwrap_or(i64::MAX);
    let apart = format!(
        "{} ms {} this machine's (give or take {} ms)",
        ahead_ms.abs(),
        if ahead_ms < 0 { "behind" } else { "ahead of" },
        error_ms + 1
    );
    Some(if ahead_ms.abs() > CLOCKS_APART_MS_MAX.saturating_add(error_ms) {
        let fix = "keep the clocks by NTP: tokens and certificates are judged by them";
        Check::warn(what, apart, fix)
    } else {
        Check::ok(what, apart)
    })
}

/// Each peer speaks to this node, which says of no cluster that it belongs to it; they may not speak to each other.
fn one_cluster(clusters: &[(&str, &str)]) -> Option<Check> {
    let (first, id) = clusters.first()?;
    let (other, other_id) = clusters.iter().find(|(_, other)| other != id)?;
    Some(Check::fail(
        "cluster",
        format!("{first} is of cluster {id}, {other} of cluster {other_id}"),
        "list the nodes of one cluster in --bootstrap (WEBSOCKET_CLUSTER_BOOTSTRAP); a node that formed one of its own by \
         mistake starts again with an empty data directory",
    ))
}

fn buffers() -> Option<Check> {
    let granted = || -> io::Result<usize> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.set_recv_buffer_size(BUFFER_BYTES_ASKED)?;
        // Linux counts its own bookkeeping: twice what can be used (socket(7), SO_RCVBUF).
        Ok(socket.recv_buffer_size()? / if cfg!(target_os = "linux") { 2 } else { 1 })
    };
    let granted = granted().ok()?;
    let what = "UDP receive buffer";
    let why = format!("the kernel grants {} of {} KiB", granted >> 10, BUFFER_BYTES_ASKED >> 10);
    Some(if granted < BUFFER_BYTES_FEW {
        Check::warn(
            what,
            why,
            format!("sysctl -w net.core.rmem_max={BUFFER_BYTES_ASKED}, so that bursts between nodes are not lost"),
        )
    } else {
        Check::ok(what, why)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::doctor::Verdict;

    fn answer(ahead_ms: i64, error_ms: u64) -> PeerAnswer {
        PeerAnswer {
            node_id: 1,
            cluster_id: Some("c".to_owned()),
            leader: Some("a:1".to_owned()),
            clock_ahead_ms: Some(ahead_ms),
            clock_error: Duration::from_millis(error_ms),
        }
    }

    #[test]
    fn clocks_that_are_further_apart_than_the_question_took_are_warned_of() {
        let verdict = |ahead, error| clock("a:1", &answer(ahead, error)).map(|check| check.verdict);
        assert_eq!(verdict(1_000, 0), Some(Verdict::Ok));
        assert_eq!(verdict(-1_001, 0), Some(Verdict::Warn));
        assert_eq!(verdict(1_400, 500), Some(Verdict::Ok));
        assert_eq!(verdict(i64::MAX, 500), Some(Verdict::Warn));
        let silent = PeerAnswer { clock_ahead_ms: None, ..answer(0, 0) };
        assert_eq!(clock("a:1", &silent), None, "a release that does not say");
    }

    #[test]
    fn peers_of_two_clusters_are_a_fault_and_those_of_one_are_none() {
        assert_eq!(one_cluster(&[]), None);
        assert_eq!(one_cluster(&[("a:1", "x"), ("b:1", "x")]), None);
        let check = one_cluster(&[("a:1", "x"), ("b:1", "x"), ("c:1", "y")]).map(|check| (check.verdict, check.why));
        assert_eq!(check, Some((Verdict::Fail, "a:1 is of cluster x, c:1 of cluster y".to_owned())));
    }

    #[test]
    fn a_line_says_what_why_and_the_fix() {
        let closed = judge("cluster port a:1 (UDP)".to_owned(), "a:1", &PeerFinding::Closed(([10, 0, 0, 1], 1).into()));
        assert_eq!(
            closed.to_string(),
            "FAIL  cluster port a:1 (UDP): 10.0.0.1:1 refuses: the machine is there, and nothing listens on that UDP port; \
             start the node, or give the port of its --cluster-addr"
        );
    }
}
