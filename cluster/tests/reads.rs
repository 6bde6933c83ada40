//! Linearizable reads and events over whole nodes: what one node was told is committed every other one shows on request;
//! what happened is said once, under one id, also when the owner died.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use support::{CEILING, Node, config, free_addresses, start};
use vedfolnir_cluster::state::{
    Command, Event, EventId, EventKind, KvExpected, KvPut, PidHash, Register, Response, State,
};
use vedfolnir_cluster::{Cluster, EventStream, EventsError, EventsFrom, ReadError};

async fn three(dirs: &[tempfile::TempDir; 3]) -> [Node; 3] {
    let addresses = free_addresses::<3>();
    let starts = std::array::from_fn::<_, 3, _>(|i| {
        let mut config = config(dirs[i].path(), addresses[i], &addresses, Some(3));
        config.node_down_after = Duration::from_secs(1);
        config.limits.recovery_window = Duration::from_secs(1);
        start(config)
    });
    let [a, b, c] = starts;
    let (a, b, c) = tokio::join!(a, b, c);
    let nodes = [a.unwrap(), b.unwrap(), c.unwrap()];
    for node in &nodes {
        node.ready().await;
    }
    nodes
}

fn dirs() -> [tempfile::TempDir; 3] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

/// Takes notices so that the node is never held up by its reader.
fn drain(node: &mut Node) {
    let (_, nothing) = tokio::sync::mpsc::channel(1);
    let mut notices = std::mem::replace(&mut node.notices, nothing);
    tokio::spawn(async move { while notices.recv().await.is_some() {} });
}

async fn propose(cluster: &Cluster, command: Command) -> Response {
    let ticket = cluster.propose(command).expect("accepted");
    tokio::time::timeout(CEILING, ticket).await.expect("committed in time").expect("a response")
}

fn put(key: &str, value: String) -> Command {
    let value = Bytes::from(value);
    Command::KvPut(KvPut { key: key.into(), value, ttl_ms: None, expected: KvExpected::Anything })
}

/// The node that leads, last.
fn leader_last(nodes: [Node; 3]) -> [Node; 3] {
    let leader = nodes[0].cluster.status().leader.expect("a leader");
    let mut nodes = Vec::from(nodes);
    nodes.sort_by_key(|node| format!("{:016x}", node.cluster.identity().node_id) == leader);
    nodes.try_into().ok().expect("three")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linearizable_read_shows_what_any_node_was_told_and_many_share_a_round() {
    let dirs = dirs();
    let mut nodes = leader_last(three(&dirs).await);
    nodes.iter_mut().for_each(drain);
    for round in 0..100 {
        let (writer, reader) = (&nodes[round % 3].cluster, &nodes[(round + 1) % 3].cluster);
        assert!(matches!(propose(writer, put("k", round.to_string())).await, Response::KvStored { .. }));
        reader.read_index(CEILING).await.expect("a quorum");
        let value = reader.read(|state| state.kv_get("k")).expect("written");
        assert_eq!(value.value, round.to_string());
    }
    let follower = &nodes[0].cluster;
    let before = follower.metrics().read_rounds_total.load(Relaxed);
    let reads = (0..2_000).map(|_| follower.read_index(CEILING));
    for result in futures_util::future::join_all(reads).await {
        result.expect("a quorum");
    }
    let rounds = follower.metrics().read_rounds_total.load(Relaxed) - before;
    assert!((1..=200).contains(&rounds), "2000 reads took {rounds} rounds");

    // Without a quorum it says so, in time, and a local read still answers.
    let [survivor, second, leader] = &nodes;
    second.cluster.stop_abruptly();
    leader.cluster.stop_abruptly();
    let within = Duration::from_millis(500);
    assert_eq!(survivor.cluster.read_index(within).await, Err(ReadError::NoQuorum(within)));
    // The leader that was cut off does not answer from its own belief either.
    assert_eq!(leader.cluster.read_index(within).await, Err(ReadError::NoQuorum(within)));
    assert_eq!(survivor.cluster.read(|state| state.kv_get("k")).expect("here").value, "99");
    assert!(survivor.cluster.metrics().reads_unconfirmed_total.load(Relaxed) >= 1);
    for node in &nodes {
        node.cluster.shutdown().await;
        assert_eq!(node.cluster.read_index(within).await, Err(ReadError::ShuttingDown));
    }
}

async fn next(stream: &mut EventStream) -> Arc<Event> {
    tokio::time::timeout(CEILING, stream.next()).await.expect("an event in time").expect("nothing is lost")
}

/// Events up to the expiry of so many sessions.
async fn until_expired(stream: &mut EventStream, mut sessions: usize) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while sessions > 0 {
        let event = next(stream).await;
        sessions -= usize::from(matches!(event.kind, EventKind::Expired { .. }));
        events.push(event);
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_owner_leaves_behind_is_said_once_and_a_consumer_goes_on_elsewhere() {
    const SESSIONS: u8 = 20;
    let dirs = dirs();
    let mut nodes = leader_last(three(&dirs).await);
    nodes.iter_mut().for_each(drain);
    let [one, other, owner] = &nodes;
    let mut here = one.cluster.events(EventsFrom::Oldest);
    let mut elsewhere = other.cluster.events(EventsFrom::Oldest);
    for number in 0..SESSIONS {
        let pid = PidHash([number + 1; 16]);
        let register = Register {
            pid,
            sid: format!("S{number}").into(),
            namespace: "/".into(),
            user: Some("ann".into()),
            data: Bytes::new(),
        };
        propose(&owner.cluster, Command::Register(register)).await;
        propose(&owner.cluster, Command::Join { pid, epoch: 1, room: "r".into() }).await;
    }
    let first = next(&mut here).await;
    assert!(matches!(first.kind, EventKind::RoomOccupied { .. }), "{first:?}");
    // The leader and owner dies: another one says what becomes of its sessions.
    owner.cluster.stop_abruptly();
    let mut events = vec![first];
    events.extend(until_expired(&mut here, usize::from(SESSIONS)).await);
    let last = next(&mut here).await;
    assert!(matches!(last.kind, EventKind::RoomVacated { .. }), "{last:?}");
    events.push(last);
    let count = |is: fn(&EventKind) -> bool| events.iter().filter(|event| is(&event.kind)).count();
    assert_eq!(count(|kind| matches!(kind, EventKind::Disconnected { node_down: true, .. })), usize::from(SESSIONS));
    assert_eq!(count(|kind| matches!(kind, EventKind::Expired { .. })), usize::from(SESSIONS));
    assert_eq!(events.len(), 2 * usize::from(SESSIONS) + 2);
    assert_eq!(events.iter().map(|event| event.id).collect::<BTreeSet<EventId>>().len(), events.len());
    for event in &events {
        assert_eq!(*event, next(&mut elsewhere).await, "the same, with the same id");
    }
    // A consumer that had processed half of them goes on, on another node.
    let half = events.len() / 2;
    let mut resumed = other.cluster.events(EventsFrom::After(events[half - 1].id));
    for event in &events[half..] {
        assert_eq!(*event, next(&mut resumed).await);
    }
    // One with a cursor of another history is told so, and goes on with what is kept.
    let foreign = EventId { history_id: 1, ..events[0].id };
    let mut foreigner = other.cluster.events(EventsFrom::After(foreign));
    assert_eq!(foreigner.next().await.unwrap_err(), EventsError::Lost { after: foreign });
    assert_eq!(next(&mut foreigner).await, events[0]);
    let now = other.cluster.read(State::events_end);
    assert!(now.is_some_and(|now| now > events[events.len() - 1].id));
    let mut waiting = other.cluster.events(EventsFrom::Now);
    other.cluster.shutdown().await;
    let end = tokio::time::timeout(CEILING, waiting.next()).await.expect("ends with the node");
    // Its own farewell may be the last that happens.
    assert!(matches!(end, Err(EventsError::Closed) | Ok(_)));
    one.cluster.shutdown().await;
}
