//! Publishes over the HTTP API: connections that are kept, one request under way on each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Clock, DRAIN_TIMEOUT};
use crate::args::HttpPublishArgs;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::{Figure, Report};
use crate::server::{Options, Target};

struct Shared {
    clock: Rc<Clock>,
    latency: RefCell<Histogram>,
    refused: Cell<u64>,
    first_refusal: RefCell<Option<String>>,
}

pub(super) async fn run(arguments: HttpPublishArgs) -> Result<Report, BenchError> {
    let HttpPublishArgs { target, clients, batch, keys, payload, span } = arguments;
    let label = target.label.clone();
    let target = Target::open_with(&target, &Options::default()).await?;
    let apis = target.apis();
    if apis.is_empty() {
        return Err(BenchError::Other("no node has an HTTP API: --bin PATH starts some that have".to_owned()));
    }
    let what = match batch {
        0 | 1 => format!("publishes of {payload} bytes over HTTP, one in a request"),
        batch => format!("publishes of {payload} bytes over HTTP, {batch} in a request"),
    };
    let keyed = if keys { ", each request under a key" } else { "" };
    let mut report = Report::new(&label, format!("{what}{keyed}, {clients} connections over {} nodes", apis.len()));
    let shared = Rc::new(Shared {
        clock: Clock::new(),
        latency: RefCell::default(),
        refused: Cell::new(0),
        first_refusal: RefCell::default(),
    });
    let mut connections = Vec::with_capacity(clients);
    for index in 0..clients {
        connections.push(Connection::open(&apis[index % apis.len()], index, batch, keys, payload).await?);
    }
    shared.clock.begin(span);
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let shared = Rc::clone(&shared);
            tokio::task::spawn_local(async move { connection.publish(&shared).await })
        })
        .collect();
    shared.clock.watch(&target, &mut report).await?;
    for task in tasks {
        match timeout(DRAIN_TIMEOUT, task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => report.broken.push(format!("a connection broke: {error}")),
            Ok(Err(error)) => return Err(BenchError::Other(error.to_string())),
            Err(_) => report.broken.push("a request got no answer".to_owned()),
        }
    }
    let latency = shared.latency.take();
    let per_second = latency.count() as f64 * batch.max(1) as f64 / span.seconds;
    report.figures.insert(0, Figure { name: "published".to_owned(), value: per_second, unit: "msg/s".to_owned() });
    report.latencies("latency of a request", &latency);
    if shared.refused.get() > 0 {
        let first = shared.first_refusal.take().unwrap_or_default();
        report.broken.push(format!("{} requests were refused, the first with {first}", shared.refused.get()));
    }
    target.close().await?;
    Ok(report)
}

/// A kept connection, and what it asks again and again.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    path: &'static str,
    body: Bytes,
    /// What its keys begin with; `None`: it has none.
    key: Option<String>,
    requests: u64,
}

impl Connection {
    async fn open(api: &str, index: usize, batch: usize, keys: bool, payload: usize) -> Result<Self, BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::Other(format!("{api}: {error}"));
        let host = api.strip_prefix("http://").unwrap_or(api).to_owned();
        let stream = TcpStream::connect(&host).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        tokio::task::spawn_local(async move {
            // It ends with the sender, or its requests say why.
            let _ = driver.await;
        });
        let one = format!("{{\"room\":\"nobody-{index}\",\"event\":\"m\",\"args\":[\"{}\"]}}", "x".repeat(payload));
        let (path, body) = match batch {
            0 | 1 => ("/api/v1/publish", one),
            batch => ("/api/v1/batch", format!("{{\"publishes\":[{}]}}", vec![one; batch].join(","))),
        };
        // Another run against the same servers has other keys.
        let key = keys.then(|| format!("bench-{}-{index}", std::process::id()));
        Ok(Self { sender, host, path, body: body.into(), key, requests: 0 })
    }

    async fn publish(&mut self, shared: &Shared) -> Result<(), BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::Other(error.to_string());
        while !shared.clock.is_over() {
            let mut request = Request::post(self.path)
                .header(header::HOST, &self.host)
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(key) = &self.key {
                request = request.header("Idempotency-Key", format!("{key}-{}", self.requests));
            }
            self.requests += 1;
            let request = request.body(Full::new(self.body.clone())).map_err(|error| failed(&error))?;
            let sent = shared.clock.now();
            let response = self.sender.send_request(request).await.map_err(|error| failed(&error))?;
            let status = response.status();
            let answer = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
            let now = shared.clock.now();
            // A batch is answered with 200 whatever becomes of its parts.
            if status != StatusCode::OK || answer.windows(9).any(|part| part == b"\"problem\"") {
                shared.refused.set(shared.refused.get() + 1);
                let text = || format!("{status} {}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
                shared.first_refusal.borrow_mut().get_or_insert_with(text);
            } else if shared.clock.is_measured(now) {
                shared.latency.borrow_mut().record(now.saturating_sub(sent));
            }
        }
        Ok(())
    }
}
