//! Socket.IO v5: packets, argument arrays, attachments, namespaces, and the encoders of what the server sends.

pub mod args;
pub mod attachment;
pub mod auth;
pub mod event;
pub mod namespace;
pub mod packet;

pub use args::ArgsError;
pub use attachment::ATTACHMENTS_MAX;
pub use packet::{Packet, PacketData, PacketError};
