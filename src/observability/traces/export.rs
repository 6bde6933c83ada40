//! Sends spans: in batches, one after the other, each until it is taken or given up.
//!
//! A batch has at most [`BATCH_SPANS_MAX`] spans and is sent [`BATCH_AGE_MAX`] after its first span at the latest. 429, 502, 503
//! and 504 (OTLP 1.x, "Retryable Response Codes"), time-outs and broken connections are tried again with growing, jittered
//! waits, or when `Retry-After` says so; [`ATTEMPTS_MAX`] times. What happens meanwhile waits in a bounded queue.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::otlp::{self, Resource};
use super::span::Span;
use super::{TraceConfig, TraceStats};
use crate::observability::outbound::{Answer, Backoff, Client, ClientSettings, gzip, retry_after};
use crate::observability::server_id::host_name;

/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;
/// How long a span waits for others.
const BATCH_AGE_MAX: Duration = Duration::from_secs(1);
/// How often a batch is tried.
const ATTEMPTS_MAX: u32 = 5;
/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// When the node stops, what is left gets this long.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{0}")]
    Unreachable(String),
    #[error("it answers {status}")]
    NotNow { status: StatusCode, asked: Option<Duration> },
    #[error("it answers {0}")]
    Refused(StatusCode),
}

/// See the module.
pub(super) struct Export {
    client: Client,
    resource: Resource,
    stats: Arc<TraceStats>,
    random: fn() -> u64,
    /// Whether the receiver's troubles were said; once until it is well again.
    has_complained: bool,
}

impl Export {
    /// # Errors
    /// A header's value is none; it is not said in the error.
    pub(super) fn new(
        config: &TraceConfig,
        server_id: &str,
        stats: Arc<TraceStats>,
        random: fn() -> u64,
    ) -> io::Result<Self> {
        let mut headers = Vec::with_capacity(config.headers.len());
        for (name, value) in &config.headers {
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| {
                let reason = format!("the header {name} of traces has characters that no header takes");
                io::Error::new(io::ErrorKind::InvalidInput, reason)
            })?;
            value.set_sensitive(true);
            headers.push((name.clone(), value));
        }
        let own = [
            ("service.name", config.service_name.clone()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", server_id.to_owned()),
            ("host.name", host_name()),
        ];
        // What was set by hand comes first, and stands where it says something else.
        let is_set = |key: &str| config.resource.iter().any(|(set, _)| set == key);
        let own = own.into_iter().filter(|(key, _)| !is_set(key)).map(|(key, value)| (key.to_owned(), value));
        let resource = otlp::resource(config.resource.iter().cloned().chain(own));
        let client = Client::new(ClientSettings {
            endpoint: config.endpoint.clone(),
            content_type: "application/x-protobuf",
            headers,
            gzip: config.gzip,
            tls: config.tls.clone(),
            timeout: config.timeout,
        })?;
        Ok(Self { client, resource, stats, random, has_complained: false })
    }

    /// Sends until `stop`, and then what is left for a moment.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Box<Span>>, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let stopped = tokio::select! {
                () = gather(&mut queue, &mut batch) => batch.is_empty(),
                () = stop.cancelled() => true,
            };
            if stopped {
                break;
            }
            tokio::select! {
                () = self.send(&mut batch) => {}
                () = stop.cancelled() => break,
            }
        }
        queue.close();
        let rest = async {
            loop {
                while batch.len() < BATCH_SPANS_MAX
                    && let Ok(span) = queue.try_recv()
                {
                    batch.push(*span);
                }
                if batch.is_empty() {
                    return;
                }
                self.send(&mut batch).await;
            }
        };
        // Whoever stops a node does not wait for its traces.
        let _ = tokio::time::timeout(STOP_TIMEOUT, rest).await;
    }

    /// Sends a batch; it is empty then, whatever came of it. Dropped half-way it can be called again.
    async fn send(&mut self, batch: &mut Vec<Span>) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let body = Bytes::from(otlp::request(&self.resource, batch));
        for attempt in 1..=ATTEMPTS_MAX {
            let error = match self.attempt(&body).await {
                Ok(answer) => {
                    self.taken(batch.len() as u64, &answer);
                    batch.clear();
                    return;
                }
                Err(error) => error,
            };
            TraceStats::add(&self.stats.attempts_failed_total, 1);
            let asked = match &error {
                ExportError::NotNow { asked, .. } => *asked,
                _ => None,
            };
            if matches!(error, ExportError::Refused(_)) || attempt == ATTEMPTS_MAX {
                self.complain(batch.len() as u64, &error);
                TraceStats::add(&self.stats.refused_total, batch.len() as u64);
                batch.clear();
                return;
            }
            let wait = backoff.failed((self.random)());
            tokio::time::sleep(asked.map_or(wait, |asked| asked.min(RETRY_AFTER_MAX))).await;
        }
    }

    async fn attempt(&mut self, plain: &Bytes) -> Result<Bytes, ExportError> {
        let unreachable = |error: &dyn std::error::Error| ExportError::Unreachable(error.to_string());
        let body = if self.client.is_compressing() { gzip(plain).map_err(|e| unreachable(&e))? } else { plain.clone() };
        let answer = self.client.post(body).await.map_err(|error| unreachable(&error))?;
        let Answer { status, retry_after: header, body } = answer;
        match status {
            status if status.is_success() => Ok(body),
            StatusCode::UNSUPPORTED_MEDIA_TYPE if self.client.is_compressing() => {
                // It may be the coding that is not supported (RFC 9110, section 15.5.16). From now on without.
                self.client.stop_compressing();
                Err(ExportError::NotNow { status, asked: Some(Duration::ZERO) })
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(ExportError::NotNow {
                status,
                asked: header.and_then(|header| retry_after(&header, SystemTime::now())),
            }),
            status => Err(ExportError::Refused(status)),
        }
    }

    fn taken(&mut self, spans: u64, answer: &[u8]) {
        let rejected = otlp::rejected(answer);
        let refused = rejected.as_ref().map_or(0, |(count, _)| (*count).min(spans));
        TraceStats::add(&self.stats.exported_total, spans - refused);
        TraceStats::add(&self.stats.refused_total, refused);
        match rejected {
            Some((count, reason)) => self.complain(count, &reason),
            None => self.has_complained = false,
        }
    }

    fn complain(&mut self, spans: u64, reason: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.has_complained, true) {
            let endpoint = self.client.endpoint();
            tracing::warn!(
                event_type = "traces_not_delivered",
                %endpoint, spans, %reason,
                "the receiver of traces does not take them; more is counted in vedfolnir_trace_spans_total and not said"
            );
        }
    }
}

/// Waits for a first span, then for others until there are enough or it has waited long enough. What it has gathered is in
/// `batch`, also when it is dropped. Returns without any when nobody tells spans any more.
async fn gather(queue: &mut mpsc::Receiver<Box<Span>>, batch: &mut Vec<Span>) {
    if batch.is_empty() {
        match queue.recv().await {
            Some(span) => batch.push(*span),
            None => return,
        }
    }
    let more = async {
        while batch.len() < BATCH_SPANS_MAX
            && let Some(span) = queue.recv().await
        {
            batch.push(*span);
        }
    };
    let _ = tokio::time::timeout(BATCH_AGE_MAX, more).await;
}
