//! Each limit, at the bound and beyond it.

use super::*;
use crate::doctor::Verdict;

const MIB: u64 = 1 << 20;

#[test]
fn open_files_hold_every_client_and_the_node_itself() {
    let verdict = |hard, connections| judge_files(1_024, hard, connections).verdict;
    assert_eq!(verdict(10_512, 10_000), Verdict::Ok);
    assert_eq!(verdict(10_511, 10_000), Verdict::Fail);
    assert_eq!(verdict(4_095, 100), Verdict::Warn);
}

#[test]
fn memory_that_is_not_there_is_a_fault_and_too_little_is_doubtful() {
    let judge = |limit, group| judge_memory(limit, group, Some(8_192 * MIB), 256 * MIB, 1_000);
    assert_eq!(judge(Some(2_048 * MIB), Some(1_024 * MIB)).verdict, Verdict::Fail);
    assert_eq!(judge(Some(1_024 * MIB), Some(1_024 * MIB)).verdict, Verdict::Ok);
    assert_eq!(judge(None, Some(512 * MIB)).verdict, Verdict::Warn);
    let unlimited = judge(None, None);
    assert!(unlimited.why.contains("nothing limits it"), "{unlimited}");
    assert_eq!(judge_memory(None, None, None, 0, 0).verdict, Verdict::Warn);
}

#[test]
fn processors_are_as_many_as_the_threads() {
    let verdict = |millicpus, threads| judge_processors(millicpus, threads).verdict;
    assert_eq!(verdict(None, 64), Verdict::Ok);
    assert_eq!(verdict(Some(2_000), 2), Verdict::Ok);
    assert_eq!(verdict(Some(1_500), 2), Verdict::Ok);
    assert_eq!(verdict(Some(2_000), 3), Verdict::Warn);
    assert_eq!(verdict(Some(500), 1), Verdict::Warn);
}

#[test]
fn a_listeners_port_among_those_of_outgoing_connections_is_doubtful_unless_it_is_reserved() {
    let verdict = |reserved: &str, ports: &[u16]| judge_ports(32_768, 60_999, reserved, ports, 1_000).verdict;
    assert_eq!(verdict("", &[5_000, 5_001]), Verdict::Ok);
    assert_eq!(verdict("", &[5_000, 40_000]), Verdict::Warn);
    assert_eq!(verdict("40000", &[40_000]), Verdict::Ok);
    assert_eq!(verdict("8080,39000-41000\n", &[40_000]), Verdict::Ok);
    assert_eq!(verdict("41000-42000", &[40_000]), Verdict::Warn);
    assert_eq!(judge_ports(50_000, 50_999, "", &[], 1_001).verdict, Verdict::Warn);
    assert_eq!(judge_ports(50_000, 50_999, "", &[], 1_000).verdict, Verdict::Ok);
}

#[test]
fn what_is_too_small_names_the_setting_that_makes_it_larger() {
    for (check, name) in [
        (judge_threads(Some((100, "TasksMax"))), "TasksMax"),
        (judge_buffer("net/core/rmem_max", "receive", 212_992), "sysctl -w net.core.rmem_max=4194304"),
        (judge_queue(128), "net.core.somaxconn=4096"),
        (judge_pages("udp", MIB, UDP_BYTES_FEW), "third number"),
        (judge_huge_pages("[always] madvise never"), "madvise"),
        (judge_clock("hpet"), "tsc"),
    ] {
        assert_eq!(check.verdict, Verdict::Warn, "{check}");
        assert!(check.fix.as_ref().is_some_and(|fix| fix.contains(name)), "{check}");
    }
    for check in [
        judge_threads(None),
        judge_threads(Some((THREADS_MIN, "TasksMax"))),
        judge_buffer("net/core/rmem_max", "receive", 4 * MIB),
        judge_queue(4_096),
        judge_pages("tcp", TCP_BYTES_FEW, TCP_BYTES_FEW),
        judge_huge_pages("always [madvise] never"),
        judge_clock("tsc"),
    ] {
        assert_eq!(check.verdict, Verdict::Ok, "{check}");
    }
}

#[test]
fn a_program_that_keeps_the_clock_is_known_by_what_it_leaves() {
    let run = tempfile::tempdir().expect("a directory");
    assert_eq!(judge_time(run.path()).verdict, Verdict::Warn);
    std::fs::create_dir(run.path().join("chrony")).expect("a directory");
    std::fs::write(run.path().join("chrony/chronyd.pid"), "1").expect("a file");
    assert_eq!(judge_time(run.path()).verdict, Verdict::Ok);
}
