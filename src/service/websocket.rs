//! A connection on WebSocket: one task reads, lets the session work, and writes everything queued before one flush.

use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame as WsFrame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use vedfolnir_protocol::{CloseReason, Message, Packet};

use super::config::ServiceConfig;
use super::driver::Session;
use super::io::Io;
use super::link::CloseCause;
use super::outbox::{Frame, OnWritten};
use super::stats::ServiceStats;

/// Read at once from the socket; memory of every idle connection follows it.
const READ_BUFFER_BYTES: usize = 1 << 10;
/// Written to the socket once this much is gathered.
const WRITE_BUFFER_BYTES: usize = 4 << 10;
/// Gathered for one flush at most.
const BATCH_BYTES_MAX: usize = 128 << 10;
/// Read before the session writes again.
const FRAMES_PER_WAKE_MAX: usize = 64;
/// A batch's list that grew beyond this many frames is given back.
const BATCH_FRAMES_KEPT: usize = 64;
/// A closed connection is read to its end for this long, so that the close frame is not lost in a reset.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// The stream of a connection.
pub(crate) type Stream = WebSocketStream<Io>;

/// How a WebSocket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// For the session's own reason.
    Closed(CloseReason),
    /// The client does not speak WebSocket, or says more than it may at once.
    Violated(CloseCode),
}

/// How WebSockets are read and written; no message, whole or in fragments, is larger than this.
pub(super) fn framing(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

/// A WebSocket over a connection whose handshake is done; `read_ahead` was read behind it already.
pub(crate) async fn stream(io: Io, read_ahead: Vec<u8>, config: &ServiceConfig) -> Stream {
    let config = framing(config.max_http_buffer_size);
    if read_ahead.is_empty() {
        WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
    } else {
        WebSocketStream::from_partially_read(io, read_ahead, Role::Server, Some(config)).await
    }
}

/// A session and the WebSocket it is on. It is handed on in its box: an async function holds what it is given twice, and
/// every idle connection pays for it.
pub(crate) struct Connected {
    session: Session,
    stream: Stream,
}

impl Connected {
    pub(crate) fn new(session: Session, stream: Stream) -> Box<Self> {
        Box::new(Self { session, stream })
    }
}

/// Opens a session on a WebSocket and drives it to its end.
pub(crate) async fn open(mut connected: Box<Connected>) {
    let open = connected.session.open_packet().to_websocket();
    let patience = connected.session.service.config.connect_timeout;
    let sent = timeout(patience, connected.stream.send(ws_message(open))).await;
    if matches!(sent, Ok(Ok(()))) {
        drive(connected).await;
    }
}

/// Drives a session on a WebSocket to its end.
pub(crate) async fn drive(mut connected: Box<Connected>) {
    let Connected { session, stream } = &mut *connected;
    let end = run(session, stream).await;
    tracing::debug!(sid = ?session.sid, ?end, "WebSocket closed");
    session.release();
    let Connected { session, stream } = *connected;
    let told = session.link.close_cause().and_then(CloseCause::frame);
    drop(session);
    let frame = match end {
        End::Violated(code) => Some(violation(code)),
        End::Closed(_) => told.map(|(code, reason)| CloseFrame { code, reason: reason.into() }),
    };
    // In a box of its own, so that a connection that lives has no room set aside for its end.
    Box::pin(goodbye(stream, frame)).await;
}

async fn run(session: &mut Session, stream: &mut Stream) -> End {
    let mut batch: Vec<Frame> = Vec::new();
    let clock = sleep_until(session.deadline().unwrap_or_else(Instant::now));
    tokio::pin!(clock);
    loop {
        for _ in 0..FRAMES_PER_WAKE_MAX {
            if !session.may_read() {
                break;
            }
            let Some(frame) = stream.next().now_or_never() else {
                session.leave_if_quiet();
                break;
            };
            if let Err(end) = receive(session, frame) {
                return end;
            }
            session.advance();
        }
        session.advance();
        if let Some(reason) = session.closed() {
            // What was queued before the end, as a refusal, goes out; a fenced session's outbox is empty.
            session.collect(&mut batch, BATCH_BYTES_MAX);
            let _ = timeout(LINGER_MAX, write(&session.service.stats, stream, &mut batch)).await;
            return End::Closed(reason);
        }
        let more = session.collect(&mut batch, BATCH_BYTES_MAX);
        #[cfg(feature = "planted-bugs")]
        super::planted::written(&mut batch);
        if !batch.is_empty() {
            if let Err(end) = write_or_end(session, stream, &mut batch).await {
                return end;
            }
            if batch.capacity() > BATCH_FRAMES_KEPT {
                batch = Vec::new();
            }
        }
        if more || (session.has_backlog() && session.may_read()) {
            tokio::task::yield_now().await;
            continue;
        }
        arm(session, clock.as_mut());
        let reads = session.may_read();
        let link = std::sync::Arc::clone(&session.link);
        tokio::select! {
            biased;
            () = link.woken() => {}
            done = session.work_done() => session.finish(done),
            frame = stream.next(), if reads => {
                if let Err(end) = receive(session, frame) {
                    return end;
                }
            }
            () = clock.as_mut() => {
                // Input that has already arrived counts before the clock: a process that was frozen reads the waiting
                // pong first.
                while session.may_read() && let Some(frame) = stream.next().now_or_never() {
                    if let Err(end) = receive(session, frame) {
                        return end;
                    }
                    session.advance();
                }
                session.handle_timeout();
            }
        }
    }
}

/// Sets the clock when it is later than needed, or has run out. A later need is seen when it fires.
fn arm(session: &Session, clock: std::pin::Pin<&mut Sleep>) {
    if let Some(deadline) = session.deadline()
        && (deadline < clock.deadline() || clock.is_elapsed())
    {
        clock.reset(deadline);
    }
}

/// Takes in what the stream gave.
fn receive(session: &mut Session, frame: Option<Result<WsMessage, Error>>) -> Result<(), End> {
    let message = match frame {
        Some(Ok(WsMessage::Text(text))) => Message::Text(text.into()),
        Some(Ok(WsMessage::Binary(bytes))) => Message::Binary(bytes),
        Some(Ok(WsMessage::Ping(bytes) | WsMessage::Pong(bytes))) => {
            session.spend(bytes.len());
            return Ok(());
        }
        Some(Ok(WsMessage::Frame(_))) => return Ok(()),
        Some(Ok(WsMessage::Close(_))) | None => return Err(End::Closed(session.close(CloseReason::TransportClose))),
        Some(Err(error)) => {
            let reason = session.close(CloseReason::TransportError);
            return Err(violated(&error).map_or(End::Closed(reason), End::Violated));
        }
    };
    match Packet::from_websocket(message) {
        Ok(packet) => {
            session.receive(packet);
            Ok(())
        }
        Err(_) => Err(End::Closed(session.close(CloseReason::ParseError))),
    }
}

/// The close code of what a client did (RFC 6455, section 7.4.1); `None`: the connection is over, there is nobody to tell.
pub(crate) const fn violated(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}

/// How a client is told; the code says it all.
pub(crate) const fn violation(code: CloseCode) -> CloseFrame {
    CloseFrame { code, reason: Utf8Bytes::from_static("") }
}

/// Writes, unless the session is to end, or the client takes nothing for longer than a dead one is given.
async fn write_or_end(session: &mut Session, stream: &mut Stream, batch: &mut Vec<Frame>) -> Result<(), End> {
    let patience = session.service.config.ping_interval + session.service.config.ping_timeout;
    let link = std::sync::Arc::clone(&session.link);
    let reason = tokio::select! {
        biased;
        written = write(&session.service.stats, stream, batch) => match written {
            Ok(()) => return Ok(()),
            Err(_) => CloseReason::TransportError,
        },
        cause = link.closing() => cause.reason(),
        () = sleep(patience) => CloseReason::PingTimeout,
    };
    Err(End::Closed(session.close(reason)))
}

async fn write(stats: &ServiceStats, stream: &mut Stream, batch: &mut Vec<Frame>) -> Result<(), Error> {
    stats.count_out(batch);
    let mut watchers = Vec::new();
    for frame in batch.drain(..) {
        for message in frame.messages() {
            stream.feed(ws_message(message)).await?;
        }
        watchers.extend(frame.into_watcher());
    }
    stream.flush().await?;
    watchers.into_iter().for_each(|OnWritten(tell)| tell());
    Ok(())
}

/// A message in its frame. The protocol's texts are UTF-8 already.
pub(crate) fn ws_message(message: Message) -> WsMessage {
    match message {
        Message::Text(text) => WsMessage::Frame(WsFrame::message(text, OpCode::Data(Data::Text), true)),
        Message::Binary(bytes) => WsMessage::Binary(bytes),
    }
}

/// Closes a WebSocket; without a code, unless a frame gives one. A peer that has closed it first is answered (RFC 6455,
/// section 5.5.1).
pub(crate) async fn goodbye(mut stream: Stream, frame: Option<CloseFrame>) {
    let closing = async {
        // The peer may be gone: there is nobody to tell then. Or it has closed: then this is refused, and the answer, which
        // the library has made already, goes out with the flush.
        let _ = stream.close(frame).await;
        let _ = stream.flush().await;
        let io = stream.get_mut();
        let _ = io.shutdown().await;
        let mut rest = [0; 512];
        while matches!(io.read(&mut rest).await, Ok(read) if read > 0) {}
    };
    let _ = timeout(LINGER_MAX, closing).await;
}
