//! The heartbeat of Engine.IO v4: the server pings after the interval and gives the pong a time-out.

/// One session's heartbeat.
///
/// Invariant: `deadline_ms` is when the next ping is due, or, while `awaiting_pong`, when the client counts as gone.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    deadline_ms: u64,
    awaiting_pong: bool,
}

/// What a passed deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatAction {
    /// Send a ping; its pong is now awaited.
    Ping,
    /// The pong did not come.
    TimedOut,
}

impl Heartbeat {
    /// The first ping is due one interval after the session opened, not at once.
    #[must_use]
    pub const fn new(interval_ms: u64, now_ms: u64) -> Self {
        Self { deadline_ms: now_ms.saturating_add(interval_ms), awaiting_pong: false }
    }

    /// When `handle_timeout` has something to do.
    #[must_use]
    pub const fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// A pong came: the next ping is due an interval from now. A stray pong changes nothing.
    pub const fn handle_pong(&mut self, interval_ms: u64, now_ms: u64) {
        if self.awaiting_pong {
            *self = Self::new(interval_ms, now_ms);
        }
    }

    /// Acts on a passed deadline. However late it is called, an unsent ping is sent before anyone is judged gone.
    pub const fn handle_timeout(&mut self, timeout_ms: u64, now_ms: u64) -> Option<HeartbeatAction> {
        if now_ms < self.deadline_ms {
            return None;
        }
        if self.awaiting_pong {
            return Some(HeartbeatAction::TimedOut);
        }
        *self = Self { deadline_ms: now_ms.saturating_add(timeout_ms), awaiting_pong: true };
        Some(HeartbeatAction::Ping)
    }
}
