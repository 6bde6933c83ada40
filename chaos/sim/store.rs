//! Uses the key-value store on one node for as long as it runs: reads, writes, conditional writes, removals.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vedfolnir_cluster::Cluster;
use vedfolnir_cluster::state::{Command, KvDelete, KvExpected, KvPut, KvRefusal, LogPosition, Response};
use vedfolnir_sim_world::{clock, random};

use crate::history::Recorder;
use crate::invariants::store::{Answer, Call, Expected};

/// Keys in use at a time.
const KEYS: u64 = 3;
/// After so long other keys are used, so that there are not too many operations on one to find an order for.
const KEYS_CHANGE_US: u64 = 4_000_000;
const READ_TIMEOUT: Duration = Duration::from_millis(2_000);

pub(crate) async fn run(cluster: Cluster, recorder: Recorder) {
    loop {
        tokio::time::sleep(Duration::from_millis(random::between(40, 400))).await;
        let key: Arc<str> = format!("key-{}-{}", clock::now_us() / KEYS_CHANGE_US, random::between(0, KEYS)).into();
        tokio::spawn(operate(cluster.clone(), recorder.clone(), key));
    }
}

/// One operation of whatever kind.
async fn operate(cluster: Cluster, recorder: Recorder, key: Arc<str>) {
    let expected = match (random::between(0, 4), recorder.last_revision(&key)) {
        (0, _) => Expected::Anything,
        (1, _) | (_, None) => Expected::Absent,
        (_, Some(revision)) => Expected::Revision(revision),
    };
    match random::between(0, 10) {
        0..4 => get(&cluster, &recorder, &key).await,
        4..9 => write(&cluster, &recorder, &key, Call::Put { write: recorder.next_write(), expected }).await,
        _ => write(&cluster, &recorder, &key, Call::Delete { expected }).await,
    }
}

async fn get(cluster: &Cluster, recorder: &Recorder, key: &Arc<str>) {
    let pending = recorder.invoke_on_store(key, Call::Get);
    if cluster.read_index(READ_TIMEOUT).await.is_err() {
        return pending.unknown();
    }
    let entry = cluster.read(|state| state.kv_get(key));
    let seen = entry.and_then(|entry| {
        let write = entry.value.as_ref().try_into().map(u64::from_be_bytes);
        if write.is_err() {
            recorder.violation("I1", format!("{key} holds what nobody wrote: {:?}", entry.value));
        }
        Some((write.ok()?, entry.revision))
    });
    pending.answered(Answer::Seen(seen));
}

async fn write(cluster: &Cluster, recorder: &Recorder, key: &Arc<str>, call: Call) {
    let key_of = || Arc::clone(key);
    let command = match call {
        Call::Put { write, expected } => Command::KvPut(KvPut {
            key: key_of(),
            value: Bytes::copy_from_slice(&write.to_be_bytes()),
            ttl_ms: None,
            expected: told(expected),
        }),
        Call::Delete { expected } => Command::KvDelete(KvDelete { key: key_of(), expected: told(expected) }),
        Call::Get => return,
    };
    // Refused, nothing was proposed.
    let Ok(ticket) = cluster.propose(command) else { return };
    let pending = recorder.invoke_on_store(key, call);
    match ticket.await {
        Ok(Response::KvStored { revision }) => pending.answered(Answer::Stored(revision)),
        Ok(Response::KvDeleted { existed }) => pending.answered(Answer::Deleted { existed }),
        Ok(Response::KvRefused(KvRefusal::Conflict { current })) => pending.answered(Answer::Conflict { current }),
        Ok(other) => recorder.violation("I1", format!("{call:?} of {key} was answered {other:?}")),
        Err(_) => pending.unknown(),
    }
}

fn told(expected: Expected) -> KvExpected {
    match expected {
        Expected::Anything => KvExpected::Anything,
        Expected::Absent => KvExpected::Absent,
        Expected::Revision(revision) => KvExpected::Revision(revision),
    }
}

/// What an answer tells of a key's newest revision.
pub(crate) fn revision_of(answer: Answer) -> Option<LogPosition> {
    match answer {
        Answer::Seen(seen) => seen.map(|(_, revision)| revision),
        Answer::Stored(revision) => Some(revision),
        Answer::Conflict { current } => current,
        Answer::Deleted { .. } => None,
    }
}
