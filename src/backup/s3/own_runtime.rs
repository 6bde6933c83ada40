//! The thread that a bucket's requests travel on. Whoever asks waits for the answer, on whatever thread it is: a store that is
//! slow keeps nobody else from their work.

use std::io;
use std::sync::mpsc;

use tokio::runtime::{Builder, Handle, Runtime};

/// See the module.
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            // Names are looked up there.
            .max_blocking_threads(2)
            .thread_name("object-store")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// To begin something on it without waiting; `None`: it is ending.
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }

    /// Carries it out there, and blocks this thread until it is done. `None`: it is ending.
    pub(super) fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, result) = mpsc::sync_channel(1);
        self.handle()?.spawn(async move {
            // Whoever asked may be gone.
            let _ = done.send(work.await);
        });
        result.recv().ok()
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // To wait for it is not allowed everywhere, and nothing is left to wait for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
