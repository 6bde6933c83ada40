//! The QUIC edge.
