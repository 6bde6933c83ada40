//! The edge between real endpoints on loopback.
