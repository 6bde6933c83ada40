//! Cursor, dead letters and the leader's duty on a real node, with a receiver that takes everything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use vedfolnir_cluster::state::{Command, EventId, LogPosition, PidHash, Register, Response};
use vedfolnir_cluster::{Cluster, ClusterConfig};

use super::cursor::NotWritten;
use super::message::Message;
use super::{Cursor, DeadLetter, LetterError, WebhookConfig, WebhookKind, Webhooks, dead_letters, run};
use crate::app::App;
use crate::security::guard::Guard;
use crate::service::{Service, ServiceConfig};

/// Nothing here takes longer unless it is broken.
const CEILING: Duration = Duration::from_secs(30);

struct Node {
    cluster: Cluster,
    _service: Service,
    _dir: tempfile::TempDir,
}

async fn node() -> Node {
    let dir = tempfile::tempdir().unwrap();
    let config = ClusterConfig::on_loopback(dir.path(), "127.0.0.1:0".parse().unwrap());
    let (cluster, notices) = Cluster::start(config).await.unwrap();
    let app = App::builder().build();
    let service = Service::start(ServiceConfig::default(), Arc::new(Guard::open()), app, cluster.clone(), notices);
    let mut readiness = cluster.readiness();
    tokio::time::timeout(CEILING, readiness.wait_for(|readiness| readiness.ready)).await.unwrap().unwrap();
    Node { cluster, _service: service, _dir: dir }
}

/// A session that begins and ends.
async fn visit(cluster: &Cluster, number: u8) {
    let pid = PidHash([number; 16]);
    let sid = format!("s{number}").into();
    let register = Register { pid, sid, namespace: "/".into(), user: None, data: bytes::Bytes::new() };
    let Response::Registered { epoch, .. } = cluster.propose(Command::Register(register)).unwrap().await.unwrap()
    else {
        panic!("it is not registered");
    };
    cluster.propose(Command::Close { pid, epoch }).unwrap().await.unwrap();
}

/// Takes every message; their bodies.
async fn receiver() -> (Arc<Webhooks>, mpsc::Receiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (taken, bodies) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let taken = taken.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while stream.read_buf(&mut request).await.unwrap_or(0) > 0 {
                    let head = request.windows(4).position(|window| window == b"\r\n\r\n");
                    if let Some(Ok(body)) = head.map(|head| serde_json::from_slice(&request[head + 4..])) {
                        request.clear();
                        taken.send(body).await.unwrap();
                        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    let webhooks = Webhooks::new(WebhookConfig {
        endpoint,
        tls: None,
        secret: None,
        allow_private: true,
        kinds: vec![WebhookKind::Closed],
        timeout: CEILING,
        attempts_max: 3,
        give_up_after: CEILING,
        requests_max: 4,
    });
    (Arc::new(webhooks), bodies)
}

async fn next(bodies: &mut mpsc::Receiver<serde_json::Value>) -> serde_json::Value {
    tokio::time::timeout(CEILING, bodies.recv()).await.expect("it comes").expect("the receiver lives")
}

/// Waits until the committed cursor is as it should be.
async fn settled(cluster: &Cluster, is: impl Fn(&Cursor) -> bool) -> Cursor {
    let look = async {
        loop {
            let cursor = cluster.read(Cursor::read).0;
            if is(&cursor) {
                return cursor;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(CEILING, look).await.expect("the cursor moves")
}

fn id(index: u64) -> EventId {
    EventId { history_id: 7, position: LogPosition::new(index, 0), ordinal: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_next_goes_on_from_the_committed_cursor() {
    let (node, (webhooks, mut bodies)) = (node().await, receiver().await);
    visit(&node.cluster, 1).await;
    let first = node.cluster.clone();
    let told = Arc::clone(&webhooks);
    let leading = tokio::spawn(async move { run::lead(&first, &told).await });
    let body = next(&mut bodies).await;
    assert_eq!((body["type"].as_str(), body["sid"].as_str()), (Some("session.closed"), Some("s1")));
    let told_of: EventId = body["id"].as_str().unwrap().parse().unwrap();
    settled(&node.cluster, |cursor| cursor.after >= Some(told_of)).await;
    leading.abort();
    assert!(leading.await.unwrap_err().is_cancelled());
    visit(&node.cluster, 2).await;
    let (second, told) = (node.cluster.clone(), Arc::clone(&webhooks));
    let leading = tokio::spawn(async move { run::lead(&second, &told).await });
    assert_eq!(next(&mut bodies).await["sid"], "s2", "what is settled is not told again");
    leading.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_the_events_is_counted_and_what_is_kept_behind_it_is_told() {
    let (node, (webhooks, mut bodies)) = (node().await, receiver().await);
    visit(&node.cluster, 1).await;
    // Of a history that this cluster does not go on from.
    let foreign = Cursor { after: Some(id(1)), ..Cursor::default() };
    foreign.write(node.cluster.clone(), None).await.unwrap();
    let (cluster, told) = (node.cluster.clone(), Arc::clone(&webhooks));
    let leading = tokio::spawn(async move { run::lead(&cluster, &told).await });
    assert_eq!(next(&mut bodies).await["sid"], "s1");
    let cursor = settled(&node.cluster, |cursor| cursor.lost > 0).await;
    assert_eq!((cursor.lost, webhooks.stats().lost_total.load(Ordering::Relaxed)), (1, 1));
    leading.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_move_the_cursor_one_does() {
    let node = node().await;
    let at = |index| Cursor { after: Some(id(index)), ..Cursor::default() };
    let revision = at(1).write(node.cluster.clone(), None).await.unwrap();
    assert_eq!(at(2).write(node.cluster.clone(), None).await, Err(NotWritten::Unknown));
    at(3).write(node.cluster.clone(), Some(revision)).await.unwrap();
    assert_eq!(at(4).write(node.cluster.clone(), Some(revision)).await, Err(NotWritten::Unknown));
    assert_eq!(node.cluster.read(Cursor::read).0, at(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_kept_in_their_order_up_to_a_bound_told_again_and_dropped() {
    let (node, (webhooks, mut bodies)) = (node().await, receiver().await);
    let keep = async |index: u64| {
        let body = format!("{{\"number\":{index}}}").into();
        let message = Message { id: id(index), kind: WebhookKind::Closed, at_ms: 0, body };
        let letter = DeadLetter::of(&message, 3, &"\u{20ac}".repeat(1_000), 5);
        dead_letters::keep(&node.cluster, message.id, &letter, 3).await.unwrap()
    };
    let listed = async || {
        let page = dead_letters::list(&node.cluster, None).await.unwrap();
        page.letters.iter().map(|letter| letter.id.clone()).collect::<Vec<_>>()
    };
    // Ten is behind nine, as events are and texts are not.
    assert_eq!((keep(10).await, keep(9).await, keep(8).await, keep(8).await), (0, 0, 0, 0));
    assert_eq!(listed().await, [id(8), id(9), id(10)].map(|id| id.to_string()));
    assert_eq!(keep(11).await, 1, "the oldest one goes");
    assert_eq!(listed().await, [id(9), id(10), id(11)].map(|id| id.to_string()));
    let rest = dead_letters::list(&node.cluster, Some(&id(10).to_string())).await.unwrap();
    assert_eq!((rest.letters.len(), rest.next), (1, None));
    let shown = dead_letters::show(&node.cluster, &id(9).to_string()).await.unwrap();
    assert_eq!((shown.body.get(), shown.last_error.len()), ("{\"number\":9}", 510), "no character is cut");
    assert!(matches!(dead_letters::show(&node.cluster, "nonsense").await, Err(LetterError::BadId(_))));

    let deadline = || tokio::time::Instant::now() + CEILING;
    let one = webhooks.replay(&node.cluster, Some(&id(10).to_string()), deadline()).await.unwrap();
    assert_eq!((one.taken, one.not_taken, one.more), (vec![id(10).to_string()], None, false));
    assert_eq!(next(&mut bodies).await["number"], 10);
    let unknown = webhooks.replay(&node.cluster, Some(&id(10).to_string()), deadline()).await;
    assert!(matches!(unknown, Err(LetterError::Unknown(_))));
    let none = webhooks.replay(&node.cluster, None, tokio::time::Instant::now()).await.unwrap();
    assert!(none.taken.is_empty() && none.more, "there was no time");
    assert_eq!(dead_letters::drop_some(&node.cluster, Some(&id(9).to_string())).await.unwrap(), [id(9).to_string()]);
    assert_eq!(dead_letters::drop_some(&node.cluster, None).await.unwrap(), [id(11).to_string()]);
    assert!(listed().await.is_empty());
}
