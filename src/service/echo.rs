//! A WebSocket that says what it hears: for Autobahn's cases, in a build of its own (tests/autobahn.sh). Its handshake, frames
//! and close codes are those of every other WebSocket here.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message as WsMessage;
use vedfolnir_protocol::Message;

use super::websocket::{self, Stream};

/// The transport that a query asks for to be echoed.
pub(super) const TRANSPORT: &str = "echo";

/// Says what it hears, until one of the two ends it.
pub(super) async fn serve(mut stream: Stream) {
    let code = loop {
        let message = match stream.next().await {
            Some(Ok(WsMessage::Text(text))) => Message::Text(text.into()),
            Some(Ok(WsMessage::Binary(bytes))) => Message::Binary(bytes),
            Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_))) => continue,
            Some(Ok(WsMessage::Close(_))) | None => break None,
            Some(Err(error)) => break websocket::violated(&error),
        };
        if stream.send(websocket::ws_message(message)).await.is_err() {
            break None;
        }
    };
    websocket::goodbye(stream, code.map(websocket::violation)).await;
}
