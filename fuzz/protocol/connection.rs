//! A whole connection: a script of what the client sends, the service answers and the clock says.

use bytes::Bytes;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_protocol::engine_io::payload::{PACKETS_PER_PAYLOAD_MAX, PayloadLimits, packets};
use vedfolnir_protocol::socket_io::namespace::NAMESPACES_MAX;
use vedfolnir_protocol::{CloseReason, Connection, ConnectionConfig, Event, Message, Packet};

/// Events that wait (up to 128 bytes each, of three bytes of a payload, in a queue that doubles), the table of
/// namespaces and the model's own, a packet under way with its attachments; texts of errors.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 256 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;

const CONFIG: ConnectionConfig = ConnectionConfig {
    ping_interval_ms: 25_000,
    ping_timeout_ms: 20_000,
    connect_timeout_ms: 45_000,
    attachments_max: 4,
    max_payload: 1_000,
};

/// What the connection must be found to be.
struct Model {
    connection: Connection,
    now_ms: u64,
    /// CONNECT came, and was not answered.
    waiting: Vec<Box<str>>,
    joined: Vec<Box<str>>,
    closed: Option<CloseReason>,
    /// Events are taken out at once, as a driver does; otherwise when a step says so.
    drains: bool,
}

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let connection = Connection::new(CONFIG, 0);
    let mut model =
        Model { connection, now_ms: 0, waiting: Vec::new(), joined: Vec::new(), closed: None, drains: true };
    while !input.is_empty() {
        model.step(&mut input);
        if model.drains {
            model.drain();
        }
        model.check();
    }
    model.drain();
    model.check();
}

impl Model {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(12) {
            0..=2 => {
                let text = Bytes::copy_from_slice(input.line());
                // The transport lets no other text through.
                if std::str::from_utf8(&text).is_ok()
                    && let Ok(packet) = Packet::from_websocket(Message::Text(text))
                {
                    self.take(packet);
                }
            }
            3 => {
                let bytes = Bytes::copy_from_slice(input.piece());
                self.take(Packet::Message(Message::Binary(bytes)));
            }
            4 => {
                let body = Bytes::copy_from_slice(input.piece());
                let limits = PayloadLimits { payload_bytes_max: 1_000, packets_max: PACKETS_PER_PAYLOAD_MAX };
                for packet in packets(body, limits).into_iter().flatten().map_while(Result::ok) {
                    self.take(packet);
                }
            }
            5 => self.now_ms += u64::from(input.short()),
            6 => {
                self.connection.handle_timeout(self.now_ms);
            }
            7 => self.accept(input.below(usize::from(u8::MAX))),
            8 => self.refuse(input.below(usize::from(u8::MAX))),
            9 => self.leave(input.below(usize::from(u8::MAX))),
            10 => self.drains = !self.drains,
            _ => {
                let first = self.connection.closed();
                let reason = self.connection.close(CloseReason::TransportClose);
                assert_eq!(reason, first.unwrap_or(CloseReason::TransportClose), "the first reason stands");
            }
        }
    }

    fn take(&mut self, packet: Packet) {
        let before = self.connection.closed();
        let taken = self.connection.handle_packet(self.now_ms, packet);
        assert_eq!(taken.err(), self.connection.closed(), "an error says that it has ended, and why");
        assert!(before.is_none() || before == self.connection.closed());
    }

    fn accept(&mut self, which: usize) {
        let Some(namespace) = nth(&mut self.waiting, which) else { return };
        let accepted = self.connection.connect_accepted(&namespace);
        assert_eq!(accepted, self.connection.closed().is_none());
        if accepted {
            self.joined.push(namespace);
        }
    }

    fn refuse(&mut self, which: usize) {
        let Some(namespace) = nth(&mut self.waiting, which) else { return };
        assert!(self.connection.connect_refused(&namespace));
    }

    fn leave(&mut self, which: usize) {
        // Only the driver that has taken every event knows who is joined.
        self.drain();
        let Some(namespace) = nth(&mut self.joined, which) else { return };
        assert!(self.connection.namespace_closed(&namespace));
        assert!(!self.connection.is_connected(&namespace));
    }

    fn drain(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            assert_eq!(self.closed, None, "an event after the end");
            match event {
                Event::Connect { namespace, .. } => self.waiting.push(namespace),
                Event::Event { namespace, attachments, .. } | Event::Ack { namespace, attachments, .. } => {
                    assert!(self.joined.contains(&namespace), "{namespace} is not joined");
                    assert!(attachments.len() <= CONFIG.attachments_max);
                }
                Event::Disconnect { namespace } => {
                    assert!(nth_named(&mut self.joined, &namespace).is_some(), "{namespace} is not joined");
                }
                Event::Closed(reason) => self.closed = Some(reason),
            }
        }
        assert_eq!(self.closed, self.connection.closed(), "the end is told once, and only then");
    }

    fn check(&mut self) {
        assert!(self.connection.namespaces().count() <= NAMESPACES_MAX);
        assert_eq!(self.connection.poll_timeout().is_none(), self.connection.closed().is_some());
        if self.drains {
            assert!(self.connection.namespaces().count() == self.joined.len());
        }
        let ping = self.connection.poll_transmit();
        assert!(ping.is_none() || self.connection.closed().is_none(), "a ping after the end");
        assert_eq!(self.connection.poll_transmit(), None);
    }
}

fn nth(names: &mut Vec<Box<str>>, which: usize) -> Option<Box<str>> {
    (!names.is_empty()).then(|| names.swap_remove(which % names.len()))
}

fn nth_named(names: &mut Vec<Box<str>>, name: &str) -> Option<Box<str>> {
    let at = names.iter().position(|known| **known == *name)?;
    Some(names.swap_remove(at))
}
