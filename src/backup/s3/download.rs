//! An object on its way here, read by a thread that may block: no more of it is in memory than one frame.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// See the module. It is made on a runtime and read off its threads.
pub struct Download {
    body: Incoming,
    frame: Bytes,
    /// How long it may pause.
    timeout: Duration,
    runtime: Handle,
}

impl Download {
    pub(super) fn new(body: Incoming, timeout: Duration) -> Self {
        Self { body, frame: Bytes::new(), timeout, runtime: Handle::current() }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.frame.is_empty() {
            let next = self.runtime.block_on(async { timeout(self.timeout, self.body.frame()).await });
            let frame = next.map_err(|_| {
                let seconds = self.timeout.as_secs_f64();
                io::Error::new(io::ErrorKind::TimedOut, format!("the store sends nothing for {seconds} s"))
            })?;
            match frame {
                None => return Ok(0),
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => self.frame = frame.into_data().unwrap_or_default(),
            }
        }
        let count = self.frame.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.frame[..count]);
        self.frame.advance(count);
        Ok(count)
    }
}
