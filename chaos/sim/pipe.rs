//! A client's connection to a node: ordered, and closed by the system of a process that dies.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use vedfolnir_sim_world::hosts::{self, Host};
use vedfolnir_sim_world::{clock, links};

/// One direction.
struct Half<T> {
    queue: VecDeque<T>,
    closed: bool,
    waker: Option<Waker>,
    last_at_us: u64,
}

type Shared<T> = Arc<Mutex<Half<T>>>;

/// One end: sends `Out`, receives `In`.
pub(crate) struct End<Out: 'static, In: 'static> {
    out: Shared<Out>,
    inn: Shared<In>,
    host: Host,
    life: u64,
    peer: Host,
}

fn half<T>() -> Shared<T> {
    Arc::new(Mutex::new(Half { queue: VecDeque::new(), closed: false, waker: None, last_at_us: 0 }))
}

/// Both ends of a new connection.
pub(crate) fn pair<A: 'static, B: 'static>(near: Host, far: Host) -> (End<A, B>, End<B, A>) {
    let (there, back) = (half(), half());
    let near_end =
        End { out: Arc::clone(&there), inn: Arc::clone(&back), host: near, life: hosts::life(near), peer: far };
    let far_end = End { out: back, inn: there, host: far, life: hosts::life(far), peer: near };
    (near_end, far_end)
}

impl<T> Half<T> {
    fn change(half: &Shared<T>, change: impl FnOnce(&mut Self)) {
        let waker = {
            let mut half = half.lock();
            change(&mut half);
            half.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<Out: 'static, In: 'static> End<Out, In> {
    fn arrival(&self) -> u64 {
        let at = clock::now_us() + links::travel_us(self.host, self.peer);
        let mut out = self.out.lock();
        out.last_at_us = out.last_at_us.max(at);
        out.last_at_us
    }

    /// Sends; what a dead process or a closed connection sends is lost.
    pub(crate) fn send(&self, item: Out) {
        if !hosts::lives(self.host, self.life) {
            return;
        }
        let out = Arc::clone(&self.out);
        clock::at(self.arrival(), move || Half::change(&out, |half| half.queue.push_back(item)));
    }

    /// The next one; `None`: the other side has closed.
    pub(crate) async fn recv(&self) -> Option<In> {
        poll_fn(|cx| {
            let mut inn = self.inn.lock();
            if let Some(item) = inn.queue.pop_front() {
                return Poll::Ready(Some(item));
            }
            if inn.closed {
                return Poll::Ready(None);
            }
            inn.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl<Out: 'static, In: 'static> Drop for End<Out, In> {
    fn drop(&mut self) {
        let gone = !hosts::lives(self.host, self.life);
        if gone && hosts::is_dark(self.host) {
            // Without power nobody is left to close it.
            return;
        }
        let at = {
            let mut out = self.out.lock();
            out.last_at_us = out.last_at_us.max(clock::now_us() + links::travel_us(self.host, self.peer));
            out.last_at_us
        };
        let out = Arc::clone(&self.out);
        clock::at(at, move || Half::change(&out, |half| half.closed = true));
    }
}
