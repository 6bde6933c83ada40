//! Floor 0a: what clients send, up to a whole connection.
#![no_main]
// What a target expects is what it checks.
#![allow(clippy::expect_used)]

mod args;
mod attachments;
mod auth;
mod connection;
mod engine_packet;
mod namespace;
mod offset;
mod payload;
mod sid;
mod socket_packet;

vedfolnir_fuzz::fuzz!(
    engine_packet,
    payload,
    sid,
    socket_packet,
    namespace,
    args,
    attachments,
    auth,
    offset,
    connection,
);
