//! Commands that wait for a batch: one line for each session, and one for commands without a session; the lines take
//! turns.

use std::collections::{HashMap, VecDeque};

use slab::Slab;
use tokio::sync::oneshot;
use vedfolnir_state::{Command, PidHash, PublishOnce, Response};

use crate::handle::ProposeError;

/// Who waits for a command's response.
pub(crate) type Reply = oneshot::Sender<Result<Response, ProposeError>>;

/// A command that waits.
pub(crate) struct Pending {
    pub(crate) command: Command,
    /// Estimated bytes.
    pub(crate) bytes: usize,
    pub(crate) reply: Reply,
}

/// Bytes of one session's commands that wait; a session that floods fills its own line, not the queue of all.
const SESSION_WAITING_BYTES_MAX: usize = 8 << 20;
/// Lines that one batch passes over; then it is cut as it is.
const PASSED_OVER_MAX: usize = 64;

/// Whose line a command stands in; `None`: it belongs to no session.
type Line = Option<PidHash>;

/// Invariants: `ends` names exactly the lines that are not empty, `turns` and `passed_over` together each of them once,
/// and between batches nothing is passed over; a line's commands are linked from its head to its tail. The links, instead
/// of a queue for each line, cost no allocation once the slab has grown: most lines hold one command.
#[derive(Default)]
pub(crate) struct Lines {
    waiting: Slab<Linked>,
    ends: HashMap<Line, Ends>,
    /// Whose turn it is, next first.
    turns: VecDeque<Line>,
    /// Lines that are not in `turns` because their first command does not fit into the batch that is being cut.
    passed_over: Vec<Line>,
}

struct Linked {
    pending: Pending,
    next: Option<usize>,
}

#[derive(Clone, Copy)]
struct Ends {
    head: usize,
    tail: usize,
    /// Of all its commands.
    bytes: usize,
}

impl Lines {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether its session has room for a command of so many bytes: one alone always has.
    pub(crate) fn has_room(&self, command: &Command, bytes: usize) -> bool {
        let Some(session) = line_of(command) else { return true };
        self.ends.get(&Some(session)).is_none_or(|ends| ends.bytes + bytes <= SESSION_WAITING_BYTES_MAX)
    }

    /// Behind everything in the same line.
    pub(crate) fn push(&mut self, pending: Pending) {
        let line = line_of(&pending.command);
        let bytes = pending.bytes;
        let key = self.waiting.insert(Linked { pending, next: None });
        match self.ends.get_mut(&line) {
            Some(ends) => {
                self.waiting[ends.tail].next = Some(key);
                ends.tail = key;
                ends.bytes += bytes;
            }
            None => {
                self.ends.insert(line, Ends { head: key, tail: key, bytes });
                self.turns.push_back(line);
            }
        }
    }

    /// The first command of the line whose turn it is; that line goes to the end of the turns. A line whose first
    /// command is larger than `bytes_max` is passed over until the batch ends.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Option<Pending> {
        loop {
            let line = *self.turns.front()?;
            let ends = self.ends.get_mut(&line)?;
            if self.waiting[ends.head].pending.bytes > bytes_max {
                if self.passed_over.len() == PASSED_OVER_MAX {
                    return None;
                }
                self.turns.pop_front();
                self.passed_over.push(line);
                continue;
            }
            self.turns.pop_front();
            let Linked { pending, next } = self.waiting.remove(ends.head);
            match next {
                Some(next) => {
                    ends.head = next;
                    ends.bytes -= pending.bytes;
                    self.turns.push_back(line);
                }
                None => drop(self.ends.remove(&line)),
            }
            return Some(pending);
        }
    }

    /// Lines that were passed over have the next turns.
    pub(crate) fn end_batch(&mut self) {
        while let Some(line) = self.passed_over.pop() {
            self.turns.push_front(line);
        }
    }

    /// Empties every line.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Reply> + '_ {
        self.ends.clear();
        self.turns.clear();
        self.passed_over.clear();
        self.waiting.drain().map(|linked| linked.pending.reply)
    }
}

fn line_of(command: &Command) -> Line {
    match command {
        Command::Register(register) => Some(register.pid),
        Command::Resume(resume) => Some(resume.pid),
        Command::Disconnect { pid, .. }
        | Command::Close { pid, .. }
        | Command::Join { pid, .. }
        | Command::Leave { pid, .. }
        | Command::SetData { pid, .. } => Some(*pid),
        Command::Publish(publish) | Command::PublishOnce(PublishOnce { publish, .. }) => {
            publish.from.map(|(pid, _)| pid)
        }
        _ => None,
    }
}
