//! A client's WebSocket, as thin as one core's load allows.
//!
//! Reads go through one buffer that all connections of the thread share; only a frame that is cut in two is kept.
//! Frames are parsed where they lie, with tungstenite's header codec. The mask is zero: a server unmasks all the same,
//! and the client need not touch each byte.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::tls::Stream;
use super::{BadUrl, LinkError};

/// Bytes that one read takes at most.
const READ_BYTES_MAX: usize = 64 << 10;
/// A server that sends a longer frame is not one of ours.
const FRAME_BYTES_MAX: u64 = 1 << 20;
/// The answer to an upgrade is shorter than this.
const RESPONSE_BYTES_MAX: usize = 8 << 10;
/// A kept remainder larger than this is given back to the allocator once it is empty.
const REMAINDER_BYTES_KEPT_MAX: usize = 4 << 10;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As it was given.
    pub url: String,
    authority: String,
    tls: bool,
    /// Members of the CONNECT's auth object, beyond what a resume needs.
    pub auth: serde_json::Map<String, serde_json::Value>,
}

impl Endpoint {
    /// Without TLS, without anything to say of oneself.
    #[must_use]
    pub fn at(address: std::net::SocketAddr) -> Self {
        let auth = serde_json::Map::new();
        Self { url: format!("http://{address}"), authority: address.to_string(), tls: false, auth }
    }

    /// `http://`, `https://`, `ws://`, `wss://` or nothing before HOST:PORT.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        let secure = url.strip_prefix("https://").or_else(|| url.strip_prefix("wss://"));
        let plain = url.strip_prefix("http://").or_else(|| url.strip_prefix("ws://"));
        let authority = secure.or(plain).unwrap_or(url).trim_end_matches('/');
        match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => Ok(Self {
                url: url.to_owned(),
                authority: authority.to_owned(),
                tls: secure.is_some(),
                auth: serde_json::Map::new(),
            }),
            _ => Err(BadUrl(url.to_owned())),
        }
    }
}

/// Frames on their way out.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Queues one text frame.
    pub fn text(&mut self, payload: &[u8]) {
        self.frame(OpCode::Data(Data::Text), payload);
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        let header = FrameHeader { opcode, mask: Some([0; 4]), ..FrameHeader::default() };
        // Writing a header to a vector cannot fail.
        let _ = header.format(payload.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(payload);
    }
}

/// An open WebSocket.
pub struct Link {
    stream: Stream,
    /// What was read and is not a whole frame yet.
    remainder: Vec<u8>,
    /// Whether the remainder may hold whole frames after all: what came with the answer to the upgrade.
    unread: bool,
    /// What the next flush sends.
    pub outbox: Outbox,
}

impl Link {
    /// Connects and upgrades.
    ///
    /// # Errors
    /// Nobody is there, or refuses.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, LinkError> {
        let stream = Stream::connect(&endpoint.authority, endpoint.tls).await?;
        let mut link = Self { stream, remainder: Vec::new(), unread: false, outbox: Outbox::default() };
        let key = generate_key();
        link.outbox.bytes.extend_from_slice(
            format!(
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
                endpoint.authority
            )
            .as_bytes(),
        );
        link.flush().await?;
        let end = loop {
            if let Some(end) = link.remainder.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if link.remainder.len() > RESPONSE_BYTES_MAX {
                return Err(LinkError::Protocol("the answer to the upgrade does not end".to_owned()));
            }
            let Self { stream, remainder, .. } = &mut link;
            poll_fn(|context| {
                poll_read(stream, context, |read| {
                    remainder.extend_from_slice(read);
                    Ok(())
                })
            })
            .await?;
        };
        let head = String::from_utf8_lossy(&link.remainder[..end]).into_owned();
        let accept = derive_accept_key(key.as_bytes());
        if !head.starts_with("HTTP/1.1 101") || !head.contains(&accept) {
            let status = head.lines().next().unwrap_or_default();
            let body = String::from_utf8_lossy(&link.remainder[end..]).into_owned();
            return Err(LinkError::Refused(format!("{status} {body}")));
        }
        link.remainder.drain(..end);
        link.unread = !link.remainder.is_empty();
        Ok(link)
    }

    /// Ends the connection as a client does that loses its network: no close frame, and a reset instead of a goodbye, so
    /// that this machine does not keep the port for a minute.
    ///
    /// # Errors
    /// The system refuses to set it.
    pub fn vanish(self) -> Result<(), LinkError> {
        Ok(self.stream.vanish()?)
    }

    /// Waits for data, hands every whole text frame to `each`, and sends what that queued. Cancel-safe.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub async fn receive(
        &mut self,
        mut each: impl FnMut(&[u8], &mut Outbox) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        self.flush().await?;
        let Self { stream, remainder, unread, outbox } = self;
        if std::mem::take(unread) {
            let used = frames(remainder, outbox, &mut each)?;
            remainder.drain(..used);
        } else {
            poll_fn(|context| {
                poll_read(stream, context, |read| {
                    if remainder.is_empty() {
                        let used = frames(read, outbox, &mut each)?;
                        remainder.extend_from_slice(&read[used..]);
                    } else {
                        remainder.extend_from_slice(read);
                        let used = frames(remainder, outbox, &mut each)?;
                        remainder.drain(..used);
                    }
                    Ok(())
                })
            })
            .await?;
        }
        if self.remainder.is_empty() && self.remainder.capacity() > REMAINDER_BYTES_KEPT_MAX {
            self.remainder = Vec::new();
        }
        self.flush().await
    }

    /// Sends what is queued. Cancel-safe: what was sent is remembered.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        if self.outbox.bytes.is_empty() {
            return Ok(());
        }
        while self.outbox.sent < self.outbox.bytes.len() {
            let Outbox { bytes, sent } = &mut self.outbox;
            let written = poll_fn(|context| Pin::new(&mut self.stream).poll_write(context, &bytes[*sent..])).await?;
            if written == 0 {
                return Err(LinkError::Closed);
            }
            *sent += written;
        }
        // What TLS has not written yet.
        poll_fn(|context| Pin::new(&mut self.stream).poll_flush(context)).await?;
        self.outbox.bytes.clear();
        self.outbox.sent = 0;
        Ok(())
    }
}

fn poll_read(
    stream: &mut Stream,
    context: &mut Context<'_>,
    read: impl FnOnce(&[u8]) -> Result<(), LinkError>,
) -> Poll<Result<(), LinkError>> {
    READ_BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        match ready!(Pin::new(stream).poll_read(context, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Poll::Ready(Err(LinkError::Closed)),
            Ok(()) => Poll::Ready(read(buffer.filled())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Poll::Ready(Err(LinkError::Closed)),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    })
}

/// Handles the whole frames that `bytes` starts with and says how many bytes they are.
fn frames(
    bytes: &[u8],
    outbox: &mut Outbox,
    each: &mut impl FnMut(&[u8], &mut Outbox) -> Result<(), LinkError>,
) -> Result<usize, LinkError> {
    let mut used = 0;
    loop {
        let mut cursor = Cursor::new(&bytes[used..]);
        let header = FrameHeader::parse(&mut cursor).map_err(|error| LinkError::Protocol(error.to_string()))?;
        let Some((header, length)) = header else { return Ok(used) };
        if length > FRAME_BYTES_MAX || header.mask.is_some() || !header.is_final {
            return Err(LinkError::Protocol(format!("frame of {length} bytes, masked or cut: {header:?}")));
        }
        let start = used + cursor.position() as usize;
        let end = start + length as usize;
        let Some(payload) = bytes.get(start..end) else { return Ok(used) };
        match header.opcode {
            OpCode::Data(Data::Text) => each(payload, outbox)?,
            OpCode::Control(Control::Ping) => outbox.frame(OpCode::Control(Control::Pong), payload),
            OpCode::Control(Control::Pong) => {}
            OpCode::Control(Control::Close) => return Err(LinkError::Closed),
            other => return Err(LinkError::Protocol(format!("unexpected frame: {other:?}"))),
        }
        used = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for good in ["http://127.0.0.1:5000", "ws://localhost:1", "127.0.0.1:80", "http://[::1]:5000/"] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "http://", "http://host", "http://host:x", "http://host:1/path", "http://:5"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    /// Frames as a server writes them.
    fn served(texts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in texts {
            let header = FrameHeader { opcode: OpCode::Data(Data::Text), mask: None, ..FrameHeader::default() };
            header.format(text.len() as u64, &mut bytes).unwrap();
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn whole_frames_are_taken_wherever_they_are_cut() {
        let long = "x".repeat(70_000);
        let texts = ["2", "", "42[\"m\"]", long.as_str(), "6"];
        let bytes = served(&texts);
        for cut in (0..200).chain([bytes.len() - 4, bytes.len() - 1, bytes.len()]) {
            let mut seen: Vec<String> = Vec::new();
            let mut outbox = Outbox::default();
            let mut each = |text: &[u8], _: &mut Outbox| {
                seen.push(String::from_utf8(text.to_vec()).unwrap());
                Ok(())
            };
            let used = frames(&bytes[..cut], &mut outbox, &mut each).unwrap();
            let rest = frames(&bytes[used..], &mut outbox, &mut each).unwrap();
            assert_eq!(used + rest, bytes.len(), "{cut}");
            assert_eq!(seen, texts, "{cut}");
        }
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        let mut outbox = Outbox::default();
        outbox.text(b"masked");
        let masked = std::mem::take(&mut outbox.bytes);
        let mut each = |_: &[u8], _: &mut Outbox| Ok(());
        assert!(matches!(frames(&masked, &mut outbox, &mut each), Err(LinkError::Protocol(_))));
        assert!(matches!(frames(&[0x88, 0], &mut outbox, &mut each), Err(LinkError::Closed)));
        assert!(matches!(
            frames(&[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0], &mut outbox, &mut each),
            Err(LinkError::Protocol(_))
        ));
    }

    #[test]
    fn a_ping_is_answered() {
        let mut outbox = Outbox::default();
        let used = frames(&[0x89, 2, b'h', b'i'], &mut outbox, &mut |_, _| Ok(())).unwrap();
        assert_eq!((used, outbox.bytes.as_slice()), (4, &[0x8a, 0x82, 0, 0, 0, 0, b'h', b'i'][..]));
    }
}
