//! Engine.IO v4: packets, polling payloads, the handshake and its errors, session ids.

pub mod handshake;
pub mod packet;
pub mod payload;
pub mod sid;

pub use handshake::{HandshakeError, Hint, OpenPacket};
pub use packet::{Message, Packet, PacketError};
pub use payload::{PayloadEncoder, PayloadError, PayloadLimits};
pub use sid::{EngineSid, EngineSidError};
