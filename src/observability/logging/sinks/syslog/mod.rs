//! Syslog: RFC 5424 (or RFC 3164) over UDP (RFC 5426), TCP with octet counting (RFC 6587), TLS (RFC 5425), or the socket of
//! the machine's own syslog.

mod connection;
mod message;
mod server;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::super::line::Line;
use super::super::notices::Complaints;
use super::super::queue::Batching;
use super::super::stats::{SinkStats, add};
use super::super::worker::Sink;
use crate::observability::outbound::Backoff;
use connection::Connection;
pub(crate) use message::Origin;
pub use message::{Facility, FacilityError, SyslogFormat};
pub use server::{SyslogServer, SyslogServerError, Transport};

/// Bytes of a datagram: what rsyslog and syslog-ng take unless told otherwise. A longer record is sent in its brief form.
pub const UDP_BYTES_MAX: usize = 8 << 10;

const RECONNECT_FIRST: Duration = Duration::from_millis(250);
const RECONNECT_LONGEST: Duration = Duration::from_secs(30);

/// A syslog receiver.
#[derive(Clone, Debug)]
pub struct SyslogConfig {
    /// Where it is.
    pub server: SyslogServer,
    /// How messages look.
    pub format: SyslogFormat,
    /// What they are filed under.
    pub facility: Facility,
    /// The machine's name in them.
    pub host_name: String,
    /// Needed for TLS: see [`client_tls`](super::tls::client_tls).
    pub tls: Option<Arc<ClientConfig>>,
}

/// See the module.
pub(crate) struct Syslog {
    server: SyslogServer,
    origin: Origin,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<Connection>,
    backoff: Backoff,
    random: fn() -> u64,
    stats: Arc<SinkStats>,
    complaints: Complaints,
    buffer: Vec<u8>,
}

impl Syslog {
    pub(crate) fn new(
        config: &SyslogConfig,
        random: fn() -> u64,
        stats: Arc<SinkStats>,
        complaints: Complaints,
    ) -> Self {
        let is_local = matches!(config.server.transport, Transport::Unix);
        Self {
            server: config.server.clone(),
            origin: Origin::new(&config.host_name, config.facility, config.format, is_local),
            tls: config.tls.clone(),
            connection: None,
            backoff: Backoff::new(RECONNECT_FIRST, RECONNECT_LONGEST),
            random,
            stats,
            complaints,
            buffer: Vec::new(),
        }
    }

    /// Sends lines from the front until one fails.
    fn send(&mut self, lines: &mut VecDeque<Line>) -> std::io::Result<()> {
        if self.connection.as_mut().is_some_and(Connection::is_stale) {
            self.connection = None;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(Connection::open(&self.server, self.tls.as_ref())?),
        };
        if !connection.is_stream() {
            while let Some(line) = lines.front() {
                self.buffer.clear();
                self.origin.write(&mut self.buffer, line, UDP_BYTES_MAX);
                connection.send(&self.buffer)?;
                self.stats.wrote(1, self.buffer.len());
                lines.pop_front();
            }
            return Ok(());
        }
        // One write for the batch. Where it fails nobody knows which of it arrived: all of it is sent again, because a line
        // twice is better than a line lost.
        self.buffer.clear();
        for line in lines.iter() {
            let mut message = Vec::new();
            self.origin.write(&mut message, line, usize::MAX);
            self.buffer.extend_from_slice(message.len().to_string().as_bytes());
            self.buffer.push(b' ');
            self.buffer.append(&mut message);
        }
        connection.send(&self.buffer)?;
        self.stats.wrote(lines.len() as u64, self.buffer.len());
        lines.clear();
        Ok(())
    }
}

impl Sink for Syslog {
    fn batching(&self) -> Batching {
        Batching { lines_max: 256, bytes_max: 128 << 10, ..super::LOCAL_BATCHING }
    }

    fn write(&mut self, lines: &mut VecDeque<Line>) -> Option<Duration> {
        match self.send(lines) {
            Ok(()) => {
                self.backoff.worked();
                self.complaints.recovered();
                None
            }
            Err(error) => {
                self.connection = None;
                add(&self.stats.errors, 1);
                self.complaints.complain(&format!("{}: {error}", self.server), 0);
                Some(self.backoff.failed((self.random)()))
            }
        }
    }
}

#[cfg(test)]
#[path = "syslog_tests.rs"]
mod tests;
