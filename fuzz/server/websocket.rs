//! The bytes of a client's WebSocket behind its handshake, read as the service reads them.

use std::io::{self, Cursor, Read, Write};

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use tokio_tungstenite::tungstenite::{Error, Message};
use vedfolnir::service::fuzzing::{close_code, framing};
use vedfolnir_fuzz::Bound;

/// The read buffer of 1 KiB, which grows to a frame that is announced and allowed; a message under way and the copy that is
/// handed out; answers to pings.
pub const MEMORY: Bound = Bound { base_bytes: 16 << 10, bytes_per_input_byte: 16 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// A client that has said everything and takes every answer.
struct Client<'a>(Cursor<&'a [u8]>);

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(input: &[u8]) {
    let client = Client(Cursor::new(input));
    let mut socket = WebSocket::from_raw_socket(client, Role::Server, Some(framing(MESSAGE_BYTES_MAX)));
    let mut taken = 0;
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "a text is UTF-8");
                taken += judge(text.len());
            }
            Ok(Message::Binary(bytes)) => taken += judge(bytes.len()),
            Ok(Message::Ping(bytes) | Message::Pong(bytes)) => assert!(bytes.len() <= 125, "RFC 6455, section 5.5"),
            Ok(Message::Close(_) | Message::Frame(_)) => {}
            Err(error) => {
                // The service's task ends with the first error.
                let _ = close_code(&error);
                assert!(!matches!(error, Error::AlreadyClosed), "read on after its end");
                break;
            }
        }
    }
    assert!(taken <= input.len(), "more was said than is there");
}

fn judge(message_bytes: usize) -> usize {
    assert!(message_bytes <= MESSAGE_BYTES_MAX);
    message_bytes
}
