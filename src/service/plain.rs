//! A connection that speaks Engine.IO alone: what it says is answered by the application, past namespaces and sessions.

use std::collections::VecDeque;
use std::sync::Arc;

use vedfolnir_protocol::{Message, Packet};

use super::outbox::Frame;
use crate::app::{PlainHandler, PlainMessage};

/// See the module. Invariant: `bytes` is what waits to be written.
pub(super) struct Plain {
    answer: Arc<PlainHandler>,
    out: VecDeque<Message>,
    bytes: usize,
}

impl Plain {
    pub(super) fn new(answer: Arc<PlainHandler>) -> Self {
        Self { answer, out: VecDeque::new(), bytes: 0 }
    }

    /// The client said something.
    pub(super) fn take(&mut self, message: Message) {
        if let Some(answer) = PlainMessage::of(message).and_then(&*self.answer) {
            let frame = Packet::Message(answer.into_message()).to_websocket();
            self.bytes += frame.len();
            self.out.push_back(frame);
        }
    }

    /// Bytes that wait to be written.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves frames to `out` until `room` bytes are taken; gives what was taken.
    pub(super) fn collect(&mut self, out: &mut Vec<Frame>, room: usize) -> usize {
        let mut taken = 0;
        while taken < room
            && let Some(frame) = self.out.pop_front()
        {
            taken += frame.len();
            out.push(Frame::Plain(frame));
        }
        self.bytes -= taken;
        taken
    }
}
