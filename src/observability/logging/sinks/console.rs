//! Standard output and standard error. A full pipe stalls this sink's thread and nobody else.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use super::super::line::Line;
use super::super::queue::Batching;
use super::super::stats::{SinkStats, add};
use super::super::worker::Sink;

/// How soon a descriptor that takes nothing now (a terminal in non-blocking mode) is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Writes lines to a stream.
pub(crate) struct Console {
    out: Box<dyn Write + Send>,
    stats: Arc<SinkStats>,
    /// What is not written of the lines that are done with.
    rest: Vec<u8>,
}

impl Console {
    /// To a stream that does not buffer lines for long: it is flushed after each batch.
    pub(crate) fn new(out: Box<dyn Write + Send>, stats: Arc<SinkStats>) -> Self {
        Self { out, stats, rest: Vec::new() }
    }

    /// Writes what is left. `Ok(false)`: the stream takes no more now.
    fn drain(&mut self) -> std::io::Result<bool> {
        let mut written = 0;
        let outcome = loop {
            let rest = self.rest.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break self.out.flush().map(|()| true);
            }
            match self.out.write(rest) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        self.rest.drain(..written);
        match outcome {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            outcome => outcome,
        }
    }
}

impl Sink for Console {
    fn batching(&self) -> Batching {
        super::LOCAL_BATCHING
    }

    fn write(&mut self, lines: &mut VecDeque<Line>) -> Option<Duration> {
        // A line stays until all of it is out; what waits in `rest` are whole lines, from the front.
        if self.rest.is_empty() {
            for line in lines.iter() {
                self.rest.extend_from_slice(line.local().as_bytes());
                self.rest.push(b'\n');
            }
        }
        let bytes = self.rest.len();
        match self.drain() {
            Ok(true) => {
                self.stats.wrote(lines.len() as u64, bytes);
                lines.clear();
                None
            }
            Ok(false) => {
                add(&self.stats.bytes, (bytes - self.rest.len()) as u64);
                Some(RETRY_AFTER)
            }
            // Nobody reads any more: there is nowhere to say it.
            Err(_) => {
                add(&self.stats.errors, 1);
                add(&self.stats.dropped, lines.len() as u64);
                self.rest.clear();
                lines.clear();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::super::super::stats::SinkKind;
    use super::*;

    /// Takes a few bytes at a time, and sometimes none.
    struct Slow {
        out: Arc<Mutex<Vec<u8>>>,
        turns: usize,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.turns += 1;
            if self.turns.is_multiple_of(3) {
                return Err(ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(5);
            self.out.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> VecDeque<Line> {
        ["first line", "second line"].into_iter().map(|text| Line::foreign(text.to_owned())).collect()
    }

    #[test]
    fn a_stream_that_takes_little_gets_every_byte_once() {
        let out = Arc::new(Mutex::new(Vec::new()));
        let stats = SinkStats::new("log", SinkKind::Console);
        let mut console = Console::new(Box::new(Slow { out: Arc::clone(&out), turns: 0 }), Arc::clone(&stats));
        let mut lines = lines();
        let mut retries = 0;
        while console.write(&mut lines).is_some() {
            retries += 1;
        }
        assert!(retries > 0 && lines.is_empty());
        assert_eq!(out.lock().unwrap().as_slice(), b"first line\nsecond line\n");
        assert_eq!(stats.read().written, 2);
    }

    #[test]
    fn a_broken_pipe_is_counted_and_no_reason_to_stop() {
        let stats = SinkStats::new("log", SinkKind::Console);
        let mut console = Console::new(Box::new(Broken), Arc::clone(&stats));
        let mut lines = lines();
        assert_eq!(console.write(&mut lines), None);
        assert_eq!((lines.len(), stats.read().dropped, stats.read().errors), (0, 2, 1));
    }
}
