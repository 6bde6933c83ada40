//! tokio as it is, without its threads: what would block runs on the simulator's one thread, a moment later.

pub use tokio::*;

/// Tasks.
pub mod task {
    use std::time::Duration;

    use vedfolnir_sim_world::random;

    pub use tokio::task::*;

    /// As tokio's: not at once, and others run before it and after it.
    pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let takes = Duration::from_millis(random::below(5));
        tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            work()
        })
    }
}

/// Files.
pub mod fs {
    use std::io::{self, Read, Seek, SeekFrom};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

    /// What the simulated disk calls a file: bytes in memory.
    #[derive(Debug)]
    pub struct File<R>(R);

    impl<R: Read + Unpin> File<R> {
        /// As tokio's.
        pub fn from_std(file: R) -> Self {
            Self(file)
        }
    }

    impl<R: Read + Unpin> AsyncRead for File<R> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let read = self.0.read(buffer.initialize_unfilled())?;
            buffer.advance(read);
            Poll::Ready(Ok(()))
        }
    }

    impl<R: Seek + Unpin> AsyncSeek for File<R> {
        fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
            self.0.seek(position).map(drop)
        }

        fn poll_complete(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
            Poll::Ready(self.0.stream_position())
        }
    }
}
