//! The QUIC edge between peers: requests, streams and volatile frames; it knows nothing of Raft or of the state.
//!
//! ```text
//!   Endpoint ─ peer(HOST:PORT) ─► Peer ── request ──► one stream in both directions: Request ► · ◄ Answer | Refusal
//!      │                           ├──── open_stream ► one stream in both directions: Stream ► Data ►► · ◄◄ Data
//!      │                           └──── send_volatile ► bounded queue ─► one stream in one direction: Volatile ►►
//!      └─ accepts ─► Hello checked (version, cluster) ─► Handler::{request, stream, volatile}
//! ```
//!
//! Each node dials its peers and is dialled by them: two connections for a pair, each used in one direction. What the
//! edge promises to the floor above:
//! - a connection that is broken, silent or of another life of the peer is dropped, and the next call dials anew;
//! - requests pass bulk streams, and those pass volatile frames;
//! - whatever a stranger sends ends in a closed connection and one line in the log.

mod client;
mod dial;
mod endpoint;
mod enrol;
mod error;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hello;
mod link;
mod named;
mod notices;
mod server;
#[cfg_attr(feature = "simulation", path = "../../chaos/sim/cluster/socket.rs")]
mod socket;
mod stream;
mod tls;
mod transport;
mod volatile;

#[cfg(test)]
mod tests;

pub use client::Peer;
pub use endpoint::{Endpoint, Lane, NetworkError};
pub use enrol::{EnrolError, enrol};
pub use error::RpcError;
pub use frame::{FRAME_BYTES_MAX, FrameError};
pub use hello::{Life, LocalIdentity, PeerIdentity, Unwelcome};
pub use named::{issued_to, node_uri};
pub use server::Handler;
pub use stream::{FrameReceiver, FrameSender};
pub(crate) use tls::SERVER_NAME;
pub use tls::{NetworkTls, TlsError};
pub use volatile::VOLATILE_QUEUE_BYTES_MAX;
