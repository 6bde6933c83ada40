//! Log lines over HTTP: NDJSON in batches, compressed, repeated until the receiver takes them or says that it never will.
//!
//! A batch has at most [`BATCH_BYTES_MAX`] bytes and [`BATCH_LINES_MAX`] lines and is sent [`BATCH_AGE_MAX`] after its first line at
//! the latest. 429, 408, 5xx, time-outs and broken connections are tried again with growing, jittered waits, or when
//! `Retry-After` says so; [`ATTEMPTS_MAX`] times, so that one poisonous batch does not stand in the way for good. After 413
//! the batch is halved, after 415 nothing is compressed any more. Everything else but 2xx is final: the batch is dropped and counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use rustls::ClientConfig;

use super::super::line::Line;
use super::super::notices::Complaints;
use super::super::queue::Batching;
use super::super::stats::{SinkStats, add};
use super::super::worker::Sink;
use crate::observability::outbound::{Answer, Backoff, Client, ClientSettings, gzip, retry_after};
use crate::security::endpoint::Endpoint;

/// Bytes of a batch before compression.
pub const BATCH_BYTES_MAX: usize = 1_000_000;
/// Lines of a batch.
pub const BATCH_LINES_MAX: usize = 5_000;
/// How long a line waits for others.
pub const BATCH_AGE_MAX: Duration = Duration::from_secs(1);
/// How often a batch is tried.
pub const ATTEMPTS_MAX: u32 = 10;
/// How long one attempt may take, from the connection to the answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait that a receiver may ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// A receiver of log lines over HTTP.
#[derive(Clone)]
pub struct HttpConfig {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it knows us by: `Authorization: Bearer …`.
    pub token: Option<String>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Needed for `https`: see [`client_tls`](super::tls::client_tls).
    pub tls: Option<Arc<ClientConfig>>,
    /// How long one attempt may take; [`REQUEST_TIMEOUT`] unless there is a reason.
    pub timeout: Duration,
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConfig")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("gzip", &self.gzip)
            .finish_non_exhaustive()
    }
}

/// See the module.
pub(crate) struct HttpSink {
    client: Client,
    /// Its own: whatever else stalls, this goes on.
    runtime: tokio::runtime::Runtime,
    backoff: Backoff,
    random: fn() -> u64,
    clock: fn() -> SystemTime,
    stats: Arc<SinkStats>,
    complaints: Complaints,
    /// Lines of the next attempt; fewer after the receiver found a batch too large.
    lines_max: usize,
}

impl HttpSink {
    /// # Errors
    /// The system gives no runtime, or the token is no header's value.
    pub(crate) fn new(
        config: &HttpConfig,
        random: fn() -> u64,
        clock: fn() -> SystemTime,
        stats: Arc<SinkStats>,
        complaints: Complaints,
    ) -> std::io::Result<Self> {
        let authorization = config.token.as_ref().map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                let reason = "the token of the log aggregation has characters that no header takes";
                std::io::Error::new(std::io::ErrorKind::InvalidInput, reason)
            })?;
            value.set_sensitive(true);
            Ok::<_, std::io::Error>((AUTHORIZATION, value))
        });
        let client = Client::new(ClientSettings {
            endpoint: config.endpoint.clone(),
            content_type: "application/x-ndjson",
            headers: authorization.transpose()?.into_iter().collect(),
            gzip: config.gzip,
            tls: config.tls.clone(),
            timeout: config.timeout,
        })?;
        Ok(Self {
            client,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            random,
            clock,
            stats,
            complaints,
            lines_max: BATCH_LINES_MAX,
        })
    }

    /// The first lines as a body, and how many they are; the second number is the body's length before compression.
    fn body(&self, lines: &VecDeque<Line>) -> std::io::Result<(Bytes, usize, usize)> {
        let (mut plain, mut count) = (Vec::new(), 0);
        for line in lines.iter().take(self.lines_max) {
            let text = line.json();
            if count > 0 && plain.len() + text.len() + 1 > BATCH_BYTES_MAX {
                break;
            }
            plain.extend_from_slice(text.as_bytes());
            plain.push(b'\n');
            count += 1;
        }
        let bytes = plain.len();
        if !self.client.is_compressing() {
            return Ok((plain.into(), bytes, count));
        }
        Ok((gzip(&plain)?, bytes, count))
    }

    /// The first lines are lost.
    fn drop_lines(&mut self, lines: &mut VecDeque<Line>, count: usize, reason: &str) {
        add(&self.stats.dropped, count as u64);
        lines.drain(..count);
        self.backoff.worked();
        self.complaints.complain(reason, count as u64);
    }

    /// Sends one batch from the front. `Err`: the wait before the next attempt.
    fn send(&mut self, lines: &mut VecDeque<Line>) -> Result<(), Duration> {
        let (body, bytes, count) = match self.body(lines) {
            Ok(made) => made,
            Err(error) => {
                let all = lines.len();
                self.drop_lines(lines, all, &error.to_string());
                return Ok(());
            }
        };
        let Answer { status, retry_after: header, .. } = match self.runtime.block_on(self.client.post(body)) {
            Ok(answer) => answer,
            Err(error) => return self.again(lines, count, &error.to_string(), None),
        };
        if status.is_success() {
            self.stats.wrote(count as u64, bytes);
            lines.drain(..count);
            self.backoff.worked();
            self.complaints.recovered();
            // After a receiver's complaint, batches grow again slowly.
            self.lines_max = self.lines_max.saturating_mul(2).min(BATCH_LINES_MAX);
            return Ok(());
        }
        let reason = format!("{} answered with {status}", self.client.endpoint());
        let is_temporary = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY);
        if is_temporary {
            let asked = header.and_then(|header| retry_after(&header, (self.clock)()));
            return self.again(lines, count, &reason, asked.map(|wait| wait.min(RETRY_AFTER_MAX)));
        }
        add(&self.stats.errors, 1);
        if status == StatusCode::PAYLOAD_TOO_LARGE && count > 1 {
            self.lines_max = count / 2;
            return Ok(());
        }
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE && self.client.is_compressing() {
            // RFC 9110, section 15.5.16: it may be the coding that is not supported. From now on without.
            self.client.stop_compressing();
            return Ok(());
        }
        self.drop_lines(lines, count, &reason);
        Ok(())
    }

    /// An attempt failed, and another may not.
    fn again(
        &mut self,
        lines: &mut VecDeque<Line>,
        count: usize,
        reason: &str,
        asked: Option<Duration>,
    ) -> Result<(), Duration> {
        add(&self.stats.errors, 1);
        if self.backoff.failures() + 1 >= ATTEMPTS_MAX {
            self.drop_lines(lines, count, reason);
            return Err(RETRY_LONGEST);
        }
        self.complaints.complain(reason, 0);
        let wait = self.backoff.failed((self.random)());
        // What the receiver asked for, and a little of our own, lest all nodes come back at once.
        Err(asked.map_or(wait, |asked| asked + wait.min(RETRY_FIRST)))
    }
}

impl Sink for HttpSink {
    fn batching(&self) -> Batching {
        Batching { lines_max: BATCH_LINES_MAX, bytes_max: BATCH_BYTES_MAX, linger: BATCH_AGE_MAX }
    }

    fn write(&mut self, lines: &mut VecDeque<Line>) -> Option<Duration> {
        while !lines.is_empty() {
            if let Err(wait) = self.send(lines) {
                return Some(wait);
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
