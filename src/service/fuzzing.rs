//! Doors for the package fuzz: what other nodes' services ask, what clients ask for, and how WebSockets are read.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{forward, http, trace, vitals, websocket};

/// Another node's question, written again; `None`: it is none.
#[must_use]
pub fn question_again(header: &[u8]) -> Option<Bytes> {
    if trace::parse_header(header).is_some() || vitals::is_asked(header) {
        return Some(Bytes::copy_from_slice(header));
    }
    forward::parse_header(header).map(|(verb, sid)| forward::header(verb, &sid))
}

/// Another node's answer, written again, whatever it was.
#[must_use]
pub fn answer_again(answer: &Bytes) -> Bytes {
    match forward::parse_answer(answer) {
        Ok(body) => forward::granted(&body),
        Err(error) => forward::refused(error),
    }
}

/// `EIO`, `transport` and `sid` of a query.
#[must_use]
pub fn query(query: &str) -> [Option<&str>; 3] {
    let query = http::parse(query);
    [query.eio, query.transport, query.sid]
}

/// How WebSockets are read and written.
#[must_use]
pub fn framing(message_bytes_max: usize) -> WebSocketConfig {
    websocket::framing(message_bytes_max)
}

/// The code that a client is told when it does this.
#[must_use]
pub fn close_code(error: &Error) -> Option<CloseCode> {
    websocket::violated(error)
}
