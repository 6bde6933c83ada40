//! From polling to WebSocket: the probe, the client's word that it has moved, then the stream goes to the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use vedfolnir_protocol::{Message, Packet};

use super::Inner;
use super::link::{Link, Transport};
use super::polling::PollingRequest;
use super::websocket::{self, Stream, ws_message};

/// Probes. Whatever goes wrong closes this WebSocket only; the polling session goes on.
pub(crate) async fn probe(service: Arc<Inner>, link: Arc<Link>, mut stream: Stream) {
    // A session has one WebSocket: a second one is closed.
    let second = link.transport() == Transport::WebSocket || link.upgrading.swap(true, Ordering::AcqRel);
    let requests = link.requests().filter(|_| !second);
    let Some(requests) = requests else {
        websocket::goodbye(stream, None).await;
        return;
    };
    let (hand_over, receiver) = oneshot::channel();
    let probed = timeout(service.config.upgrade_timeout, async {
        if next(&mut stream).await? != Packet::Ping(bytes::Bytes::from_static(b"probe")) {
            return None;
        }
        let pong = Packet::Pong(bytes::Bytes::from_static(b"probe")).to_websocket();
        stream.send(ws_message(pong)).await.ok()?;
        // From here on polls are let return, so that the client can move.
        requests.send(PollingRequest::Upgrade(receiver)).await.ok()?;
        (next(&mut stream).await? == Packet::Upgrade).then_some(())
    })
    .await;
    let refused = match probed {
        Ok(Some(())) => hand_over.send(Box::new(stream)).err().map(|stream| *stream),
        Ok(None) | Err(_) => {
            drop(hand_over);
            Some(stream)
        }
    };
    if let Some(stream) = refused {
        link.upgrading.store(false, Ordering::Release);
        websocket::goodbye(stream, None).await;
    }
}

/// The next packet; `None` when the stream is over or says something else.
async fn next(stream: &mut Stream) -> Option<Packet> {
    loop {
        let message = match stream.next().await? {
            Ok(WsMessage::Text(text)) => Message::Text(text.into()),
            Ok(WsMessage::Binary(bytes)) => Message::Binary(bytes),
            Ok(WsMessage::Ping(_) | WsMessage::Pong(_)) => continue,
            Ok(WsMessage::Close(_) | WsMessage::Frame(_)) | Err(_) => return None,
        };
        return Packet::from_websocket(message).ok();
    }
}
