//! A real single-node cluster, the relay and raw clients: what the wire carries, in which order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::{Cluster, ClusterConfig};

use super::{Door, Service, ServiceConfig};
use crate::app::relay;
use crate::security::guard::Guard;

/// Nothing here takes longer unless it is broken.
const CEILING: Duration = Duration::from_secs(30);

struct Node {
    service: Service,
    cluster: Cluster,
    addr: SocketAddr,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

async fn node(config: ServiceConfig) -> Node {
    node_of(config, relay::app()).await
}

async fn node_of(config: ServiceConfig, app: crate::app::App) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let (cluster, notices) =
        Cluster::start(ClusterConfig::on_loopback(dir.path(), "127.0.0.1:0".parse().unwrap())).await.unwrap();
    let service = Service::start(config, Arc::new(Guard::open()), app, cluster.clone(), notices);
    within(cluster.readiness().wait_for(|readiness| readiness.ready)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = service.clone();
    let stopped = stop.clone();
    tokio::spawn(async move { serving.serve(Door { listener, tls: None }, axum::Router::new(), stopped).await });
    Node { service, cluster, addr, stop, _dir: dir }
}

impl Node {
    async fn stop(self) {
        self.service.drain(500, Duration::from_secs(5)).await;
        self.stop.cancel();
        self.cluster.shutdown().await;
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(CEILING, future).await.expect("in time")
}

/// A WebSocket client that speaks in raw frames.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn websocket(addr: SocketAddr, query: &str) -> Self {
        let tcp = TcpStream::connect(addr).await.unwrap();
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket{query}");
        let (stream, _) = within(tokio_tungstenite::client_async(url, tcp)).await.unwrap();
        Self(stream)
    }

    async fn open(addr: SocketAddr) -> Self {
        let mut client = Self::websocket(addr, "").await;
        let open = client.text().await;
        assert!(open.starts_with(r#"0{"sid":""#) && open.contains(r#""upgrades":[]"#), "{open}");
        client
    }

    /// Opens and connects; gives the reply too.
    async fn connect(addr: SocketAddr, auth: &str) -> (Self, serde_json::Value) {
        let mut client = Self::open(addr).await;
        client.send(&format!("40{auth}")).await;
        let reply = client.text().await;
        let reply = serde_json::from_str(reply.strip_prefix("40").expect("a CONNECT reply first")).unwrap();
        (client, reply)
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn message(&mut self) -> Option<Message> {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3").await,
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    async fn text(&mut self) -> String {
        match self.message().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("expected text, got {other:?}"),
        }
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.text().await
    }
}

/// One HTTP/1.1 exchange on a connection of its own: the status, the head in lower case, the body.
async fn http(addr: SocketAddr, method: &str, query: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} /socket.io/?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(tcp.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

async fn get(addr: SocketAddr, query: &str) -> (u16, String) {
    let (status, _, body) = http(addr, "GET", query, "", "").await;
    (status, body)
}

/// Opens a polling session; its query.
async fn poll_open(addr: SocketAddr) -> String {
    let (status, body) = get(addr, "EIO=4&transport=polling").await;
    assert_eq!(status, 200);
    let open: serde_json::Value = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(open["upgrades"], serde_json::json!(["websocket"]));
    format!("EIO=4&transport=polling&sid={}", open["sid"].as_str().unwrap())
}

async fn post(addr: SocketAddr, query: &str, body: &str) -> (u16, String) {
    let (status, _, answer) = http(addr, "POST", query, "content-type: text/plain;charset=UTF-8\r\n", body).await;
    (status, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_over_websocket() {
    let node = node(ServiceConfig::default()).await;
    let (mut client, reply) = Client::connect(node.addr, "").await;
    let sid = reply["sid"].as_str().unwrap().to_owned();
    assert_eq!((sid.len(), reply["pid"].as_str().unwrap().len()), (20, 32));

    assert_eq!(client.ask(r#"421["echo",1,{"a":"b"}]"#).await, r#"431[1,{"a":"b"}]"#);
    assert_eq!(client.ask(r#"422["join","r"]"#).await, "432[{}]");
    let rooms: Vec<String> =
        serde_json::from_str::<Vec<Vec<String>>>(&client.ask(r#"423["rooms"]"#).await[3..]).unwrap().remove(0);
    assert!(rooms.len() == 2 && rooms.contains(&"r".to_owned()) && rooms.contains(&sid));

    // The event comes before the ack of its publish, and both name the same offset.
    let event = client.ask(r#"424["publish","r","news",{"n":1}]"#).await;
    let event: serde_json::Value = serde_json::from_str(&event[2..]).unwrap();
    let ack: serde_json::Value = serde_json::from_str(&client.text().await[3..]).unwrap();
    assert_eq!(event, serde_json::json!(["news", {"n": 1}, ack[0]["offset"]]));

    // Volatile events carry an offset as well; without an ack id there is no ack.
    let volatile = client.ask(r#"42["publish_volatile","r","tick","x"]"#).await;
    let volatile: Vec<String> = serde_json::from_str(&volatile[2..]).unwrap();
    assert_eq!((volatile.len(), volatile[0].as_str()), (3, "tick"));

    // Binary: the room and the event stand before it, the placeholder stays right.
    client.send(r#"451-["publish","r","blob",{"_placeholder":true,"num":0}]"#).await;
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert!(client.text().await.starts_with(r#"451-["blob",{"_placeholder":true,"num":0},""#));
    assert_eq!(client.message().await, Some(Message::binary(vec![1, 2, 3])));

    assert_eq!(client.ask(r#"425["leave","r"]"#).await, "435[{}]");
    for bad in [r#"426["publish","r","disconnect"]"#, r#"426["join",7]"#, r#"426["publish","r"]"#, r#"426["join",""]"#]
    {
        let error = client.ask(bad).await;
        assert!(error.starts_with(r#"436[{"error":{"code":"bad_request""#), "{error}");
    }
    assert_eq!(client.ask("40/nowhere,").await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_fences_the_old_transport_and_replays_what_was_missed() {
    let node = node(ServiceConfig::default()).await;
    let (mut first, reply) = Client::connect(node.addr, "").await;
    let (mut other, _) = Client::connect(node.addr, "").await;
    let (sid, pid) = (reply["sid"].as_str().unwrap(), reply["pid"].as_str().unwrap());
    first.ask(r#"421["join","r"]"#).await;
    other.ask(r#"421["publish","r","m",1]"#).await;
    let seen: Vec<serde_json::Value> = serde_json::from_str(&first.text().await[2..]).unwrap();
    let offset = seen[2].as_str().unwrap();

    // Half-open: the server still holds the old transport.
    let auth = format!(r#"{{"pid":"{pid}","offset":"{offset}"}}"#);
    let (mut second, again) = Client::connect(node.addr, &auth).await;
    assert_eq!((again["sid"].as_str(), again["pid"].as_str()), (Some(sid), Some(pid)));
    assert!(matches!(first.message().await, Some(Message::Close(None))), "no 41, no 44, no code");

    // Gone for real, then missed messages, then a new one: in order, once.
    drop(second.0.close(None).await);
    drop(second);
    for n in 2..=4 {
        other.ask(&format!(r#"42{n}["publish","r","m",{n}]"#)).await;
    }
    let (mut third, again) = Client::connect(node.addr, &auth).await;
    assert_eq!(again["sid"].as_str(), Some(sid));
    other.ask(r#"425["publish","r","m",5]"#).await;
    for n in 2..=5 {
        assert!(third.text().await.starts_with(&format!(r#"42["m",{n},""#)));
    }
    // Rooms came back too; a session that is asked for with garbage is a new one.
    assert!(third.ask(r#"421["rooms"]"#).await.contains(r#""r""#));
    let (_, fresh) = Client::connect(node.addr, &format!(r#"{{"pid":"{pid}","offset":"garbage"}}"#)).await;
    assert_ne!(fresh["sid"].as_str(), Some(sid));
    // A client's 41 ends the session.
    third.send("41").await;
    third.send("40").await;
    assert!(third.text().await.starts_with("40{"));
    let (_, fresh) = Client::connect(node.addr, &auth).await;
    assert_ne!(fresh["sid"].as_str(), Some(sid));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_client_are_committed_in_its_order() {
    let node = node(ServiceConfig::default()).await;
    let (mut client, _) = Client::connect(node.addr, "").await;
    client.ask(r#"420["join","r"]"#).await;
    // More than may be in flight: reading waits, nothing is lost.
    for n in 0..500 {
        client.0.feed(Message::text(format!(r#"42{}["publish","r","m",{n}]"#, n + 1))).await.unwrap();
    }
    client.0.flush().await.unwrap();
    let (mut events, mut acks) = (0, 0);
    while events < 500 || acks < 500 {
        let text = client.text().await;
        if let Some(event) = text.strip_prefix(r#"42["m","#) {
            assert!(event.starts_with(&format!("{events},")), "{event} is not number {events}");
            events += 1;
        } else {
            assert!(text.starts_with("43") && text.contains("offset"), "{text}");
            acks += 1;
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overflowing_socket_goes_on_from_the_history() {
    let outbox = super::OutboxLimits { bytes_max: 2_000, frames_max: 10 };
    let node = node(ServiceConfig { outbox, ..ServiceConfig::default() }).await;
    let (mut slow, _) = Client::connect(node.addr, "").await;
    let (mut publisher, _) = Client::connect(node.addr, "").await;
    slow.ask(r#"420["join","r"]"#).await;
    let filler = "x".repeat(1_000);
    for n in 0..400 {
        publisher.0.feed(Message::text(format!(r#"42["publish","r","m",{n},"{filler}"]"#))).await.unwrap();
    }
    publisher.0.flush().await.unwrap();
    for n in 0..400 {
        let text = slow.text().await;
        assert!(text.starts_with(&format!(r#"42["m",{n},"#)), "{} is not number {n}", &text[..20]);
    }
    assert!(node.service.stats().overflows_total.load(std::sync::atomic::Ordering::Relaxed) > 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_upgrades_without_losing_anything() {
    let node = node(ServiceConfig::default()).await;
    let query = poll_open(node.addr).await;
    let sid = query.split("sid=").nth(1).unwrap().to_owned();
    assert_eq!(post(node.addr, &query, "40").await, (200, "ok".to_owned()));
    assert!(get(node.addr, &query).await.1.starts_with(r#"40{"sid":""#));
    assert_eq!(post(node.addr, &query, "421[\"join\",\"r\"]\u{1e}422[\"echo\",1]").await, (200, "ok".to_owned()));
    let mut acks = get(node.addr, &query).await.1;
    if !acks.contains('\u{1e}') {
        acks = format!("{acks}\u{1e}{}", get(node.addr, &query).await.1);
    }
    assert!(acks.contains("431[{}]") && acks.contains("432[1]"), "{acks}");

    let mut socket = Client::websocket(node.addr, &format!("&sid={sid}")).await;
    assert_eq!(socket.ask("2probe").await, "3probe");
    // A poll that waits is let return; a message that is posted now is answered on the other side.
    assert_eq!(get(node.addr, &query).await, (200, "6".to_owned()));
    assert_eq!(post(node.addr, &query, "42[\"publish\",\"r\",\"m\",1]").await.0, 200);
    let mut second = Client::websocket(node.addr, &format!("&sid={sid}")).await;
    assert!(matches!(second.message().await, Some(Message::Close(None)) | None), "a second WebSocket is closed");
    socket.send("5").await;
    assert!(socket.text().await.starts_with(r#"42["m",1,""#));
    assert_eq!(socket.ask(r#"423["echo",2]"#).await, "433[2]");
    let (status, body) = get(node.addr, &query).await;
    assert_eq!((status, body.as_str()), (400, r#"{"code":3,"message":"Bad request"}"#));
    assert_eq!(post(node.addr, &query, "2").await.0, 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_requests_that_break_the_rules() {
    let node = node(ServiceConfig::default()).await;
    let bad = |code: u8, message: &str| (400, format!(r#"{{"code":{code},"message":"{message}"}}"#));
    let addr = node.addr;
    assert_eq!(get(addr, "EIO=4&transport=carrier").await, bad(0, "Transport unknown"));
    assert_eq!(get(addr, "EIO=4&transport=polling&sid=x").await, bad(1, "Session ID unknown"));
    assert_eq!(post(addr, "EIO=4&transport=polling", "").await, bad(2, "Bad handshake method"));
    assert_eq!(get(addr, "EIO=4&transport=websocket").await, bad(3, "Bad request"));
    assert_eq!(get(addr, "EIO=3&transport=polling").await, bad(5, "Unsupported protocol version"));
    assert_eq!(get(addr, "transport=polling").await, bad(5, "Unsupported protocol version"));
    let (status, head, _) =
        http(addr, "OPTIONS", "EIO=4", "origin: http://a\r\naccess-control-request-headers: x-y\r\n", "").await;
    assert_eq!(status, 204);
    assert!(head.contains("access-control-allow-origin: *") && head.contains("access-control-allow-headers: x-y"));

    // Oversize and binary bodies are refused, the session survives.
    let query = poll_open(addr).await;
    assert_eq!(post(addr, &query, &"4".repeat(1_000_001)).await.0, 413);
    let binary = http(addr, "POST", &query, "content-type: application/octet-stream\r\n", "40").await;
    assert_eq!(binary.0, 400);
    assert_eq!(post(addr, &query, "40").await.0, 200);
    assert!(get(addr, &query).await.1.starts_with("40{"));
    // Two polls at once: the waiting one hears 1, the new one 400, the session is over.
    let waiting = tokio::spawn({
        let query = query.clone();
        async move { get(addr, &query).await }
    });
    let second = loop {
        let answer = tokio::time::timeout(Duration::from_millis(100), get(addr, &query)).await;
        if waiting.is_finished() || answer.is_ok() {
            break answer;
        }
    };
    let answers = [waiting.await.unwrap(), second.unwrap_or((200, "1".to_owned()))];
    assert!(answers.contains(&(200, "1".to_owned())), "{answers:?}");
    assert!(answers.contains(&bad(3, "Bad request")), "{answers:?}");
    assert_eq!(get(addr, &query).await.0, 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocol_errors_close_without_a_code_and_oversize_with_1009() {
    let node = node(ServiceConfig { max_http_buffer_size: 10_000, ..ServiceConfig::default() }).await;
    for bad in ["7", "2", "4", "40\u{1e}", "42[\"early\"]", "44{}"] {
        let mut client = Client::open(node.addr).await;
        client.send(bad).await;
        assert!(matches!(client.message().await, Some(Message::Close(None))), "{bad:?}");
    }
    let (mut client, _) = Client::connect(node.addr, "").await;
    client.send(&"4".repeat(10_001)).await;
    match client.message().await {
        Some(Message::Close(Some(frame))) => assert_eq!(u16::from(frame.code), 1009),
        other => panic!("expected 1009, got {other:?}"),
    }
    // A drained node refuses handshakes, answers what was asked, closes transports, and the session is resumable afterwards.
    let (mut client, _) = Client::connect(node.addr, "").await;
    client.send(r#"427["publish","room","m",1]"#).await;
    node.service.drain(500, Duration::from_secs(5)).await;
    let ack = client.text().await;
    assert!(ack.starts_with("437["), "{ack}");
    assert!(matches!(client.message().await, Some(Message::Close(None))));
    assert_eq!(get(node.addr, "EIO=4&transport=polling").await.0, 503);
    assert_eq!(node.cluster.read(|state| state.connected_count()), 0);
    assert!(node.cluster.read(|state| state.disconnected_count()) > 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_room_is_short_newcomers_are_told_to_come_back_and_sessions_are_taken() {
    let node = node(ServiceConfig { connections_max: 10, ..ServiceConfig::default() }).await;
    let settled = async |connections: u64| {
        let stats = node.service.stats();
        let active = || stats.connections_active() + stats.connections_closing_active.load(Ordering::Relaxed);
        while active() != connections {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (first, reply) = Client::connect(node.addr, "").await;
    drop(first);
    within(settled(0)).await;
    let mut others = Vec::new();
    for _ in 0..9 {
        others.push(Client::connect(node.addr, "").await.0);
    }
    let mut newcomer = Client::open(node.addr).await;
    newcomer.send("40").await;
    match newcomer.message().await {
        Some(Message::Close(Some(frame))) => assert_eq!(u16::from(frame.code), 1013),
        other => panic!("expected 1013, got {other:?}"),
    }
    drop(newcomer);
    within(settled(9)).await;
    let query = poll_open(node.addr).await;
    let (status, head, _) = http(node.addr, "POST", &query, "", "40").await;
    assert!(status == 503 && head.contains("retry-after: 1"), "{head}");
    // The word that it is over.
    assert_eq!(get(node.addr, &query).await, (200, "6\u{1e}1".to_owned()));
    within(settled(9)).await;
    let auth = serde_json::json!({ "pid": reply["pid"] }).to_string();
    let (_back, again) = Client::connect(node.addr, &auth).await;
    assert_eq!((&again["sid"], &again["pid"]), (&reply["sid"], &reply["pid"]));
    assert_eq!(node.service.stats().newcomers_postponed_total.load(Ordering::Relaxed), 2);
    node.stop().await;
}

/// Until the cluster writes what this release can: a node that is alone raises it by itself.
async fn managed(node: &Node) -> crate::app::ServerHandle {
    within(async {
        while node.cluster.read(|state| state.format()) < vedfolnir_cluster::state::Format::MANAGED {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    node.service.handle()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_server_disconnects_gets_what_was_said_before_and_then_is_told_so() {
    let node = node(ServiceConfig::default()).await;
    let server = managed(&node).await;
    let (mut client, reply) = Client::connect(node.addr, "{}").await;
    assert_eq!(client.ask(r#"420["join","r"]"#).await, r"430[{}]");
    let sid = reply["sid"].as_str().unwrap();
    let root = || server.of("/").unwrap();
    root().to("r").emit("m", &[1]).await.unwrap();
    assert_eq!(root().to("r").disconnect_sockets().await.unwrap().sessions, 1);
    assert!(client.text().await.starts_with(r#"42["m",1,"#));
    assert_eq!(client.text().await, "41");
    // What it has in flight is nobody's now, and the connection is still good for another session.
    client.send(r#"421["echo"]"#).await;
    client.send("40").await;
    let again = client.text().await;
    assert!(again.starts_with(r#"40{"sid":"#) && !again.contains(sid), "{again}");
    assert_eq!(client.ask(r#"422["echo",2]"#).await, "432[2]");
    assert_eq!(server.remote("/", sid).unwrap().disconnect().await.unwrap().sessions, 0, "it is over");
    assert_eq!(server.presence("/").count().await.unwrap().sessions, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_that_a_client_is_put_into_are_heard_in_at_once_and_no_longer_once_it_is_out() {
    use crate::app::EmitError;
    let node = node(ServiceConfig::default()).await;
    let server = managed(&node).await;
    let (mut client, reply) = Client::connect(node.addr, "{}").await;
    let remote = server.remote("/", reply["sid"].as_str().unwrap()).unwrap();
    let root = || server.of("/").unwrap();
    assert_eq!(remote.join(["a", "b"]).await.unwrap().sessions, 1);
    root().to("b").volatile().emit("m", &["volatile"]).unwrap();
    assert!(client.text().await.starts_with(r#"42["m","volatile","#));
    assert_eq!(root().to("a").except("c").sockets_leave(["b"]).await.unwrap().sessions, 1);
    root().to("b").emit("m", &["nobody"]).await.unwrap();
    root().to("a").emit("m", &["last"]).await.unwrap();
    assert!(client.text().await.starts_with(r#"42["m","last","#));
    let rooms: Vec<Arc<str>> = vec!["r".into(); 65];
    for refused in [
        remote.join(rooms).await,
        remote.join(["\0user:ada"]).await,
        remote.leave([""]).await,
        root().to("\0user:ada").disconnect_sockets().await,
        root().to("").disconnect_sockets().await,
    ] {
        assert!(matches!(refused, Err(EmitError::BadRequest(_) | EmitError::LimitExceeded)), "{refused:?}");
    }
    assert!(matches!(root().to("\0user:ada").emit("m", &[1]).await, Err(EmitError::BadRequest(_))));
    for verb in ["join", "leave", "publish"] {
        let refused = client.ask(&format!(r#"421["{verb}","\u0000user:ada","m"]"#)).await;
        assert!(refused.contains("bad_request"), "{verb}: {refused}");
    }
    assert_eq!(client.ask(r#"422["rooms"]"#).await.matches("user").count(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_a_handler_keeps_are_there_after_a_resume_beside_what_the_server_noted_until_it_ends_the_session() {
    use crate::app::{App, ConnectAccept, ConnectRefusal, EmitError, Handshake, Reply, Socket};
    let app = App::builder().namespace("/", |ns| {
        ns.on_connect(|_: Handshake| async {
            Ok::<_, ConnectRefusal>(ConnectAccept::default().with_data(&vec![1]).unwrap())
        })
        .on("put", |socket: Socket, (number,): (u32,)| async move {
            let mut numbers: Vec<u32> = socket.data_as().unwrap().unwrap_or_default();
            numbers.push(number);
            socket.set_data_as(&numbers).await.unwrap();
            Reply::json(&socket.data_as::<Vec<u32>>().unwrap())
        })
        .on("too much", |socket: Socket, (): ()| async move {
            let refused = socket.set_data(vec![b'x'; 64 << 10]).await;
            Reply::json(&(refused == Err(EmitError::LimitExceeded), socket.data_as::<Vec<u32>>().unwrap()))
        })
        .on("bye", |socket: Socket, (): ()| async move {
            socket.disconnect().await.unwrap();
            assert_eq!(socket.join("r").await, Err(EmitError::StaleSession));
        })
    });
    let config = ServiceConfig { notes_connections: true, ..ServiceConfig::default() };
    let node = node_of(config, app.build()).await;
    let (mut client, reply) = Client::connect(node.addr, "{}").await;
    assert_eq!(client.ask(r#"421["put",2]"#).await, "431[[1,2]]");
    assert_eq!(client.ask(r#"422["put",3]"#).await, "432[[1,2,3]]");
    assert_eq!(client.ask(r#"423["too much"]"#).await, "433[[true,[1,2,3]]]");
    drop(client);
    let auth = format!(r#"{{"pid":{}}}"#, reply["pid"]);
    let (mut client, again) = Client::connect(node.addr, &auth).await;
    assert_eq!(again["sid"], reply["sid"]);
    assert_eq!(client.ask(r#"424["put",4]"#).await, "434[[1,2,3,4]]");
    let found = node.service.handle().found_session("/", reply["sid"].as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!(found.session.data, "[1,2,3,4]", "what the server noted is none of it");
    let noted = node.cluster.read(|state| state.sessions().map(|session| session.data).next().unwrap());
    assert!(super::session_data::notes(&noted).is_some(), "but still there");
    client.send(r#"42["bye"]"#).await;
    assert_eq!(client.text().await, "41");
    node.stop().await;
}
