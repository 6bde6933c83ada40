//! Data directories of earlier releases: a node of this one starts on them and finds everything again.
//!
//! A fixture is recorded once, by the release that first writes a format, and never changed:
//! `cargo test -p vedfolnir-cluster --test fixtures record_data_dir -- --ignored` writes
//! `fixtures/format-N/data-dir/` for the newest format.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use support::{CEILING, Node, config, free_addresses, start};
use vedfolnir_cluster::StartKind;
use vedfolnir_cluster::state::{Command, Format, KvExpected, KvPut, PidHash, Register, Response, State};

/// Log entries between snapshots: a few before the last snapshot, a few behind it.
const SNAPSHOT_EVERY: u64 = 20;
const PUBLISHED: usize = 27;

/// Tests run in their package's directory.
fn directory(format: u8) -> PathBuf {
    PathBuf::from(format!("fixtures/format-{format}/data-dir"))
}

/// Without what RocksDB writes for people, and its lock.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let name = item.file_name();
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &to.join(name));
        } else if !["LOCK", "LOG", "OPTIONS"].iter().any(|own| name.to_str().unwrap().starts_with(own)) {
            std::fs::copy(item.path(), to.join(name)).unwrap();
        }
    }
}

async fn start_at(dir: &Path) -> Node {
    let [address] = free_addresses();
    let mut config = config(dir, address, &[], None);
    config.snapshot_every_entries = SNAPSHOT_EVERY;
    let node = start(config).await.unwrap();
    node.ready().await;
    node
}

async fn propose(node: &Node, command: Command) -> Response {
    let ticket = node.cluster.propose(command).unwrap();
    tokio::time::timeout(CEILING, ticket).await.expect("committed in time").unwrap()
}

fn register() -> Register {
    Register {
        pid: PidHash([1; 16]),
        sid: "sid".into(),
        namespace: "/".into(),
        user: Some("ada".into()),
        data: Bytes::from_static(b"data"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_data_directories_are_found_again() {
    for format in [1, 2, 3, 4] {
        let dir = tempfile::tempdir().unwrap();
        copy(&directory(format), dir.path());
        let node = start_at(dir.path()).await;
        assert_eq!(node.cluster.identity().start, StartKind::Restarted);
        let recorded = std::fs::read_to_string(directory(format).with_file_name("identity.txt")).unwrap();
        let identity = node.cluster.identity();
        assert_eq!(format!("{} {:016x}\n", identity.cluster_id, identity.node_id), recorded);
        node.cluster.read(|state| {
            assert_eq!(state.history_size().0, PUBLISHED, "some come from the snapshot, some from the log");
            assert_eq!(state.kv_get("key").expect("the entry").value, b"value"[..]);
            let session = state.session(&PidHash([1; 16])).expect("the session");
            assert_eq!((&*session.sid, session.user.as_deref(), &session.data[..]), ("sid", Some("ada"), &b"data"[..]));
        });
        // And it goes on from there, in the format of this release.
        newest(&node).await;
        assert!(matches!(node.publish("more").await, Response::Published { .. }));
        node.cluster.shutdown().await;
    }
}

async fn newest(node: &Node) {
    let raised = async {
        while node.cluster.read(State::format) < Format::NEWEST {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CEILING, raised).await.expect("the format rises");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "records anew what must stay as it was recorded"]
async fn record_data_dir() {
    let dir = tempfile::tempdir().unwrap();
    let node = start_at(dir.path()).await;
    newest(&node).await;
    propose(&node, Command::Register(register())).await;
    let put =
        KvPut { key: "key".into(), value: Bytes::from_static(b"value"), ttl_ms: None, expected: KvExpected::Absent };
    propose(&node, Command::KvPut(put)).await;
    for number in 0..PUBLISHED {
        node.publish(&number.to_string()).await;
    }
    let snapshot = async {
        while node.cluster.status().snapshot_index == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CEILING, snapshot).await.expect("a snapshot");
    let identity = node.cluster.identity();
    node.cluster.shutdown().await;
    drop(node);
    copy(dir.path(), &directory(Format::NEWEST.number()));
    let line = format!("{} {:016x}\n", identity.cluster_id, identity.node_id);
    std::fs::write(directory(Format::NEWEST.number()).with_file_name("identity.txt"), line).unwrap();
}
