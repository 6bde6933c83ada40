//! QUIC's own settings: time-outs, windows, stream limits, and the identity that survives a restart.

use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// Requests and streams that a peer may have open at once on a connection: as many polls of clients that came to the
/// wrong node may wait.
pub(super) const STREAMS_MAX: u32 = 16_384;
/// Streams in one direction: the volatile one, and what remains of earlier ones.
const VOLATILE_STREAMS_MAX: u32 = 8;
/// Without any packet for this long a connection is over.
const IDLE_MS_MAX: u32 = 5_000;
/// An idle connection is kept alive, and found to be dead, this often.
const KEEP_ALIVE: Duration = Duration::from_millis(1_500);
/// Before the first measurement. Small: a lost first packet is sent again after three times as long.
const INITIAL_RTT: Duration = Duration::from_millis(20);
/// A packet is lost when it is not acknowledged this many round trips later. QUIC's own thresholds, an eighth more than one
/// round trip and three later packets, take packets that were merely overtaken for lost and shrink the window at each of them:
/// on a line whose delay varies, down to two packets for each round trip, less than what the log needs.
const LOST_AFTER_ROUND_TRIPS: f32 = 2.0;
/// Later packets that overtake one without its being lost: no fewer than come within two round trips.
const OVERTAKING_PACKETS_MAX: u32 = 10_000;
/// Bytes of one stream that may wait to be read: the most that a stalled reader holds.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes of all streams of a connection, sent or received, that may wait. Several times a stream's window, so that a
/// stalled snapshot leaves room for heartbeats.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
const CID_BYTES: usize = 8;

pub(super) fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(VOLATILE_STREAMS_MAX))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS_MAX))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .time_threshold(LOST_AFTER_ROUND_TRIPS)
        .packet_threshold(OVERTAKING_PACKETS_MAX)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        // Nobody uses datagrams.
        .datagram_receive_buffer_size(None);
    transport
}

/// A process that was killed leaves its peers with connections that it knows nothing of after its restart. QUIC lets
/// it say so (a stateless reset) if the key behind the reset tokens is the same as before; so the key is derived from
/// what survives a restart instead of being drawn at each start.
pub(super) fn endpoint_config(reset_secret: &[u8]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset_secret)));
    config.cid_generator(|| Box::new(RandomCids { random: SystemRandom::new() }));
    config
}

/// Connection ids without a check value of this process in them: packets of an earlier life must be answered with a
/// reset, not discarded as invalid.
struct RandomCids {
    random: SystemRandom,
}

impl ConnectionIdGenerator for RandomCids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; CID_BYTES];
        // On failure: an id that is taken already, which quinn notices and asks again.
        let _ = self.random.fill(&mut bytes);
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
