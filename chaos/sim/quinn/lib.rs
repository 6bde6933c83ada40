//! quinn's interface over the simulator's links, as far as the cluster uses it.
//!
//! Settings and errors are quinn's own types; endpoints, connections and streams are simulated. A stream is a
//! sequence of bytes that never loses, doubles or reorders anything, as QUIC's is; streams are independent of each
//! other. What is on a cut link waits and is sent again, each time after a longer pause; a connection that hears
//! nothing for five seconds is over; a peer that was killed says nothing, and one that was started again resets what
//! it does not know.

mod connection;
mod endpoint;
mod stream;
mod wire;

pub use quinn::*;

pub use connection::Connection;
pub use endpoint::{Connecting, Endpoint, Incoming, Socket};
pub use stream::{RecvStream, SendStream};
