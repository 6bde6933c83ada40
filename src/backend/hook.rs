//! One URL of the backend: signed requests, few enough at once, answered with a JSON object in time or not at all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::BackendConfig;
use super::stats::{BackendStats, HookKind, Outcome};
use crate::api::{Fields, Problem};
use crate::http_client::{AddressRule, ClientSettings, HttpClient, HttpError, Signer};
use crate::observability::log::random;
use crate::security::endpoint::Endpoint;
use crate::security::guard::unix_now;

/// Bytes of a backend's answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Requests that wait for each one that may be under way; who comes while there are so many is told so.
const WAITING_PER_REQUEST: usize = 8;
/// What could not be sent is tried again after these waits: a backend that restarts is back by then, or is away.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// Failures are logged at most this often, with how many were not.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Why the backend has not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot be reached, or what stands before it says so.
    Unavailable(String),
    /// It did not answer in time: it may have taken the request, or not.
    Timeout(Duration),
    /// It answered something else than it may.
    BadResponse(String),
    /// Too many requests are under way; it was not asked.
    Overloaded,
}

impl Failure {
    /// The stable code that clients see.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "backend_unavailable",
            Self::Timeout(_) => "backend_timeout",
            Self::BadResponse(_) => "backend_bad_response",
            Self::Overloaded => "backend_overloaded",
        }
    }

    /// For clients: nothing about who and where the backend is.
    pub(super) const fn told(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "the backend cannot be reached",
            Self::Timeout(_) => "the backend has not answered in time",
            Self::BadResponse(_) => "the backend has answered something that is no answer",
            Self::Overloaded => "too many requests to the backend are under way; try again later",
        }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Unavailable(_) => Outcome::Unavailable,
            Self::Timeout(_) => Outcome::Timeout,
            Self::BadResponse(_) => Outcome::BadResponse,
            Self::Overloaded => Outcome::Overloaded,
        }
    }
}

/// For operators.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) | Self::BadResponse(reason) => f.write_str(reason),
            Self::Timeout(timeout) => write!(f, "no answer within {} s", timeout.as_secs_f64()),
            Self::Overloaded => f.write_str("as many requests as may be are under way, and too many wait"),
        }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Timeout(timeout) => Self::Timeout(timeout),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// What is wrong with an answer, by its field.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::BadResponse(format!("its answer is not valid: {}", problem.detail()))
    }
}

/// Requests that may be under way at once, of all hooks together.
pub(super) struct Room {
    permits: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
    stats: Arc<BackendStats>,
}

/// A request that is under way.
struct UnderWay<'a> {
    _permit: SemaphorePermit<'a>,
    stats: &'a BackendStats,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.stats.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that waits for others to end.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    pub(super) fn new(requests_max: usize, stats: Arc<BackendStats>) -> Self {
        let waiting_max = requests_max.saturating_mul(WAITING_PER_REQUEST);
        Self { permits: Semaphore::new(requests_max), waiting: AtomicUsize::new(0), waiting_max, stats }
    }

    async fn enter(&self, within: Duration) -> Result<UnderWay<'_>, Failure> {
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&self.waiting);
                if before >= self.waiting_max {
                    return Err(Failure::Overloaded);
                }
                let permit = tokio::time::timeout(within, self.permits.acquire()).await;
                // It is never closed.
                permit.ok().and_then(Result::ok).ok_or(Failure::Overloaded)?
            }
        };
        self.stats.active.fetch_add(1, Ordering::Relaxed);
        Ok(UnderWay { _permit: permit, stats: &self.stats })
    }
}

/// See the module.
pub(super) struct Hook {
    kind: HookKind,
    client: HttpClient,
    timeout: Duration,
    signer: Arc<Signer>,
    room: Arc<Room>,
    stats: Arc<BackendStats>,
    ids: Ids,
    complaints: Complaints,
}

impl Hook {
    pub(super) fn new(
        kind: HookKind,
        endpoint: Endpoint,
        timeout: Duration,
        config: &BackendConfig,
        (signer, room, stats): (&Arc<Signer>, &Arc<Room>, &Arc<BackendStats>),
    ) -> Self {
        let rule = AddressRule {
            allow_private: config.allow_private,
            allow_public_plain: false,
            setting: "WEBSOCKET_BACKEND_ALLOW_PRIVATE",
        };
        let tls = config.tls.clone();
        let settings = ClientSettings { endpoint, tls, rule, idle_connections_max: config.requests_max };
        Self {
            kind,
            client: HttpClient::new(settings),
            timeout,
            signer: Arc::clone(signer),
            room: Arc::clone(room),
            stats: Arc::clone(stats),
            ids: Ids::default(),
            complaints: Complaints::default(),
        }
    }

    /// A name that no other request has, on any node.
    pub(super) fn id(&self) -> String {
        self.ids.next()
    }

    /// Does something that asks the backend; what comes of it is counted and, if it is a failure, told.
    pub(super) async fn counted<T>(&self, asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let began = Instant::now();
        let done = asking.await;
        let outcome = done.as_ref().map_or_else(Failure::outcome, |_| Outcome::Ok);
        self.stats.settled(self.kind, outcome, began.elapsed());
        if let Err(failure) = &done {
            self.complaints.complain(self.kind, self.client.endpoint(), failure);
        }
        done
    }

    /// Asks the backend; the fields of what it answers. It is sent once: again only while no connection to the backend
    /// could be made, under the same id.
    pub(super) async fn ask(&self, id: &str, body: Vec<u8>) -> Result<Fields, Failure> {
        let _under_way = self.room.enter(self.timeout).await?;
        let until = Instant::now() + self.timeout;
        let body = Bytes::from(body);
        let mut pauses = PAUSES.into_iter();
        let answer = loop {
            let left = until.saturating_duration_since(Instant::now());
            let headers = self.signer.headers(id, unix_now(), &body);
            match self.client.post(headers, body.clone(), ANSWER_BYTES_MAX, left).await {
                Ok(answer) => break answer,
                Err(HttpError::Timeout(_)) => return Err(Failure::Timeout(self.timeout)),
                Err(error @ HttpError::NotConnected(_)) => match pauses.next() {
                    Some(pause) if until.saturating_duration_since(Instant::now()) > pause => {
                        tokio::time::sleep(pause).await;
                    }
                    _ => return Err(error.into()),
                },
                Err(error) => return Err(error.into()),
            }
        };
        let status = answer.status;
        match status {
            StatusCode::NO_CONTENT => return Ok(Fields::none()),
            StatusCode::OK => {}
            // A balancer's words for a backend that is not there.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                return Err(Failure::Unavailable(format!("it answers {status}")));
            }
            status => return Err(Failure::BadResponse(format!("it answers {status}; accepted: 200, or 204"))),
        }
        let Some(body) = answer.body else {
            let reason = format!("its answer is larger than {ANSWER_BYTES_MAX} bytes, or broke off");
            return Err(Failure::BadResponse(reason));
        };
        if !answer.is_json {
            let reason = "its answer is not JSON; accepted: Content-Type: application/json";
            return Err(Failure::BadResponse(reason.to_owned()));
        }
        Ok(Fields::of(&body)?)
    }
}

/// Names of requests: random once for each hook of a process, and counted.
struct Ids {
    prefix: u64,
    next: AtomicU64,
}

impl Default for Ids {
    fn default() -> Self {
        Self { prefix: random(), next: AtomicU64::new(0) }
    }
}

impl Ids {
    fn next(&self) -> String {
        format!("{:016x}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Says failures, one line now and then.
#[derive(Default)]
struct Complaints {
    said: Mutex<Option<Instant>>,
    unsaid: AtomicU64,
}

impl Complaints {
    fn complain(&self, hook: HookKind, endpoint: &Endpoint, failure: &Failure) {
        let now = Instant::now();
        let mut said = self.said.lock();
        if said.is_some_and(|said| now.duration_since(said) < SAID_EVERY) {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *said = Some(now);
        drop(said);
        tracing::error!(
            event_type = "backend_failed",
            hook = hook.as_str(),
            %endpoint,
            error_code = failure.code(),
            error = %failure,
            unsaid = self.unsaid.swap(0, Ordering::Relaxed),
            "the backend has not decided"
        );
    }
}
