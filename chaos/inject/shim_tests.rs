//! The library in small programs of the system.

use std::process::{Command, Output};
use std::thread;
use std::time::SystemTime;

use super::*;
use crate::inject::has_program;

struct Bench {
    directory: tempfile::TempDir,
    control: Control,
}

/// `None` without a compiler.
fn bench() -> Option<Bench> {
    if !has_program("cc") {
        eprintln!("skipped: no C compiler");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    let shim = Shim::build(directory.path()).unwrap();
    let control = shim.control("node-1", &directory.path().join("data")).unwrap();
    Some(Bench { directory, control })
}

impl Bench {
    fn sh(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(self.directory.path()).env("LC_ALL", "C").envs(self.control.env());
        command
    }

    fn run(&self, script: &str) -> Output {
        self.sh(script).output().unwrap()
    }

    fn seconds(&self) -> i64 {
        let text = String::from_utf8(self.run("date +%s").stdout).unwrap();
        text.trim().parse().unwrap()
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

const SYNCED: &str = "touch data/file && sync --data data/file";

#[test]
fn syncs_fail_below_the_directory_and_nowhere_else() {
    let Some(mut bench) = bench() else { return };
    assert!(bench.run(SYNCED).status.success());
    bench.control.sync(SyncFault::Eio).unwrap();
    let failed = bench.run(SYNCED);
    assert!(!failed.status.success());
    assert!(String::from_utf8_lossy(&failed.stderr).contains("Input/output error"));
    assert_eq!(bench.control.seen().unwrap().syncs_failed, 1);
    assert!(bench.run("touch elsewhere && sync --data elsewhere").status.success());
    bench.control.sync(SyncFault::EioOnce).unwrap();
    assert!(!bench.run(SYNCED).status.success());
    assert!(bench.run(SYNCED).status.success());
    bench.control.heal().unwrap();
    assert!(bench.run(SYNCED).status.success());
}

#[test]
fn a_sync_hangs_until_it_is_let_go() {
    let Some(mut bench) = bench() else { return };
    bench.control.sync(SyncFault::Hang).unwrap();
    let mut child = bench.sh(SYNCED).spawn().unwrap();
    while bench.control.seen().unwrap().syncs_waiting == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended instead");
        thread::yield_now();
    }
    bench.control.sync(SyncFault::Slow(Duration::from_millis(1))).unwrap();
    assert!(child.wait().unwrap().success());
    let seen = bench.control.seen().unwrap();
    assert_eq!((seen.syncs_waiting, seen.syncs_delayed), (0, 1));
}

#[test]
fn a_disk_without_room_takes_no_byte_and_no_file() {
    let Some(mut bench) = bench() else { return };
    assert!(bench.run("echo old > data/old").status.success());
    bench.control.write(WriteFault::Enospc).unwrap();
    for script in ["echo more >> data/old", ": > $PWD/data/new", "truncate -s 5000 data/old"] {
        let failed = bench.run(script);
        assert!(!failed.status.success(), "{script}");
    }
    assert!(bench.run("cat data/old && echo more > elsewhere").status.success());
    assert!(bench.control.seen().unwrap().writes_failed >= 3);
    bench.control.write(WriteFault::None).unwrap();
    assert!(bench.run("echo more >> data/old && : > data/new").status.success());
}

#[test]
fn the_wall_clock_jumps_and_the_monotonic_one_does_not() {
    let Some(mut bench) = bench() else { return };
    for hours in [1, -1] {
        bench.control.wall_clock(hours * 3_600_000).unwrap();
        let off = bench.seconds() - now();
        assert!((off - hours * 3600).abs() <= 2, "{off}");
    }
    bench.control.heal().unwrap();
    assert!((bench.seconds() - now()).abs() <= 2);
}

#[test]
fn clocks_drift_without_a_jump_and_the_monotonic_one_keeps_what_it_gained() {
    let second = 1_000_000_000;
    let fast = Clocks { base_ns: second, real_rate_ppb: 50_000_000, mono_rate_ppb: -50_000_000, ..Clocks::default() };
    let later = fast.at(101 * second);
    assert_eq!((later.real_offset_ns, later.mono_offset_ns), (5 * second, -5 * second));
    assert_eq!(later.at(101 * second), later);
    let Some(mut bench) = bench() else { return };
    bench.control.rates(2.0, 2.0).unwrap();
    thread::sleep(Duration::from_millis(20));
    bench.control.heal().unwrap();
    assert!(bench.control.clocks.mono_offset_ns >= 20_000_000);
    assert_eq!(bench.control.clocks.real_offset_ns, 0);
}
