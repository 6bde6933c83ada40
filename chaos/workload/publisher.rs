//! A client that publishes at a steady rate, without waiting for answers, and notes what became of each message. A time-out or a
//! broken connection leaves a message unknown: it may have been committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

use super::listener::silent;
use super::log::{EVENT, FENCE};
use super::shared::{Shared, Stage};
use crate::client::packet::Args;
use crate::client::{Client, Endpoint, LinkError, Message, Session, is_refused};
use crate::clock::now;
use crate::history::{MessageId, Outcome};

/// After an attempt that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// A server that does not answer by then is passed over.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Messages that may wait for their answer; beyond it nothing new is published.
const UNANSWERED_MAX: usize = 2_000;
/// An answer that has not come by then, once nothing new is published, is none.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Publisher {
    index: usize,
    ticks: Interval,
    padding: String,
    shared: Arc<Shared>,
    session: Option<Session>,
    /// Its number, for as long as its session lasts.
    number: u32,
    sequence: u64,
    /// Ack id to the message's place.
    unanswered: BTreeMap<u64, usize>,
    /// Rooms that are still to be closed; the first publisher closes them all.
    open: Vec<u32>,
    /// Fences under way: ack id to room.
    fences: BTreeMap<u64, u32>,
    next_room: u32,
    /// Whether `open` was filled: once.
    has_opened: bool,
    /// When something came last, once nothing new is published.
    heard_at: Instant,
}

impl Publisher {
    pub(super) fn new(index: usize, period: Duration, payload_bytes: usize, shared: Arc<Shared>) -> Self {
        let mut ticks = interval(period);
        // What could not be sent in time is not sent in a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            index,
            ticks,
            padding: format!("\"{}\"", "x".repeat(payload_bytes)),
            number: shared.publisher(),
            shared,
            session: None,
            sequence: 0,
            unanswered: BTreeMap::new(),
            open: Vec::new(),
            fences: BTreeMap::new(),
            next_room: index as u32,
            has_opened: false,
            heard_at: Instant::now(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut number = self.index;
        loop {
            let (_, door) = self.shared.door(number);
            number += 1;
            match timeout(CONNECT_WITHIN, self.connect(&door)).await {
                Ok(Ok(client)) => {
                    if self.live(client).await.is_ok() {
                        break;
                    }
                    // Their answers went with the connection.
                    self.unanswered.clear();
                    self.open.extend(std::mem::take(&mut self.fences).into_values());
                }
                Ok(Err(_)) | Err(_) => sleep(RETRY_PAUSE).await,
            }
        }
        self.shared.counters.fenced.fetch_add(1, Ordering::Relaxed);
    }

    async fn connect(&mut self, endpoint: &Endpoint) -> Result<Client, LinkError> {
        let client = match &self.session {
            Some(session) => Client::resume(endpoint, session, |_| {}).await?,
            None => Client::connect(endpoint).await?,
        };
        if self.session.as_ref().is_some_and(|session| session.pid != client.session.pid) {
            // Another session: its messages have no order with those of the one before.
            self.number = self.shared.publisher();
            self.sequence = 0;
        }
        self.session = Some(client.session.clone());
        Ok(client)
    }

    /// Until all is said.
    async fn live(&mut self, mut client: Client) -> Result<(), LinkError> {
        let shared = Arc::clone(&self.shared);
        while shared.stage() < Stage::Settling {
            tokio::select! {
                _ = self.ticks.tick(), if self.unanswered.len() < UNANSWERED_MAX => {
                    let room = self.next_room % shared.rooms();
                    self.next_room = self.next_room.wrapping_add(1);
                    let padding = self.padding.clone();
                    let (ack, place) = self.publish(&mut client, EVENT, room, &padding);
                    self.unanswered.insert(ack, place);
                    client.link.flush().await?;
                }
                received = timeout(shared.silence_max(), receive(&mut client, &mut self.unanswered, &mut self.fences, &mut self.open, &shared)) => {
                    received.unwrap_or_else(|_| Err(silent(shared.silence_max())))?;
                }
                () = shared.reached(Stage::Settling) => {}
            }
        }
        self.settle(&mut client).await
    }

    fn publish(&mut self, client: &mut Client, event: &str, room: u32, padding: &str) -> (u64, usize) {
        let id = MessageId { publisher: self.number, sequence: self.sequence };
        self.sequence += 1;
        let place = self.shared.published(id, room, now(), Outcome::Unknown);
        let name = self.shared.room_name(room);
        let ack = client.queue("publish", |out| {
            let (room, publisher, sequence) = (&name, id.publisher, id.sequence);
            out.extend_from_slice(format!(",\"{room}\",\"{event}\",{publisher},{sequence},{padding}").as_bytes());
        });
        (ack, place)
    }

    /// Waits for the last answers; the first publisher waits for the others and closes the rooms then.
    async fn settle(&mut self, client: &mut Client) -> Result<(), LinkError> {
        let shared = Arc::clone(&self.shared);
        let until = Instant::now() + LAST_ANSWER_WITHIN;
        self.heard_at = Instant::now();
        while !self.unanswered.is_empty() && Instant::now() < until {
            self.hear(client, Duration::from_millis(100)).await?;
        }
        self.unanswered.clear();
        if self.index > 0 {
            return Ok(());
        }
        let others = shared.publishers.saturating_sub(1) as u64;
        while shared.counters.fenced.load(Ordering::Relaxed) < others {
            self.hear(client, Duration::from_millis(20)).await?;
        }
        if !std::mem::replace(&mut self.has_opened, true) {
            self.open = (0..shared.rooms()).collect();
        }
        while !(self.open.is_empty() && self.fences.is_empty()) {
            for room in std::mem::take(&mut self.open) {
                let (ack, place) = self.publish(client, FENCE, room, &room.to_string());
                self.unanswered.insert(ack, place);
                self.fences.insert(ack, room);
            }
            client.link.flush().await?;
            self.hear(client, Duration::from_millis(100)).await?;
        }
        Ok(())
    }

    /// Reads for a while, or until something comes; a server that has been silent for too long is gone.
    async fn hear(&mut self, client: &mut Client, within: Duration) -> Result<(), LinkError> {
        let Self { unanswered, fences, open, shared, heard_at, .. } = self;
        match timeout(within, receive(client, unanswered, fences, open, shared)).await {
            Ok(heard) => {
                *heard_at = Instant::now();
                heard
            }
            Err(_) if heard_at.elapsed() > shared.silence_max() => Err(silent(shared.silence_max())),
            Err(_) => Ok(()),
        }
    }
}

async fn receive(
    client: &mut Client,
    unanswered: &mut BTreeMap<u64, usize>,
    fences: &mut BTreeMap<u64, u32>,
    open: &mut Vec<u32>,
    shared: &Shared,
) -> Result<(), LinkError> {
    client
        .receive(|message, _| {
            let Message::Ack(id, args) = message else { return Ok(()) };
            let outcome = outcome(args);
            if let Some(place) = unanswered.remove(&id) {
                shared.settled(place, outcome);
            }
            // A room whose last message was not taken is closed by another one.
            open.extend(fences.remove(&id).filter(|_| !matches!(outcome, Outcome::Ok { .. })));
            Ok(())
        })
        .await
}

/// `{offset}`, or `{error: {code}}`: only some of the codes say that nothing was changed.
pub(super) fn outcome(args: Args<'_>) -> Outcome {
    if !is_refused(args) {
        return Outcome::Ok { at: now() };
    }
    let text = String::from_utf8_lossy(args.text());
    let nothing = ["overloaded", "stale_session", "limit_exceeded", "forbidden", "bad_request"];
    match nothing.iter().any(|code| text.contains(&format!("\"code\":\"{code}\""))) {
        true => Outcome::Failed,
        false => Outcome::Unknown,
    }
}
