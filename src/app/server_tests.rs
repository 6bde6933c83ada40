//! The store, presence and events as an application reaches them, on a real node.

use std::sync::Arc;
use std::time::Duration;

use vedfolnir_cluster::question::{Answer, Question};
use vedfolnir_cluster::state::{Command, KvExpected, KvPut, Payload, PidHash, Register, Response, limits};
use vedfolnir_cluster::{Cluster, ClusterConfig};

use super::{
    App, EmitError, EventKind, EventsError, EventsFrom, ReadError, Reply, ServerHandle, ServerSide, StoreError,
};
use crate::security::guard::Guard;
use crate::service::questions::{self, ASKING_MAX, HANDLED_MAX};
use crate::service::{Service, ServiceConfig};

/// Nothing here takes longer unless it is broken.
const CEILING: Duration = Duration::from_secs(30);

struct Node {
    cluster: Cluster,
    app: App,
    _service: Service,
    _dir: tempfile::TempDir,
}

async fn node() -> (Node, ServerHandle) {
    node_of(App::builder().namespace("/once", |namespace| namespace).build()).await
}

async fn node_of(app: App) -> (Node, ServerHandle) {
    let dir = tempfile::tempdir().unwrap();
    let (cluster, notices) =
        Cluster::start(ClusterConfig::on_loopback(dir.path(), "127.0.0.1:0".parse().unwrap())).await.unwrap();
    assert!(app.server().is_none(), "nothing runs it yet");
    let service =
        Service::start(ServiceConfig::default(), Arc::new(Guard::open()), app.clone(), cluster.clone(), notices);
    let mut readiness = cluster.readiness();
    tokio::time::timeout(CEILING, readiness.wait_for(|readiness| readiness.ready)).await.unwrap().unwrap();
    let server = app.server().expect("it runs");
    (Node { cluster, app, _service: service, _dir: dir }, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_entries_are_none_of_an_applications() {
    let (node, server) = node().await;
    let store = server.store();
    let put = |key: &str| KvPut {
        key: key.into(),
        value: b"own".to_vec().into(),
        ttl_ms: None,
        expected: KvExpected::Anything,
    };
    for key in ["\0", "\0vedfolnir/alerts", "\0\u{10ffff}"] {
        let stored = node.cluster.propose(Command::KvPut(put(key))).unwrap().await.unwrap();
        assert!(matches!(stored, Response::KvStored { .. }), "{stored:?}");
        assert_eq!(store.get(key).await.unwrap(), None);
        assert_eq!(store.put(key, "x", None).await, Err(StoreError::ReservedKey));
        assert_eq!(store.cas(key, "x", None, None).await, Err(StoreError::ReservedKey));
        assert_eq!(store.delete(key).await, Err(StoreError::ReservedKey));
        assert!(store.list(key, None, 10).await.unwrap().entries.is_empty());
    }
    for key in ["\u{1}", "a"] {
        store.put(key, "theirs", None).await.unwrap();
    }
    for after in [None, Some("\0".into()), Some("\0vedfolnir/alerts".into()), Some("\0\u{10ffff}".into())] {
        let page = store.list("", after, 10).await.unwrap();
        let keys: Vec<&str> = page.entries.iter().map(|entry| &*entry.key).collect();
        assert_eq!((keys.as_slice(), page.next), (["\u{1}", "a"].as_slice(), None));
    }
    let rest = store.list("", Some("\u{1}".into()), 10).await.unwrap();
    assert_eq!(rest.entries.len(), 1, "a page goes on after its key");
    assert_eq!(node.cluster.read(|state| state.kv_list("\0", None, 10).entries.len()), 3, "the server finds its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emit_under_a_key_is_made_once_and_told_apart_by_all_that_it_says() {
    let (node, server) = node().await;
    let to = |room: &'static str| server.of("/once").expect("a namespace").to(room);
    // The format rises once the node speaks for all.
    let first = tokio::time::timeout(CEILING, async {
        loop {
            match to("a").once("key").emit("m", &[1]).await {
                Err(EmitError::OldFormat) => tokio::time::sleep(Duration::from_millis(10)).await,
                made => break made.unwrap(),
            }
        }
    })
    .await
    .unwrap();
    assert!(!first.is_repetition);
    let again = to("a").once("key").emit("m", &[1]).await.unwrap();
    assert_eq!((again.committed, again.is_repetition), (first.committed, true));
    assert!(again.committed.offset().is_some());
    for other in [
        to("b").once("key").emit("m", &[1]),
        to("a").except("b").once("key").emit("m", &[1]),
        to("a").once("key").emit("n", &[1]),
        to("a").once("key").emit("m", &[2]),
    ] {
        assert_eq!(other.await, Err(EmitError::KeyReused));
    }
    let bad = to("a").once("a key").emit("m", &[1]).await.unwrap_err();
    assert_eq!(bad.to_string(), "an idempotency key has 1 to 255 visible ASCII characters");
    assert_eq!(node.cluster.read(|state| state.history_size().0), 1);
    assert_ne!(to("a").once("key2").emit("m", &[1]).await.unwrap().committed, first.committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_compares_lists_and_forgets() {
    let (node, server) = node().await;
    let store = server.store();
    assert_eq!(store.get("vedfolnir:session:1").await.unwrap(), None);
    let first = store.put("vedfolnir:session:1", "one", None).await.unwrap();
    let entry = store.get("vedfolnir:session:1").await.unwrap().expect("it is there");
    assert_eq!((entry.value.as_ref(), entry.revision, entry.expires_in_ms), (&b"one"[..], first, None));
    let second = store.cas("vedfolnir:session:1", "two", Some(Duration::from_secs(60)), Some(first)).await.unwrap();
    assert!(second > first);
    let late = store.cas("vedfolnir:session:1", "three", None, Some(first)).await;
    assert_eq!(late, Err(StoreError::Conflict { current: Some(second) }));
    let taken = store.cas("vedfolnir:session:1", "three", None, None).await;
    assert_eq!(taken, Err(StoreError::Conflict { current: Some(second) }));
    store.cas("vedfolnir:session:2", "new", None, None).await.unwrap();
    let page = store.list("vedfolnir:session:", None, 1).linearizable().await.unwrap();
    assert_eq!((page.entries.len(), page.next.as_deref()), (1, Some("vedfolnir:session:1")));
    let rest = store.list("vedfolnir:session:", page.next, 10).await.unwrap();
    assert_eq!((rest.entries.len(), rest.next), (1, None));
    assert_eq!(
        store.delete_at("vedfolnir:session:1", first).await,
        Err(StoreError::Conflict { current: Some(second) })
    );
    assert_eq!(store.delete_at("vedfolnir:session:1", second).await, Ok(true));
    assert_eq!(store.delete("vedfolnir:session:1").await, Ok(false));

    assert_eq!(store.put("", "x", None).await, Err(StoreError::BadKey { bytes: 0 }));
    let large = vec![0; limits::KV_VALUE_BYTES_MAX + 1];
    assert_eq!(store.put("k", large.clone(), None).await, Err(StoreError::ValueTooLarge { bytes: large.len() }));
    assert_eq!(StoreError::Full.code(), "limit_exceeded");

    // An end in cluster time: it comes with a tick.
    store.put("short", "x", Some(Duration::from_millis(1))).await.unwrap();
    tokio::time::timeout(CEILING, async {
        while store.get("short").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it ends");
    node.cluster.shutdown().await;
    assert_eq!(store.put("k", "x", None).await, Err(StoreError::ShuttingDown));
    assert_eq!(store.get("k").linearizable().await, Err(ReadError::ShuttingDown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_counts_pages_and_refuses_what_would_cost_a_scan() {
    let (node, server) = node().await;
    for number in 1..=5_u8 {
        let pid = PidHash([number; 16]);
        let register = Register {
            pid,
            sid: format!("S{number}").into(),
            namespace: "/".into(),
            user: Some(if number < 4 { "ann" } else { "bob" }.into()),
            data: bytes::Bytes::new(),
        };
        node.cluster.propose(Command::Register(register)).unwrap().await.unwrap();
        let join = Command::Join { pid, epoch: 1, room: "r".into() };
        assert_eq!(node.cluster.propose(join).unwrap().await, Ok(Response::Done));
    }
    let room = || server.presence("/").to("r");
    let count = room().count().linearizable().await.unwrap();
    assert_eq!((count.sessions, count.users), (5, 2));
    let first = room().fetch_sockets().limit(3).await.unwrap();
    let rest = room().fetch_sockets().after(first.next.expect("there are more")).await.unwrap();
    let sids: Vec<&str> = first.members.iter().chain(&rest.members).map(|member| member.sid.as_ref()).collect();
    assert_eq!(sids, ["S1", "S2", "S3", "S4", "S5"]);
    assert!(rest.next.is_none() && rest.members.iter().all(|member| member.connected));
    let users = room().users().linearizable().await.unwrap().users;
    let users: Vec<(&str, u64)> = users.iter().map(|user| (user.user.as_ref(), user.sessions)).collect();
    assert_eq!(users, [("ann", 3), ("bob", 2)]);
    assert_eq!(server.presence("/").users().after("ann").await.unwrap().users.len(), 1);
    let without = room().except("S1").fetch_sockets().await.unwrap();
    assert_eq!(without.members.len(), 4);
    assert_eq!(room().to("other").count().await, Err(ReadError::TooBroad));
    assert_eq!(room().except("S1").users().await, Err(ReadError::TooBroad));
    assert_eq!(server.presence("/elsewhere").count().await.unwrap().sessions, 0);
    node.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_up_to_the_application() {
    let (node, server) = node().await;
    let mut events = server.events(EventsFrom::Now);
    let pid = PidHash([1; 16]);
    let register = Register { pid, sid: "S".into(), namespace: "/".into(), user: None, data: bytes::Bytes::new() };
    let commands = [
        Command::Register(register),
        Command::Join { pid, epoch: 1, room: "r".into() },
        Command::Close { pid, epoch: 1 },
    ];
    for command in commands {
        node.cluster.propose(command).unwrap().await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(tokio::time::timeout(CEILING, events.next()).await.unwrap().unwrap());
    }
    assert!(matches!(&seen[0].kind, EventKind::RoomOccupied { room, .. } if &**room == "r"));
    assert!(matches!(&seen[1].kind, EventKind::Closed { session } if &*session.sid == "S"));
    assert!(matches!(&seen[2].kind, EventKind::RoomVacated { room, .. } if &**room == "r"));
    let mut again = server.events(EventsFrom::After(seen[0].id));
    assert_eq!(again.next().await.unwrap(), seen[1]);
    node.cluster.shutdown().await;
    let end = tokio::time::timeout(CEILING, events.next()).await.expect("the end is said");
    assert_eq!(end, Err(EventsError::Closed));
    assert!(node.app.server().is_some(), "the service is still there to be asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_application_asks_of_all_nodes_is_bounded_before_anything_is_sent() {
    let (_node, server) = node_of(App::builder().namespace("/", |ns| ns).build()).await;
    let root = || server.of("/").expect("it is there");
    let nobody = root().emit_with_acks("e", &[1]).await.unwrap();
    assert!(nobody.is_complete() && nobody.acks.is_empty());
    let large = ["x".repeat(vedfolnir_cluster::question::QUESTION_BYTES_MAX)];
    assert!(matches!(root().emit_with_acks("e", &large).await, Err(EmitError::BadRequest(_))));
    assert!(matches!(server.server_side_emit("e", &large), Err(EmitError::BadRequest(_))));
    assert!(matches!(server.server_side_emit::<()>("disconnect", &[]), Err(EmitError::BadRequest(_))), "reserved");
    let places = server.service().asking.try_acquire_many(ASKING_MAX as u32).unwrap();
    assert_eq!(root().emit_with_acks("e", &[1]).await.unwrap_err(), EmitError::Overloaded);
    assert_eq!(root().local().emit_with_acks("e", &[1]).await.unwrap_err(), EmitError::Overloaded);
    assert_eq!(server.server_side_emit("e", &[1]), Err(EmitError::Overloaded));
    assert_eq!(server.server_side_emit_with_acks("e", &[1]).await.unwrap_err(), EmitError::Overloaded);
    drop(places);
    assert!(server.server_side_emit_with_acks("e", &[1]).await.unwrap().is_complete(), "a node alone asks nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_of_another_node_is_answered_refused_or_left_without_an_answer() {
    let app = App::builder()
        .on_server_side(
            "add",
            |side: ServerSide, (a, b): (u32, u32)| async move { Reply::args(&(side.from_node(), a + b)) },
        )
        .on_server_side("never", |_: ServerSide, (): ()| std::future::pending::<()>());
    let (_node, server) = node_of(app.build()).await;
    let ask = async |text: &'static str, within_ms| {
        let event = Payload { text: text.as_bytes().into(), attachments: Vec::new() };
        questions::answer(server.service(), 10, Question::Application { event, within_ms }).await
    };
    let said = |text: &'static str| {
        Answer::Application(Some(Payload { text: text.as_bytes().into(), attachments: Vec::new() }))
    };
    assert_eq!(ask(r#"["add",1,2]"#, Some(60_000)).await, said(r#"["000000000000000a",3]"#));
    assert_eq!(ask(r#"["nobody handles this"]"#, Some(60_000)).await, Answer::Application(None));
    let Answer::Application(Some(refused)) = ask(r#"["add",1]"#, Some(60_000)).await else { panic!("an answer") };
    let refused = String::from_utf8(refused.text.to_vec()).unwrap();
    assert!(refused.contains("bad_request") && refused.contains("argument 1 is missing"), "{refused}");
    assert!(matches!(ask(r#"["never"]"#, Some(1)).await, Answer::Refused(_)), "too late");
    assert_eq!(ask(r#"["never"]"#, None).await, Answer::Application(None), "who only tells does not wait");
    let free = server.service().handling.available_permits();
    assert_eq!(free, HANDLED_MAX - 1, "what is handled still keeps its place");
    let places = server.service().handling.try_acquire_many(free as u32).unwrap();
    assert!(matches!(ask(r#"["add",1,2]"#, Some(60_000)).await, Answer::Refused(_)));
    drop(places);
}
