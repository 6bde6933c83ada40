//! A full disk: the write that finds it full is refused, so is every later one, and what was acknowledged is there.

use std::path::Path;
use std::process::Command;

use openraft::storage::{RaftLogReader, RaftLogStorage};

use super::{Config, Vote, begin_append, entry};
use crate::{Storage, StorageOptions};

const DIRECTORY: &str = "VEDFOLNIR_TEST_FULL_DISK";
const MEGABYTES: u32 = 24;

/// Runs [`inside`] with a directory of its own that holds little, in a mount namespace of its own.
#[test]
fn what_was_acknowledged_survives_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let in_namespace = |script: &str| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-ec", script])
            .env(DIRECTORY, dir.path())
            .env("TEST_BINARY", std::env::current_exe().expect("a test binary"))
            .output()
    };
    let mount = format!("mount -t tmpfs -o size={MEGABYTES}m none \"${DIRECTORY}\"");
    match in_namespace(&mount) {
        Ok(output) if output.status.success() => {}
        outcome => {
            eprintln!("SKIPPED: this system lets no test mount a small file system: {outcome:?}");
            return;
        }
    }
    let run = format!("{mount}; exec \"$TEST_BINARY\" --exact tests::disk_full::inside --ignored --nocapture");
    let output = in_namespace(&run).expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "started by what_was_acknowledged_survives_a_full_disk in a small file system"]
fn inside() {
    let dir = std::env::var_os(DIRECTORY).expect("started by the test above");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(fill(Path::new(&dir)));
}

async fn fill(dir: &Path) {
    let ballast = dir.join("ballast");
    // What is freed at the end, so that the directory can be opened again.
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
    let data = dir.join("data");
    let mut acknowledged = 0;
    {
        let storage = Storage::open(&data, StorageOptions::default()).unwrap();
        let mut store = storage.log_store::<Config>();
        // Nothing that compresses well.
        let text: String =
            (0..200_000u32).map(|at| char::from(b'!' + (at.wrapping_mul(2_654_435_761) >> 26) as u8)).collect();
        let error = loop {
            match begin_append(&mut store, vec![entry(1, acknowledged, &text)]).await.await.expect("called back") {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
            assert!(acknowledged < 1_000, "the disk is never full");
        };
        assert_eq!(storage.failed().await, error.to_string());
        store.save_vote(&Vote::new(9, 9)).await.expect_err("no later write succeeds");
        storage.put_meta("key", b"value").expect_err("no later write succeeds");
    }
    assert!(acknowledged > 0);
    std::fs::remove_file(&ballast).unwrap();
    let storage = Storage::open(&data, StorageOptions::default()).unwrap();
    let mut store = storage.log_store::<Config>();
    let mut reader = store.get_log_reader().await;
    let found = reader.try_get_log_entries(0..acknowledged).await.unwrap();
    assert_eq!(found.len() as u64, acknowledged);
    assert_eq!(reader.read_vote().await.unwrap(), None, "what was refused did not happen behind the caller's back");
}
