//! Sessions that several clients fight for (invariant I1): each session is begun by one, taken over by many at a time on different
//! nodes, looked at linearizably, and ended. Each call is noted with its times and its answer, or without one.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::shared::{Shared, Stage};
use crate::client::{Client, Session};
use crate::clock::now;
use crate::http;
use crate::record::{RegistryAct, RegistryAnswer, RegistryCall};

/// Sessions of different registrars have different numbers.
const SESSIONS_MAX: u32 = 1 << 16;
/// Who fights for a session at a time.
const RIVALS: usize = 3;
/// Calls of each of them before the session ends.
const CALLS: usize = 4;
/// An answer that has not come by then is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two sessions.
const PAUSE: Duration = Duration::from_millis(100);

/// What `GET /session` says.
#[derive(Deserialize)]
struct Seen {
    epoch: u64,
}

/// Runs until all is over.
pub(super) async fn run(index: u32, shared: Arc<Shared>, mut random: fastrand::Rng) {
    for number in 0..SESSIONS_MAX {
        if shared.stage() >= Stage::Settling {
            return;
        }
        let session = index * SESSIONS_MAX + number;
        tokio::select! {
            () = one(session, &shared, &mut random) => {}
            // What is under way then has no answer, and was noted as such.
            () = shared.reached(Stage::Settling) => return,
        }
        sleep(PAUSE).await;
    }
}

/// Notes a call before it is made, so that it is known even if nobody lives to see its answer.
struct Call<'a> {
    act: RegistryAct,
    shared: &'a Shared,
}

impl<'a> Call<'a> {
    fn begin(session: u32, call: RegistryCall, shared: &'a Shared) -> Self {
        Self { act: RegistryAct { session, call, invoked_at: now(), answer: None }, shared }
    }

    fn answered(&mut self, answer: RegistryAnswer) {
        self.act.answer = Some((answer, now()));
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.shared.registered(self.act);
    }
}

async fn one(session: u32, shared: &Shared, random: &mut fastrand::Rng) {
    let (_, at) = shared.door(random.usize(..));
    let mut call = Call::begin(session, RegistryCall::Register, shared);
    let Ok(Ok(first)) = timeout(ANSWER_WITHIN, Client::connect(&at)).await else { return };
    call.answered(RegistryAnswer::Done);
    drop(call);
    let known = first.session.clone();
    let rivals = (0..RIVALS).map(|_| rival(session, &known, shared, random.fork()));
    futures_util::future::join_all(rivals).await;
    drop(first);
    // Whoever takes it over last ends it.
    if let Some(mut last) = resume(session, &known, shared, random.usize(..)).await {
        // A DISCONNECT has no answer: what became of it is seen by whoever asks next.
        let _call = Call::begin(session, RegistryCall::Close, shared);
        last.link.outbox.text(b"41");
        let _ = timeout(ANSWER_WITHIN, last.link.flush()).await;
    }
    read(session, &known, shared, random.usize(..)).await;
}

async fn rival(session: u32, known: &Session, shared: &Shared, mut random: fastrand::Rng) {
    let mut held = None;
    for _ in 0..CALLS {
        if random.bool() {
            if let Some(client) = resume(session, known, shared, random.usize(..)).await {
                held = Some(client);
            }
        } else {
            read(session, known, shared, random.usize(..)).await;
        }
    }
    drop(held);
}

/// Takes the session over; a session that is gone is answered with another one, which is ended at once.
async fn resume(session: u32, known: &Session, shared: &Shared, number: usize) -> Option<Client> {
    let (_, at) = shared.door(number);
    let mut call = Call::begin(session, RegistryCall::Resume, shared);
    let client = timeout(ANSWER_WITHIN, Client::resume(&at, known, |_| {})).await.ok()?.ok()?;
    let is_same = client.session.pid == known.pid;
    call.answered(if is_same { RegistryAnswer::Done } else { RegistryAnswer::Gone });
    is_same.then_some(client)
}

/// How many owners it has had, by a node that has asked a quorum how far the log is.
async fn read(session: u32, known: &Session, shared: &Shared, number: usize) {
    let mut call = Call::begin(session, RegistryCall::Read, shared);
    let path = format!("/session?session={}&linearizable=true", known.sid);
    let answer = http::request(shared.admin(number), hyper::Method::GET, &path, ANSWER_WITHIN).await;
    match answer {
        Some((200, body)) => {
            if let Ok(Seen { epoch }) = serde_json::from_slice(&body) {
                call.answered(RegistryAnswer::Epoch(epoch));
            }
        }
        Some((404, _)) => call.answered(RegistryAnswer::Gone),
        _ => {}
    }
}
