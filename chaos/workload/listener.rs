//! A client of the harness's own that listens: it joins its rooms once, and takes its session up again on the next node
//! whenever its connection breaks, at once.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::log::{Log, read};
use super::shared::{Shared, Stage};
use crate::client::{Client, Endpoint, LinkError, Message, Session, is_refused};
use crate::clock::now;
use crate::record::{Connect, ListenerKind};

/// After an attempt that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// A server that does not answer by then is passed over.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A join that is not answered by then is tried on another connection.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// How long a client reads before it stops reading, in milliseconds.
const STALL_AFTER_MS: std::ops::Range<u64> = 500..4_000;

/// See the module.
pub(super) struct Listener {
    index: usize,
    kind: ListenerKind,
    log: Arc<Log>,
    session: Option<Session>,
    /// How long it does not read, when it does not, in milliseconds.
    stall_ms: Range<u64>,
    shared: Arc<Shared>,
    random: fastrand::Rng,
}

impl Listener {
    pub(super) fn new(
        index: usize,
        kind: ListenerKind,
        rooms: Vec<u32>,
        stall_ms: Range<u64>,
        shared: Arc<Shared>,
        random: fastrand::Rng,
    ) -> Self {
        let log = Arc::new(Log::new(format!("listener {index}"), kind, rooms));
        Self { index, kind, log, session: None, stall_ms, shared, random }
    }

    pub(super) fn log(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    pub(super) async fn run(mut self) {
        let mut number = self.index;
        while self.shared.stage() != Stage::Over {
            let (node, door) = self.shared.door(number);
            number += 1;
            match timeout(CONNECT_WITHIN, self.connect(node, &door)).await {
                Ok(Ok(client)) => {
                    let error = self.live(client).await;
                    self.log.disconnected(Some(node), error.to_string(), now(), &self.shared);
                }
                Ok(Err(_)) | Err(_) => sleep(RETRY_PAUSE).await,
            }
        }
    }

    async fn connect(&mut self, node: usize, endpoint: &Endpoint) -> Result<Client, LinkError> {
        let began = now();
        let Some(earlier) = self.session.clone() else {
            let client = Client::connect(endpoint).await?;
            let sid = client.session.sid.clone();
            self.session = Some(client.session.clone());
            self.log.connected(Connect { began, at: now(), node: Some(node), recovered: false, sid }, &self.shared);
            return Ok(client);
        };
        // The beginning of the replay may come with the answer: it is noted once it is known to belong to the session.
        let mut first = Vec::new();
        let client = Client::resume(endpoint, &earlier, |message| {
            if let Message::Event(args) = message
                && let Some(delivery) = read(args)
            {
                let offset = delivery.offset.map(|offset| String::from_utf8_lossy(offset).into_owned());
                first.push((delivery.id, delivery.fence, now(), offset));
            }
        })
        .await?;
        let recovered = client.session.pid == earlier.pid && client.session.sid == earlier.sid;
        let sid = client.session.sid.clone();
        self.session = Some(client.session.clone());
        self.log.connected(Connect { began, at: now(), node: Some(node), recovered, sid }, &self.shared);
        for (id, fence, at, offset) in first {
            self.log.delivered(id, fence, at, &self.shared);
            if let (Some(session), Some(_)) = (&mut self.session, &offset) {
                session.offset = offset;
            }
        }
        Ok(client)
    }

    /// Until the connection breaks; says why it did.
    async fn live(&mut self, mut client: Client) -> LinkError {
        let ended = self.enter_rooms(&mut client).await;
        if let Err(error) = ended {
            return error;
        }
        loop {
            if self.kind == ListenerKind::Stalled && self.shared.stage() == Stage::Running {
                if let Err(error) = self.read_then_stall(&mut client).await {
                    return error;
                }
                continue;
            }
            let silence_max = self.shared.silence_max();
            let received = timeout(silence_max, self.receive(&mut client)).await;
            if let Err(error) = received.unwrap_or(Err(silent(silence_max))) {
                return error;
            }
        }
    }

    async fn read_then_stall(&mut self, client: &mut Client) -> Result<(), LinkError> {
        let read_for = Duration::from_millis(self.random.u64(STALL_AFTER_MS));
        let reading = async {
            while self.receive(client).await.map(|()| true)? {}
            Ok(())
        };
        if let Ok(ended) = timeout(read_for, reading).await {
            return ended;
        }
        let stall = sleep(Duration::from_millis(self.random.u64(self.stall_ms.clone())));
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = stall => {}
            () = shared.reached(Stage::Reading) => {}
        }
        Ok(())
    }

    async fn receive(&mut self, client: &mut Client) -> Result<(), LinkError> {
        let Self { log, shared, session, .. } = self;
        client
            .receive(|message, _| {
                note(message, log, shared, session);
                Ok(())
            })
            .await
    }

    /// Joins what the session is not in yet: all of it, unless it was taken up again.
    async fn enter_rooms(&mut self, client: &mut Client) -> Result<(), LinkError> {
        let Self { log, shared, session, .. } = self;
        for room in log.missing_rooms() {
            let join = client
                .queue("join", |out| out.extend_from_slice(format!(",\"{}\"", shared.room_name(room)).as_bytes()));
            let mut joined = false;
            let joining = async {
                while !joined {
                    client
                        .receive(|message, _| {
                            match message {
                                Message::Ack(id, args) if id == join && is_refused(args) => {
                                    let why = String::from_utf8_lossy(args.text()).into_owned();
                                    return Err(LinkError::Protocol(why));
                                }
                                Message::Ack(id, _) if id == join => joined = true,
                                other => note(other, log, shared, session),
                            }
                            Ok(())
                        })
                        .await?;
                }
                Ok::<(), LinkError>(())
            };
            timeout(JOIN_WITHIN, joining).await.unwrap_or(Err(silent(JOIN_WITHIN)))?;
            log.joined(room, now());
        }
        Ok(())
    }
}

fn note(message: Message<'_>, log: &Log, shared: &Shared, session: &mut Option<Session>) {
    let Message::Event(args) = message else { return };
    let Some(delivery) = read(args) else { return };
    log.delivered(delivery.id, delivery.fence, now(), shared);
    if let (Some(session), Some(offset)) = (session, delivery.offset) {
        session.offset = Some(String::from_utf8_lossy(offset).into_owned());
    }
}

/// Nothing came for as long as a ping would have.
pub(super) fn silent(within: Duration) -> LinkError {
    LinkError::Protocol(format!("nothing came for {} ms", within.as_millis()))
}
