//! A connection on long polling: one task holds the session, requests reach it through its link.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use vedfolnir_protocol::engine_io::payload::{self, PACKETS_PER_PAYLOAD_MAX};
use vedfolnir_protocol::engine_io::{PayloadEncoder, PayloadLimits};
use vedfolnir_protocol::{CloseReason, Packet};

use super::driver::Session;
use super::link::CloseCause;
use super::outbox::{Frame, OnWritten};
use super::websocket;

/// Requests that wait for the session's task: one GET, one POST, an upgrade and one that breaks the rules.
pub(crate) const REQUESTS_MAX: usize = 4;
/// Events in one answer, about, in bytes; one event may be larger.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// While a WebSocket probes, a poll that waits is answered at this pace.
const UPGRADE_CHECK: Duration = Duration::from_millis(100);
/// A session that the server closed waits this long for the poll that hears of it.
const CLOSE_WAIT: Duration = Duration::from_secs(30);

/// What an HTTP request asks of the session's task.
#[derive(Debug)]
pub(crate) enum PollingRequest {
    /// GET: the answer's body, or a refusal.
    Poll(oneshot::Sender<PollAnswer>),
    /// POST: the body, and whether it was taken.
    Post(Bytes, oneshot::Sender<PostAnswer>),
    /// A second POST while one was under way: the session ends.
    Abuse,
    /// A WebSocket probes; polls are let return until the sender is dropped or the stream comes.
    Upgrade(oneshot::Receiver<Box<websocket::Stream>>),
}

/// What a poll is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PollAnswer {
    /// 200 and a payload.
    Payload(Bytes),
    /// 400: another poll was waiting.
    Refused,
}

/// What a POST is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PostAnswer {
    /// 200 `ok`.
    Taken,
    /// 400.
    Refused,
    /// 503: the client is to come back later.
    Unavailable,
}

/// The session's side of its polling transport.
struct Poller {
    session: Session,
    requests: mpsc::Receiver<PollingRequest>,
    /// The GET that waits.
    poll: Option<oneshot::Sender<PollAnswer>>,
    /// The POST whose packets are not all handled yet.
    post: Option<oneshot::Sender<PostAnswer>>,
    upgrade: Option<oneshot::Receiver<Box<websocket::Stream>>>,
    upgrade_check: Instant,
    /// Taken from the outboxes and not sent yet.
    queued: Vec<Frame>,
    /// The client knows that the session is over: its POST was refused for it.
    told: bool,
}

/// Drives a polling session to its end, or to its upgrade and from there on over WebSocket.
pub(crate) async fn drive(session: Session, requests: mpsc::Receiver<PollingRequest>) {
    let mut poller = Poller {
        session,
        requests,
        poll: None,
        post: None,
        upgrade: None,
        upgrade_check: Instant::now(),
        queued: Vec::new(),
        told: false,
    };
    match poller.run().await {
        Some(stream) => {
            let Poller { mut session, .. } = poller;
            session.upgraded();
            websocket::drive(websocket::Connected::new(session, *stream)).await;
        }
        None => poller.close().await,
    }
}

impl Poller {
    /// Until the session ends (`None`) or goes on over a WebSocket.
    async fn run(&mut self) -> Option<Box<websocket::Stream>> {
        loop {
            self.session.advance();
            if !self.session.has_backlog()
                && let Some(post) = self.post.take()
            {
                let crowded = self.session.link.close_cause() == Some(CloseCause::Crowded);
                // A client that has gone away hears nothing.
                let _ = post.send(if crowded { PostAnswer::Unavailable } else { PostAnswer::Taken });
            }
            if self.post.is_none() && self.upgrade.is_none() {
                self.session.leave_if_quiet();
                self.session.advance();
            }
            if self.session.closed().is_some() {
                return None;
            }
            self.answer_poll();
            if self.session.has_backlog() && self.session.may_read() {
                continue;
            }
            let deadline = self.session.deadline().unwrap_or_else(|| Instant::now() + CLOSE_WAIT);
            let link = Arc::clone(&self.session.link);
            let upgrading = self.upgrade.is_some();
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(request) => self.handle(request),
                    None => { self.session.close(CloseReason::TransportClose); }
                },
                stream = async { self.upgrade.as_mut()?.await.ok() }, if upgrading => {
                    self.upgrade = None;
                    if let Some(stream) = stream {
                        self.finish_requests();
                        return Some(stream);
                    }
                }
                () = link.woken() => {}
                done = self.session.work_done() => self.session.finish(done),
                () = gone(&mut self.poll) => {
                    // The client broke off its poll: what it was about to get would be lost.
                    self.session.close(CloseReason::TransportError);
                }
                () = sleep_until(self.upgrade_check), if upgrading && self.poll.is_some() => {
                    self.send(PollAnswer::Payload(payload::encode([&Packet::Noop])));
                    self.upgrade_check = Instant::now() + UPGRADE_CHECK;
                }
                () = sleep_until(deadline) => self.session.handle_timeout(),
            }
        }
    }

    fn handle(&mut self, request: PollingRequest) {
        match request {
            PollingRequest::Poll(answer) => {
                if self.poll.is_some() {
                    self.send(PollAnswer::Payload(payload::encode([&Packet::Close])));
                    let _ = answer.send(PollAnswer::Refused);
                    self.session.close(CloseReason::TransportError);
                } else {
                    self.poll = Some(answer);
                }
            }
            PollingRequest::Post(body, answer) => self.post(body, answer),
            PollingRequest::Abuse => {
                self.session.close(CloseReason::TransportError);
            }
            PollingRequest::Upgrade(stream) => {
                self.upgrade = Some(stream);
                self.upgrade_check = Instant::now() + UPGRADE_CHECK;
            }
        }
    }

    fn post(&mut self, body: Bytes, answer: oneshot::Sender<PostAnswer>) {
        let limits = PayloadLimits {
            payload_bytes_max: self.session.service.config.max_http_buffer_size,
            packets_max: PACKETS_PER_PAYLOAD_MAX,
        };
        match payload::decode(body, limits) {
            Ok(packets) => {
                #[cfg(feature = "planted-bugs")]
                let packets = super::planted::posted(packets);
                for packet in packets {
                    self.session.receive(packet);
                }
                self.post = Some(answer);
            }
            Err(error) => {
                tracing::debug!(sid = ?self.session.sid, %error, "a polling payload was refused");
                let _ = answer.send(PostAnswer::Refused);
                self.told = true;
                self.session.close(CloseReason::ParseError);
            }
        }
    }

    /// Answers the poll that waits, if there is something to tell.
    fn answer_poll(&mut self) {
        let waits = self.poll.as_ref().is_some_and(|poll| !poll.is_closed());
        if !waits {
            return;
        }
        if self.queued.is_empty() {
            self.session.collect(&mut self.queued, ANSWER_BYTES_MAX);
        }
        if !self.queued.is_empty() {
            #[cfg(feature = "planted-bugs")]
            super::planted::polled(&mut self.queued, self.upgrade.is_some());
            self.send_queued();
        }
    }

    fn send_queued(&mut self) {
        self.session.service.stats.count_out(&self.queued);
        let mut encoder = PayloadEncoder::new();
        let mut watchers = Vec::new();
        for frame in std::mem::take(&mut self.queued) {
            for message in frame.messages() {
                encoder.push_frame(&message);
            }
            watchers.extend(frame.into_watcher());
        }
        self.send(PollAnswer::Payload(encoder.finish()));
        watchers.into_iter().for_each(|OnWritten(tell)| tell());
    }

    fn send(&mut self, answer: PollAnswer) {
        if let Some(poll) = self.poll.take() {
            // A client that is gone is told when it resumes.
            let _ = poll.send(answer);
        }
    }

    /// The client is on its WebSocket now: requests that still wait are let go.
    fn finish_requests(&mut self) {
        self.send(PollAnswer::Payload(payload::encode([&Packet::Noop])));
        if let Some(post) = self.post.take() {
            let _ = post.send(PostAnswer::Taken);
        }
    }

    /// The session has ended: what is queued goes first, then the word that it is over, never both in one payload: the
    /// client would be given those events again when it resumes.
    async fn close(&mut self) {
        tracing::debug!(sid = ?self.session.sid, reason = ?self.session.closed(), "polling session closed");
        // Fenced and drained sessions have nothing left; a refusal has.
        self.session.collect(&mut self.queued, ANSWER_BYTES_MAX);
        self.session.release();
        self.requests_until_told().await;
    }

    async fn requests_until_told(&mut self) {
        let told = Instant::now() + CLOSE_WAIT;
        let left = self.session.closed() == Some(CloseReason::TransportClose);
        let by_client = left
            || self.told
            || matches!(self.session.closed(), Some(CloseReason::TransportError | CloseReason::PingTimeout));
        // Who has said so itself is not told: its poll returns, and that is all.
        let last: &[&Packet] = if left { &[&Packet::Noop] } else { &[&Packet::Noop, &Packet::Close] };
        if let Some(post) = self.post.take() {
            let _ = post.send(PostAnswer::Taken);
        }
        loop {
            if self.poll.is_some() && !self.queued.is_empty() {
                self.send_queued();
            } else if self.poll.is_some() {
                self.send(PollAnswer::Payload(payload::encode(last.iter().copied())));
                return;
            }
            if by_client {
                return;
            }
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(PollingRequest::Poll(answer)) => self.poll = Some(answer),
                    Some(PollingRequest::Post(_, answer)) => { let _ = answer.send(PostAnswer::Refused); }
                    Some(PollingRequest::Abuse | PollingRequest::Upgrade(_)) => {}
                    None => return,
                },
                () = sleep_until(told) => return,
            }
        }
    }
}

/// Resolves when the client has broken off its poll; never without one.
async fn gone(poll: &mut Option<oneshot::Sender<PollAnswer>>) {
    match poll {
        Some(poll) => poll.closed().await,
        None => std::future::pending().await,
    }
}
