//! What a CONNECT has to pass, in which order.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use super::super::handshake::RequestInfo;
use super::*;

fn handshake() -> Handshake {
    let request = RequestInfo {
        remote: "127.0.0.1:0".parse().unwrap(),
        https: false,
        query: Box::default(),
        headers: Box::default(),
    };
    Handshake {
        namespace: "/".into(),
        params: NamespaceParams::default(),
        auth: None,
        request: Arc::new(request),
        identity: None,
    }
}

/// A namespace with three checks, of which one refuses, and what was asked.
async fn asked(refuses: &'static str) -> (Vec<&'static str>, Result<ConnectAccept, ConnectRefusal>) {
    let seen: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let mut builder = NamespaceBuilder::new();
    for name in ["first", "second"] {
        let seen = Arc::clone(&seen);
        builder = builder.check_connect(move |_| {
            seen.lock().push(name);
            async move {
                if name == refuses {
                    return Err(ConnectRefusal::new(name).with_data(&json!({"code": 7})));
                }
                Ok(())
            }
        });
    }
    let last = Arc::clone(&seen);
    let namespace = builder.on_connect(move |_| {
        last.lock().push("decided");
        async { Ok(ConnectAccept { user: Some("ada".into()), ..ConnectAccept::default() }) }
    });
    let connected = Namespace::fixed("/", namespace.build()).connect(handshake()).await;
    let seen = seen.lock().clone();
    (seen, connected)
}

#[tokio::test]
async fn checks_run_in_their_order_before_anybody_decides() {
    let (seen, connected) = asked("nobody").await;
    assert_eq!(seen, ["first", "second", "decided"]);
    assert_eq!(connected.unwrap().user.as_deref(), Some("ada"));
}

#[tokio::test]
async fn the_first_refusal_stands_with_its_data() {
    let (seen, connected) = asked("first").await;
    assert_eq!(seen, ["first"]);
    let refusal = connected.unwrap_err();
    assert_eq!((refusal.message.as_str(), refusal.data.unwrap().get()), ("first", r#"{"code":7}"#));
}
