//! Which request is refused with which code.

use HandshakeError::{BadHandshakeMethod, BadRequest, TransportUnknown, UnsupportedProtocolVersion};
use Transport::{Polling, WebSocket};

use super::*;

const BOTH: [Transport; 2] = [Polling, WebSocket];

#[test]
fn handshakes() {
    let table = [
        ("EIO=4&transport=polling", Method::GET, false, Ok(Polling)),
        ("EIO=4&transport=websocket&t=abc", Method::GET, true, Ok(WebSocket)),
        ("EIO=4", Method::GET, false, Err(TransportUnknown)),
        ("EIO=4&transport=webtransport", Method::GET, false, Err(TransportUnknown)),
        ("EIO=4&transport=polling", Method::POST, false, Err(BadHandshakeMethod)),
        ("EIO=3&transport=polling", Method::POST, false, Err(BadHandshakeMethod)),
        ("EIO=4&transport=websocket", Method::GET, false, Err(BadRequest)),
        ("EIO=4&transport=polling", Method::GET, true, Err(BadRequest)),
        ("EIO=3&transport=polling", Method::GET, false, Err(UnsupportedProtocolVersion)),
        ("transport=websocket", Method::GET, true, Err(UnsupportedProtocolVersion)),
    ];
    for (query, method, upgrades, expected) in table {
        let query = parse(query);
        let judged = judge_transport(&query, &BOTH)
            .and_then(|transport| judge_handshake(&query, transport, &method, upgrades).map(|()| transport));
        assert_eq!(judged, expected, "{query:?} {method} {upgrades}");
    }
    assert_eq!(judge_transport(&parse("transport=websocket"), &[Polling]), Err(TransportUnknown));
}

#[test]
fn requests_of_a_session() {
    let table = [
        (Polling, Polling, false, true),
        (WebSocket, Polling, true, true),
        (WebSocket, WebSocket, true, true),
        (Polling, WebSocket, false, false),
        (WebSocket, Polling, false, false),
        (WebSocket, WebSocket, false, false),
        (Polling, Polling, true, false),
    ];
    for (named, present, upgrades, fits) in table {
        let judged = judge_transport_of_session(named, present, upgrades);
        assert_eq!(judged.is_ok(), fits, "{named:?} {present:?} {upgrades}");
    }
}

#[test]
fn upgrades_are_told_by_both_headers_or_by_the_protocol_of_a_connect() {
    let request = |method: Method, pairs: &[(&'static str, &'static str)]| {
        let mut request = Request::builder().method(method);
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    };
    let both = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
    assert!(is_websocket_upgrade(&request(Method::GET, &both)));
    assert!(!is_websocket_upgrade(&request(Method::GET, &[("connection", "keep-alive"), ("upgrade", "websocket")])));
    assert!(!is_websocket_upgrade(&request(Method::GET, &[("connection", "upgrade")])));
    let mut connect = request(Method::CONNECT, &both);
    assert!(!is_websocket_upgrade(&connect), "headers of HTTP/1.1 mean nothing there");
    connect.extensions_mut().insert(Protocol::from_static("websocket"));
    assert!(is_websocket_upgrade(&connect));
    connect.extensions_mut().insert(Protocol::from_static("connect-udp"));
    assert!(!is_websocket_upgrade(&connect));
}

#[test]
fn a_websocket_s_key_is_sixteen_bytes() {
    assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
    for bad in [&b"test"[..], b"", b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25jZQAA"] {
        assert!(!is_key(bad), "{bad:?}");
    }
}
