//! Where lines go: the console, files, syslog receivers, receivers over HTTP. Each has a thread and a bounded queue.

pub(crate) mod console;
pub(crate) mod file;
pub mod http;
pub(crate) mod rotation;
pub mod syslog;
pub mod tls;

use super::queue::Batching;

/// How long a line waits for others before it is written: fewer wake-ups, and nobody reads faster.
const LINGER: std::time::Duration = std::time::Duration::from_millis(2);
/// Bytes that are written at once.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// For what is written to a descriptor.
const LOCAL_BATCHING: Batching = Batching { lines_max: 1024, bytes_max: WRITE_BYTES_MAX, linger: LINGER };
