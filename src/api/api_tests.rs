//! The API on a real node, by its router: who may ask, what is refused and how, what is answered.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use vedfolnir_cluster::{Cluster, ClusterConfig, ReplicatedLimits};

use super::*;
use crate::app::relay;
use crate::config::ApiTokens;
use crate::observability::Parts;
use crate::security::guard::Guard;
use crate::service::{Service, ServiceConfig};

/// Nothing here takes longer unless it is broken.
const CEILING: Duration = Duration::from_secs(30);
const PEER: &str = "127.0.0.1:1";

struct Door {
    router: Router,
    node: Arc<Node>,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

fn unattached(tokens: ApiTokens) -> Door {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(Node::new("a-server".to_owned(), dir.path().to_path_buf()));
    Door { router: router(Arc::clone(&node), Keeper::new(tokens)), node, _dir: dir }
}

async fn door() -> Door {
    door_that_keeps(ReplicatedLimits::default()).await
}

async fn door_that_keeps(limits: ReplicatedLimits) -> Door {
    let door = unattached(ApiTokens::default());
    let config = ClusterConfig::on_loopback(door.node.data_dir(), "127.0.0.1:0".parse().unwrap());
    let config = ClusterConfig { limits, ..config };
    let (cluster, notices) = Cluster::start(config).await.unwrap();
    let guard = Arc::new(Guard::open());
    let service = Service::start(ServiceConfig::default(), guard, relay::app(), cluster.clone(), notices);
    let mut readiness = cluster.readiness();
    tokio::time::timeout(CEILING, readiness.wait_for(|readiness| readiness.ready)).await.unwrap().unwrap();
    let (leave, _) = tokio::sync::mpsc::channel(1);
    door.node.attach(Parts { cluster, service, tls: None, leave, drain_rate: 1, affinity_timeout: Duration::ZERO });
    door
}

impl Door {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        request.extensions_mut().insert(ConnectInfo(PEER.parse::<SocketAddr>().unwrap()));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }
}

impl Answer {
    /// What kind of problem it is, and with which field.
    fn problem(&self) -> (u16, &str, &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        assert_eq!(self.body["status"], self.status.as_u16());
        assert!(!self.body["title"].as_str().unwrap().is_empty() && !self.body["detail"].as_str().unwrap().is_empty());
        let kind = self.body["type"].as_str().unwrap().strip_prefix("urn:vedfolnir:problem:").unwrap();
        (self.status.as_u16(), kind, self.body["field"].as_str().unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_committed_in_order_and_a_wrong_part_of_a_batch_keeps_nothing_else_back() {
    let door = door().await;
    let first = door.post("/api/v1/publish", &json!({"room": "r", "event": "m", "args": [1, {"a": "ü"}]})).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let offset = |body: &Value| body["offset"].as_str().expect("an offset").to_owned();
    let committed = || {
        let parts = door.node.parts().unwrap();
        parts.cluster.read(|state| state.history_size().0)
    };
    assert_eq!(committed(), 1);
    let volatile = door.post("/api/v1/publish", &json!({"event": "m", "volatile": true})).await;
    assert_eq!((volatile.status.as_u16(), volatile.body), (202, json!({})), "nothing that could be asked for again");
    assert_eq!(committed(), 1);

    let publishes = json!({"publishes": [
        {"rooms": ["r", "s"], "except": ["t"], "event": "m"},
        {"event": "disconnect"},
        {"event": "m", "volatile": true},
        7,
        {"session": "nobody", "event": "m"},
        {"event": "m", "args": null},
    ]});
    let batch = door.post("/api/v1/batch", &publishes).await;
    assert_eq!(batch.status, 200, "{}", batch.body);
    let results = batch.body["results"].as_array().unwrap();
    let status: Vec<u64> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(status, [200, 422, 202, 400, 404, 200]);
    assert_eq!(results[1]["problem"]["field"], "publishes[1].event");
    assert_eq!(results[3]["problem"]["field"], "publishes[3]");
    assert_eq!(results[4]["problem"]["field"], "publishes[4].session");
    assert_eq!(committed(), 3);
    let (before, between, after) = (offset(&first.body), offset(&results[0]), offset(&results[5]));
    assert!(before != between && between != after);
    assert_eq!(results[2], json!({"status": 202}));
    let seen = (door.node.api().requests(ApiRoute::Batch, StatusClass::Success), {
        door.node.api().requests(ApiRoute::Publish, StatusClass::Success)
    });
    assert_eq!(seen, (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_says_what_is_wrong_and_with_which_field() {
    let door = door().await;
    let long = "x".repeat(257);
    let many: Vec<String> = (0..1_025).map(|number| number.to_string()).collect();
    for (body, expected) in [
        (json!({"event": "m", "namespace": "/nowhere"}), (404, "unknown-namespace", "namespace")),
        (json!({"event": "m", "namespace": 7}), (422, "invalid", "namespace")),
        (json!({"event": "m", "session": "nobody"}), (404, "unknown-session", "session")),
        (json!({"event": "m", "users": ["ada"]}), (422, "invalid", "users")),
        (json!({"event": "m", "user": ""}), (422, "invalid", "user")),
        (json!({"event": "m", "user": "ada", "room": "a"}), (422, "invalid", "user")),
        (json!({"event": "m", "room": "\u{0}user:ada"}), (422, "invalid", "room")),
        (json!({"event": "m", "rooms": ["a", "\u{0}"]}), (422, "invalid", "rooms[1]")),
        (json!({"event": "m", "except": ["\u{0}user:ada"]}), (422, "invalid", "except[0]")),
        (json!({"event": "m", "room": ""}), (422, "invalid", "room")),
        (json!({"event": "m", "room": long}), (422, "invalid", "room")),
        (json!({"event": "m", "room": "a", "rooms": ["b"]}), (422, "invalid", "rooms")),
        (json!({"event": "m", "rooms": ["a"], "session": "b"}), (422, "invalid", "session")),
        (json!({"event": "m", "rooms": []}), (422, "invalid", "rooms")),
        (json!({"event": "m", "rooms": ["a", ""]}), (422, "invalid", "rooms[1]")),
        (json!({"event": "m", "rooms": many}), (422, "invalid", "rooms")),
        (json!({"event": "m", "except": "a"}), (422, "invalid", "except")),
        (json!({"event": "m", "args": {}}), (422, "invalid", "args")),
        (json!({"event": "m", "volatile": "yes"}), (422, "invalid", "volatile")),
        (json!({"event": "connect"}), (422, "invalid", "event")),
        (json!({"args": []}), (422, "invalid", "event")),
        (json!([]), (400, "malformed", "")),
    ] {
        let answer = door.post("/api/v1/publish", &body).await;
        assert_eq!(answer.problem(), expected, "{body} {}", answer.body);
    }
    for (body, field) in [
        (json!({"publishes": []}), "publishes"),
        (json!({"publishes": vec![json!({"event": "m"}); 1_001]}), "publishes"),
        (json!({}), "publishes"),
        (json!({"publishes": [{"event": "m"}], "atomic": true}), "atomic"),
    ] {
        assert_eq!(door.post("/api/v1/batch", &body).await.problem(), (422, "invalid", field), "{body}");
    }
    let json_type = [("content-type", "application/json; charset=utf-8")];
    let publish = "/api/v1/publish";
    let large = vec![b' '; body::BODY_BYTES_MAX + 1];
    for (method, path, headers, body, expected) in [
        ("POST", publish, &json_type[..], b"{\"event\":".to_vec(), (400, "malformed", "")),
        ("POST", publish, &json_type, b"\xff".to_vec(), (400, "malformed", "")),
        ("POST", publish, &json_type, large, (413, "too-large", "")),
        (
            "POST",
            publish,
            &[("content-type", "text/plain")],
            b"{}".to_vec(),
            (415, "unsupported-media-type", "Content-Type"),
        ),
        ("POST", publish, &[], b"{}".to_vec(), (415, "unsupported-media-type", "Content-Type")),
        ("GET", publish, &[], Vec::new(), (405, "method-not-allowed", "")),
        ("GET", "/api/v1/nothing", &[], Vec::new(), (404, "not-found", "")),
        ("GET", "/", &[], Vec::new(), (404, "not-found", "")),
        ("POST", publish, &[("origin", "http://a.example")], Vec::new(), (403, "forbidden", "Origin")),
    ] {
        let answer = door.send(method, path, headers, body).await;
        assert_eq!(answer.problem(), expected, "{method} {path} {headers:?}");
        if answer.status == 405 {
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
    let parts = door.node.parts().unwrap();
    assert_eq!(parts.cluster.read(|state| state.history_size().0), 0, "nothing of that was published");
}

#[tokio::test]
async fn every_described_operation_is_there_and_other_methods_are_not() {
    let door = unattached(ApiTokens::default());
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = door.send(method, &path, &[], "").await;
            let is_described = operations.get(method.to_ascii_lowercase()).is_some();
            let kind = answer.body["type"].as_str().unwrap_or_default();
            assert_ne!(kind, "urn:vedfolnir:problem:not-found", "{method} {path}");
            assert_eq!(kind == "urn:vedfolnir:problem:method-not-allowed", !is_described, "{method} {path} {kind}");
        }
    }
    let shown = door.send("GET", "/api/v1/openapi.json", &[], "").await;
    assert_eq!((shown.status.as_u16(), shown.body), (200, document));
}

#[tokio::test]
async fn each_role_does_what_it_may_and_a_node_on_its_way_says_so() {
    let token = |text: &str| Some(text.to_owned().into());
    let door = unattached(ApiTokens {
        admin: token("admin-0123456789abcdef"),
        publish: token("publish-0123456789abcdef"),
        read: token("read-0123456789abcdef"),
    });
    let (unready, forbidden) = ((503, "not-ready", ""), (403, "forbidden", "Authorization"));
    for (role, publishing, reading, other) in [
        ("admin", unready, (404, "not-found", ""), (404, "not-found", "")),
        ("publish", unready, forbidden, forbidden),
        ("read", forbidden, (404, "not-found", ""), forbidden),
    ] {
        let shown = format!("Bearer {role}-0123456789abcdef");
        let headers = [("authorization", shown.as_str()), ("content-type", "application/json")];
        let asked = [
            ("POST", "/api/v1/publish", publishing),
            ("POST", "/api/v1/batch", publishing),
            ("GET", "/api/v1/other", reading),
            ("DELETE", "/api/v1/other", other),
        ];
        for (method, path, expected) in asked {
            let body = r#"{"event":"m","publishes":[{"event":"m"}]}"#;
            let body = if path.ends_with("batch") { r#"{"publishes":[{"event":"m"}]}"# } else { body };
            let answer = door.send(method, path, &headers, body).await;
            assert_eq!(answer.problem(), expected, "{role} {method} {path}");
        }
    }
    let nobody = door.post("/api/v1/publish", &json!({"event": "m"})).await;
    assert_eq!(nobody.problem(), (401, "unauthorized", "Authorization"));
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
    for _ in 0..5 {
        let guess = door.send("GET", "/api/v1/other", &[("authorization", "Bearer guess")], "").await;
        assert_eq!(guess.problem(), (401, "unauthorized", "Authorization"));
    }
    let right = door.send("GET", "/api/v1/other", &[("authorization", "Bearer admin-0123456789abcdef")], "").await;
    assert_eq!(right.problem(), (429, "too-many-wrong-tokens", ""), "not even the right one is looked at");
    assert!(right.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_gone_says_where_it_begins() {
    use vedfolnir_cluster::state::{Command, PidHash, Register};
    let limits = ReplicatedLimits { history_bytes_max: 4 << 20, ..ReplicatedLimits::default() };
    let door = door_that_keeps(limits).await;
    let parts = door.node.parts().unwrap();
    let register = Register {
        pid: PidHash([1; 16]),
        sid: "S".into(),
        namespace: "/".into(),
        user: None,
        data: bytes::Bytes::from_static(b"\xff"),
    };
    parts.cluster.propose(Command::Register(register)).unwrap().await.unwrap();
    let get = async |path: &str| door.send("GET", path, &[], "").await;
    let say = async |id: u64, bytes: usize| {
        let body = json!({"room": "S", "event": "m", "args": [id, "x".repeat(bytes)]});
        door.post("/api/v1/publish", &body).await.body["offset"].as_str().expect("an offset").to_owned()
    };
    let first = say(1, 0).await;
    let second = say(2, 0).await;
    let after_first = get(&format!("/api/v1/history?room=S&after={first}")).await;
    assert_eq!(after_first.body["events"][0]["offset"], second);
    assert_eq!((&after_first.body["next"], after_first.body["events"].as_array().unwrap().len()), (&Value::Null, 1));
    // More than is retained.
    say(3, 3 << 20).await;
    say(4, 2 << 20).await;
    let last = say(5, 1 << 20).await;
    let gone = get(&format!("/api/v1/history?room=S&after={first}")).await;
    assert_eq!(gone.problem(), (410, "history-gone", "after"));
    let oldest = gone.body["oldest"].as_str().expect("from where on there is one");
    let page = get(&format!("/api/v1/history?room=S&after={oldest}")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.body["events"].as_array().unwrap().len(), 1, "one alone may be larger than a page");
    assert_eq!(page.body["next"], page.body["events"][0]["offset"]);
    let end = get(&format!("/api/v1/history?room=S&after={last}")).await;
    assert_eq!((end.status.as_u16(), &end.body["events"]), (200, &json!([])));
    assert!(end.body["reached"].is_string());
    let shown = get("/api/v1/sessions/S").await;
    assert_eq!((&shown.body["data"], &shown.body["data_base64"]), (&Value::Null, &json!("/w==")));
}
