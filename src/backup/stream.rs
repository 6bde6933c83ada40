//! A backup as the body of an answer: written by a thread that waits for whoever reads.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use vedfolnir_cluster::Cluster;
use vedfolnir_cluster::backup::BackupRequest;

use super::create::CreateError;

/// Pieces that wait for the reader.
const PIECES_MAX: usize = 4;
const PIECE_BYTES: usize = 256 << 10;
/// A reader that takes nothing for so long gets no more: the state is held as it was meanwhile.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Begins one; `held` until it ends. What breaks off half-way has no end, and its reader finds that out.
///
/// # Errors
/// [`CreateError`]: it failed before its first byte.
pub(crate) async fn stream(
    cluster: Cluster,
    request: BackupRequest,
    held: impl Send + 'static,
) -> Result<Body, CreateError> {
    written(move |out| async move {
        let written = cluster.write_backup(request, out).await.map(drop).map_err(CreateError::new);
        if let Err(error) = &written {
            tracing::error!(event_type = "backup_failed", %error, "{error}");
        }
        drop(held);
        written
    })
    .await
}

/// What is written, as the body of an answer.
///
/// # Errors
/// Those of `write` before its first byte; one that comes later breaks the answer off.
pub(crate) async fn written<E, F>(write: impl FnOnce(Pieces) -> F) -> Result<Body, E>
where
    E: std::error::Error + From<io::Error> + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    let (pieces, mut received) = mpsc::channel(PIECES_MAX);
    let told = pieces.clone();
    let out = Pieces { pieces, runtime: Handle::current(), piece: BytesMut::with_capacity(PIECE_BYTES) };
    let work = write(out);
    tokio::spawn(async move {
        if let Err(error) = work.await {
            // Whoever asked may be gone.
            let _ = told.send(Err(io::Error::other(error))).await;
        }
    });
    let first = match received.recv().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(error.downcast().unwrap_or_else(E::from)),
        None => return Err(io::Error::other("nothing was written").into()),
    };
    let rest = futures_util::stream::unfold((Some(Ok(first)), received), |(first, mut received)| async move {
        let piece = match first {
            Some(first) => first,
            None => received.recv().await?,
        };
        Some((piece, (None, received)))
    });
    Ok(Body::from_stream(rest))
}

/// Takes what is written; the last of it is sent by a flush.
pub(crate) struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    piece: BytesMut,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = self.piece.split().freeze();
        // A thread of its own, outside the runtime, which has nothing else to do.
        match self.runtime.block_on(async { tokio::time::timeout(STALL_MAX, self.pieces.send(Ok(piece))).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "whoever asked for it is gone")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "whoever asked for it does not read it")),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
