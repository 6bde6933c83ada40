//! The workloads, and what they share: the clock, the measured span, connecting many clients.

mod backend;
mod backup;
mod commands;
mod connect;
mod fanout;
mod floor;
mod handover;
mod http_publish;
mod large;
mod resume;
mod round_trip;
mod state;
mod telling;

use std::cell::Cell;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use vedfolnir_chaos::client::{Client, Endpoint, packet};

use crate::args::{SpanArgs, Verb};
use crate::error::BenchError;
use crate::report::Report;
use crate::server::{Target, Usage};

/// Handshakes at once, where connecting is not what is measured.
const HANDSHAKES_MAX: usize = 64;
/// How long answers may take once nothing new is sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Digits of a timestamp in a payload.
const STAMP_DIGITS: usize = 20;

pub(crate) async fn run(verb: Verb) -> Result<Report, BenchError> {
    match verb {
        Verb::Connect(arguments) => connect::run(arguments).await,
        Verb::Echo(arguments) => round_trip::echo(arguments).await,
        Verb::Backend(arguments) => backend::run(arguments).await,
        Verb::HttpPublish(arguments) => http_publish::run(arguments).await,
        Verb::Fanout(arguments) => fanout::run(arguments).await,
        Verb::Publish(arguments) => round_trip::publish(arguments).await,
        Verb::Resume(arguments) => resume::run(arguments).await,
        Verb::Handover(arguments) => handover::run(arguments).await,
        Verb::Large(arguments) => large::run(arguments).await,
        Verb::State(arguments) => state::run(&arguments),
        Verb::Telling(arguments) => telling::run(&arguments).await,
        Verb::Commands(arguments) => commands::run(arguments).await,
        Verb::Floor(arguments) => floor::run(arguments).await,
        Verb::Table(_) | Verb::Child(_) => Err(BenchError::Other("this is not a workload".to_owned())),
    }
}

/// Nanoseconds since the run began, and which of them are measured.
struct Clock {
    origin: Instant,
    from: Cell<u64>,
    until: Cell<u64>,
}

impl Clock {
    fn new() -> Rc<Self> {
        Rc::new(Self { origin: Instant::now(), from: Cell::new(u64::MAX), until: Cell::new(u64::MAX) })
    }

    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> u64 {
        // Runs last minutes, nanoseconds last centuries.
        instant.saturating_duration_since(self.origin).as_nanos() as u64
    }

    /// Fixes the measured span: after a warm-up that begins now.
    fn begin(&self, span: SpanArgs) {
        let from = self.now() + (span.warm_up * 1e9) as u64;
        self.from.set(from);
        self.until.set(from + (span.seconds * 1e9) as u64);
    }

    fn is_measured(&self, at: u64) -> bool {
        (self.from.get()..self.until.get()).contains(&at)
    }

    fn is_over(&self) -> bool {
        self.now() >= self.until.get()
    }

    async fn sleep_until(&self, nanos: u64) {
        tokio::time::sleep_until((self.origin + Duration::from_nanos(nanos)).into()).await;
    }

    /// Waits for the measured span to pass and reports how busy both sides were in it.
    async fn watch(&self, target: &Target, report: &mut Report) -> Result<(), BenchError> {
        self.sleep_until(self.from.get()).await;
        let (servers_before, own_before) = (target.usage()?, Usage::own()?);
        self.sleep_until(self.until.get()).await;
        let servers = servers_before.zip(target.usage()?);
        report.usage(servers, (own_before, Usage::own()?));
        Ok(())
    }
}

/// Connects `count` clients, spread evenly, and prepares each.
async fn connect_each<T, F>(
    endpoints: &[Endpoint],
    count: usize,
    at_once: usize,
    prepare: impl Fn(usize, Client) -> F,
) -> Result<Vec<T>, BenchError>
where
    F: Future<Output = Result<T, vedfolnir_chaos::client::LinkError>>,
{
    let prepare = &prepare;
    stream::iter(0..count)
        .map(|index| async move {
            let endpoint = &endpoints[index % endpoints.len()];
            let failed = |source| BenchError::Connect { url: endpoint.url.clone(), source };
            let client = Client::connect(endpoint).await.map_err(failed)?;
            prepare(index, client).await.map_err(failed)
        })
        .buffer_unordered(at_once.max(1))
        .try_collect()
        .await
}

/// A directory of its own that goes when the run is over.
fn temporary(under: Option<&Path>) -> Result<TempDir, BenchError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("vedfolnir-bench-");
    Ok(match under {
        Some(under) => builder.tempdir_in(under)?,
        None => builder.tempdir()?,
    })
}

/// A payload of `length` characters that begins with a timestamp.
fn stamped(out: &mut Vec<u8>, now: u64, length: usize) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "\"{now:0digits$}", digits = STAMP_DIGITS);
    out.resize(out.len() + length.saturating_sub(STAMP_DIGITS), b'x');
    out.push(b'"');
}

/// The timestamp of such a payload.
fn stamp(payload: &[u8]) -> Option<u64> {
    packet::number(packet::string(payload)?.get(..STAMP_DIGITS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again() {
        let mut out = Vec::new();
        stamped(&mut out, 1_234_567, 64);
        assert_eq!(out.len(), 66);
        assert_eq!(stamp(&out), Some(1_234_567));
        assert_eq!(stamp(b"\"short\""), None);
        assert_eq!(stamp(b"12"), None);
    }

    #[test]
    fn only_the_span_is_measured() {
        let clock = Clock::new();
        assert!(!clock.is_measured(clock.now()) && !clock.is_over());
        clock.begin(SpanArgs { seconds: 1.0, warm_up: 0.5 });
        let (from, until) = (clock.from.get(), clock.until.get());
        assert_eq!(until - from, 1_000_000_000);
        assert!(!clock.is_measured(from - 1) && clock.is_measured(from));
        assert!(clock.is_measured(until - 1) && !clock.is_measured(until));
    }
}
