//! An object on its way here, read by a thread that may block: no more of it is in memory than a few frames.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Frames that wait for the reader; each has at most as many bytes as a connection's buffer.
const FRAMES_MAX: usize = 4;

/// See the module. Read it off the threads of a runtime.
pub struct Download {
    frames: mpsc::Receiver<io::Result<Bytes>>,
    frame: Bytes,
}

impl Download {
    /// On the runtime of the bucket; `pause_max`: how long the store may send nothing.
    pub(super) fn begin(mut body: Incoming, pause_max: Duration) -> Self {
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(async move {
            loop {
                let frame = match timeout(pause_max, body.frame()).await {
                    Ok(None) => return,
                    Ok(Some(frame)) => frame.map_err(io::Error::other),
                    Err(_) => {
                        let reason = format!("the store sends nothing for {} s", pause_max.as_secs_f64());
                        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
                    }
                };
                let is_over = frame.is_err();
                let data = frame.map(|frame| frame.into_data().unwrap_or_default());
                // Whoever reads may have enough.
                if sender.send(data).await.is_err() || is_over {
                    return;
                }
            }
        });
        Self { frames, frame: Bytes::new() }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.frame.is_empty() {
            match self.frames.blocking_recv() {
                None => return Ok(0),
                Some(frame) => self.frame = frame?,
            }
        }
        let count = self.frame.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.frame[..count]);
        self.frame.advance(count);
        Ok(count)
    }
}
