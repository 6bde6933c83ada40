//! Engine.IO v4 and Socket.IO v5 as a server speaks them, sans-IO: bytes and milliseconds go in, events and bytes come out.
//!
//! ```text
//!   WebSocket frame ──► Packet::from_websocket ─┐                         ┌─► poll_event()    → the service
//!   polling body ─────► payload::Packets ───────┴─► Connection::handle_* ─┼─► poll_transmit() → pings
//!   a timer fires ────► Connection::handle_timeout ───────────────────────┘   poll_timeout()  → the next timer
//!
//!   socket_io::event::encode_* ──► bytes that are shared by every socket of a node
//! ```
//!
//! The driver's duties: hand in every received message in order; drain `poll_event` and `poll_transmit` after each
//! `handle_*`; call `handle_timeout` when `poll_timeout` has passed, after input that has already arrived was handed in
//! (a process that was frozen must read the waiting pong before it judges the client dead).
//!
//! Deliberately absent, so that a test owns everything: sockets, tasks, clocks, randomness, and any knowledge of Raft or
//! of other nodes. Transports (the upgrade, one poll at a time, close frames) belong to the service.
#![forbid(unsafe_code)]

pub mod ack;
pub mod close_reason;
pub mod connection;
pub mod engine_io;
pub mod offset;
#[cfg(feature = "planted-bugs")]
#[path = "../../chaos/planted/protocol.rs"]
mod planted;
pub mod socket_io;
pub mod timer;

pub use close_reason::CloseReason;
pub use connection::{Connection, ConnectionConfig, Event};
pub use engine_io::handshake::HandshakeError;
pub use engine_io::packet::{Message, Packet};
pub use engine_io::sid::{ENGINE_SID_LEN, ENGINE_SID_TAG_LEN, EngineSid};
pub use offset::{OffsetError, OffsetText, decode_offset, encode_offset};
pub use socket_io::auth::recovery_of;
pub use socket_io::event::{
    EncodedEvent, encode_ack, encode_connect, encode_connect_error, encode_disconnect, encode_event,
};

#[cfg(test)]
mod codec_properties_tests;
