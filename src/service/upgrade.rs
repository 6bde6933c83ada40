//! From polling to WebSocket: the probe, the client's word that it has moved, then the stream goes to the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use vedfolnir_protocol::{Message, Packet};

use super::Inner;
use super::link::{Link, Transport};
use super::polling::PollingRequest;
use super::stats::ServiceStats;
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
    let _counted = Counted::new(&service);
    let (hand_over, receiver) = oneshot::channel();
    let probed = timeout(service.config.upgrade_timeout, async {
        if next(&mut stream).await? != Packet::Ping(bytes::Bytes::from_static(b"probe")) {
            return Err(NOT_A_PROBE);
        }
        let pong = Packet::Pong(bytes::Bytes::from_static(b"probe")).to_websocket();
        stream.send(ws_message(pong)).await.map_err(|_| NOT_A_PROBE)?;
        // From here on polls are let return, so that the client can move.
        requests.send(PollingRequest::Upgrade(receiver)).await.map_err(|_| NOT_A_PROBE)?;
        if next(&mut stream).await? == Packet::Upgrade { Ok(()) } else { Err(NOT_A_PROBE) }
    })
    .await;
    let (refused, violated) = match probed.unwrap_or(Err(NOT_A_PROBE)) {
        Ok(()) => (hand_over.send(Box::new(stream)).err().map(|stream| *stream), NOT_A_PROBE),
        Err(violated) => {
            drop(hand_over);
            (Some(stream), violated)
        }
    };
    if let Some(stream) = refused {
        link.upgrading.store(false, Ordering::Release);
        websocket::goodbye(stream, violated.map(websocket::violation)).await;
    }
}

/// A probe, as long as it is one.
struct Counted(Arc<Inner>);

impl Counted {
    fn new(service: &Arc<Inner>) -> Self {
        ServiceStats::one(&service.stats.connections_upgrading_active);
        Self(Arc::clone(service))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ServiceStats::less(&self.0.stats.connections_upgrading_active);
    }
}

/// Why a probe ends whose client does speak WebSocket, or is gone: no code says it.
const NOT_A_PROBE: Option<CloseCode> = None;

/// The next packet; otherwise the close code, if the client is to be given one.
async fn next(stream: &mut Stream) -> Result<Packet, Option<CloseCode>> {
    loop {
        let message = match stream.next().await.ok_or(NOT_A_PROBE)? {
            Ok(WsMessage::Text(text)) => Message::Text(text.into()),
            Ok(WsMessage::Binary(bytes)) => Message::Binary(bytes),
            Ok(WsMessage::Ping(_) | WsMessage::Pong(_)) => continue,
            Ok(WsMessage::Close(_) | WsMessage::Frame(_)) => return Err(NOT_A_PROBE),
            Err(error) => return Err(websocket::violated(&error)),
        };
        return Packet::from_websocket(message).map_err(|_| NOT_A_PROBE);
    }
}
