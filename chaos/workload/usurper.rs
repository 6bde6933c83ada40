//! Sessions that change hands while their old connection lives (invariant I4): a second connection takes the session over on
//! another node, and the first goes on as if it knew nothing. From then on nothing that it says may count, and nothing that is said
//! may reach it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::log::{EVENT, read};
use super::publisher::outcome;
use super::shared::{Shared, Stage};
use crate::client::{Client, Endpoint, LinkError, Message};
use crate::clock::{Nanos, now};
use crate::history::{MessageId, Outcome};
use crate::record::{StaleAct, StaleDelivery};

/// The room that the sessions are in.
const ROOM: u32 = 0;
/// After an attempt that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// A server that does not answer by then is passed over.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long the old connection goes on.
const AFTERLIFE: Duration = Duration::from_millis(400);
/// Between two changes of hands.
const PAUSE: Duration = Duration::from_millis(150);

/// Runs until all is over.
pub(super) async fn run(index: usize, shared: Arc<Shared>) {
    let mut number = index;
    while shared.stage() < Stage::Settling {
        let round = one(&mut number, &shared);
        tokio::select! {
            ended = round => if ended.is_err() { sleep(RETRY_PAUSE).await },
            () = shared.reached(Stage::Settling) => {}
        }
    }
}

fn endpoint(number: &mut usize, shared: &Shared) -> Endpoint {
    let (_, door) = shared.door(*number);
    *number += 1;
    door
}

/// A session from its beginning until one of its connections breaks.
async fn one(number: &mut usize, shared: &Shared) -> Result<(), LinkError> {
    let at = endpoint(number, shared);
    let mut old = within(Client::connect(&at)).await?;
    within(old.join(&shared.room_name(ROOM))).await?;
    // Its messages are of a publisher of their own.
    let publisher = shared.publisher();
    let mut sequence = 0;
    loop {
        sleep(PAUSE).await;
        let at = endpoint(number, shared);
        let new = within(Client::resume(&at, &old.session, |_| {})).await?;
        if new.session.pid != old.session.pid {
            // The session could not be taken over: then it is not elsewhere.
            return Ok(());
        }
        let taken_over_at = now();
        let id = MessageId { publisher, sequence };
        sequence += 1;
        // An end of the old connection is what it should meet.
        let _ = afterlife(old, id, taken_over_at, shared).await;
        old = new;
    }
}

/// The old connection publishes, and listens for a while.
async fn afterlife(mut old: Client, id: MessageId, taken_over_at: Nanos, shared: &Shared) -> Result<(), LinkError> {
    let invoked_at = now();
    // Whatever the answer: nobody may ever see it, and the oracle counts it as a phantom if anybody does.
    shared.published(id, ROOM, invoked_at, Outcome::Failed);
    let ack = old.queue("publish", |out| {
        let (room, MessageId { publisher, sequence }) = (shared.room_name(ROOM), id);
        out.extend_from_slice(format!(",\"{room}\",\"{EVENT}\",{publisher},{sequence},\"stale\"").as_bytes());
    });
    let mut acknowledged = false;
    let until = Instant::now() + AFTERLIFE;
    let listening = async {
        while Instant::now() < until {
            old.receive(|message, _| {
                match message {
                    Message::Ack(answered, args) if answered == ack => {
                        acknowledged = matches!(outcome(args), Outcome::Ok { .. });
                    }
                    Message::Ack(..) => {}
                    Message::Event(args) => {
                        if let Some(delivery) = read(args) {
                            shared.delivered_stale(StaleDelivery { id: delivery.id, taken_over_at });
                        }
                    }
                }
                Ok(())
            })
            .await?;
        }
        Ok::<(), LinkError>(())
    };
    let ended = timeout(AFTERLIFE, listening).await.unwrap_or(Ok(()));
    shared.acted_stale(StaleAct { id, taken_over_at, invoked_at, acknowledged });
    ended
}

async fn within<T>(work: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    timeout(CONNECT_WITHIN, work).await.unwrap_or(Err(LinkError::Closed))
}
