//! A process: tasks on one thread, run until nothing is left to do at this moment of its clock.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

/// How often a step finds nothing to do before it ends. The first time timers that are due fire, the second time those
/// that their tasks have set.
const PARKS: u32 = 2;

/// How often the runtime has found nothing to do, and who is to hear of it.
#[derive(Default)]
struct Idle {
    parks: AtomicU32,
    step: Mutex<Option<Waker>>,
}

/// See the module.
pub(crate) struct Process {
    runtime: Runtime,
    idle: Arc<Idle>,
}

impl Process {
    /// A process without tasks; its timers go by the clock that it is shown.
    pub(crate) fn new() -> io::Result<Self> {
        let idle = Arc::new(Idle::default());
        let heard = Arc::clone(&idle);
        let runtime = Builder::new_current_thread()
            .enable_time()
            // Timers are looked at when there is nothing else to do, and at no other time.
            .event_interval(u32::MAX)
            .on_thread_park(move || {
                heard.parks.fetch_add(1, Ordering::Relaxed);
                // Whoever is woken here keeps the runtime from waiting for time to pass.
                if let Some(step) = heard.step.lock().take() {
                    step.wake();
                }
            })
            .build()?;
        Ok(Self { runtime, idle })
    }

    /// Adds a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }

    /// Runs whatever can run now.
    pub(crate) fn step(&self) {
        let idle = &self.idle;
        idle.parks.store(0, Ordering::Relaxed);
        self.runtime.block_on(poll_fn(|cx| {
            if idle.parks.load(Ordering::Relaxed) >= PARKS {
                return Poll::Ready(());
            }
            *idle.step.lock() = Some(cx.waker().clone());
            Poll::Pending
        }));
    }
}
