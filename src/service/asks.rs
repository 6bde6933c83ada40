//! Events that wait for their client's ack: under which id, and who wants to know. They last as long as the connection.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use vedfolnir_cluster::state::Epoch;
use vedfolnir_protocol::ack::ack_id;

use crate::app::Args;

/// Events of one client in one namespace that may wait for their acks at once; one more is refused.
pub(crate) const ACKS_AWAITED_MAX: usize = 256;

/// What one socket has asked its client.
///
/// Invariants: no id is handed out twice under one epoch before 2^32 others were; at most [`ACKS_AWAITED_MAX`] wait; once
/// closed nothing waits and nothing is asked any more.
#[derive(Debug)]
pub(crate) struct Asks {
    epoch: Epoch,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    closed: bool,
    /// Of the next id.
    sequence: u32,
    by_id: HashMap<u64, oneshot::Sender<Args>>,
}

/// Why nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    /// As much waits as may.
    Full,
    /// The connection is over.
    Closed,
}

/// Something that was asked. Dropped, it is no longer waited for.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    asks: &'a Asks,
    /// The id that the client answers under.
    pub(crate) id: u64,
    answer: oneshot::Receiver<Args>,
}

impl Asks {
    /// Nothing was asked yet.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, waiting: Mutex::default() }
    }

    /// Takes an id that an ack is waited for under.
    pub(crate) fn begin(&self) -> Result<Ask<'_>, NotAsked> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(NotAsked::Closed);
        }
        if waiting.by_id.len() >= ACKS_AWAITED_MAX {
            return Err(NotAsked::Full);
        }
        let id = ack_id(self.epoch, waiting.sequence);
        waiting.sequence = waiting.sequence.wrapping_add(1);
        let (sender, answer) = oneshot::channel();
        waiting.by_id.insert(id, sender);
        Ok(Ask { asks: self, id, answer })
    }

    /// The client acknowledges; false: nobody waits for that.
    pub(crate) fn answered(&self, id: u64, args: Args) -> bool {
        let waiter = self.waiting.lock().by_id.remove(&id);
        waiter.is_some_and(|waiter| waiter.send(args).is_ok())
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().by_id.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    /// The connection is over: whoever waits is told so.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.by_id = HashMap::new();
    }
}

impl Ask<'_> {
    /// The arguments of the ack; `None`: the connection is over. Cancel-safe.
    pub(crate) async fn answer(&mut self) -> Option<Args> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        self.asks.waiting.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn ack(json: &'static str) -> Args {
        Args::of_ack(Bytes::from_static(json.as_bytes()), Vec::new())
    }

    #[tokio::test]
    async fn an_ack_reaches_whoever_waits_for_its_id_once() {
        let asks = Asks::new(3);
        let (mut first, mut second) = (asks.begin().unwrap(), asks.begin().unwrap());
        assert_ne!(first.id, second.id);
        assert!(asks.answered(second.id, ack("[2]")));
        assert!(!asks.answered(second.id, ack("[2]")), "twice");
        assert!(asks.answered(first.id, ack("[1]")));
        assert_eq!(first.answer().await.unwrap().get::<u8>(0).unwrap(), 1);
        assert_eq!(second.answer().await.unwrap().get::<u8>(0).unwrap(), 2);
        assert_eq!(asks.len(), 0);
    }

    #[test]
    fn acks_for_an_earlier_connection_and_for_what_nobody_waits_for_any_more_are_nobodys() {
        let (before, after) = (Asks::new(1), Asks::new(2));
        let old = before.begin().unwrap().id;
        let ask = after.begin().unwrap();
        assert!(!after.answered(old, ack("[]")));
        let id = ask.id;
        drop(ask);
        assert!(!after.answered(id, ack("[]")));
    }

    #[tokio::test]
    async fn no_more_wait_than_may_and_all_learn_that_the_connection_is_over() {
        let asks = Asks::new(1);
        let mut waiting: Vec<Ask<'_>> = (0..ACKS_AWAITED_MAX).map(|_| asks.begin().unwrap()).collect();
        assert_eq!(asks.begin().unwrap_err(), NotAsked::Full);
        waiting.pop();
        waiting.push(asks.begin().unwrap());
        asks.close();
        assert_eq!(asks.begin().unwrap_err(), NotAsked::Closed);
        for mut ask in waiting {
            assert!(ask.answer().await.is_none());
        }
    }
}
