//! The sockets of this node and the rooms they are in, as of the dispatcher's place in the order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use slab::Slab;
use vedfolnir_cluster::state::{Epoch, PidHash, Record};

use super::session::SessionSocket;

/// A socket's key while it is in the hub.
type Key = usize;

/// What the hub needs of a socket; a seam so that its tests need no cluster.
pub(crate) trait Member {
    /// Which session.
    fn pid(&self) -> PidHash;
    /// Under which epoch.
    fn epoch(&self) -> Epoch;
}

impl Member for SessionSocket {
    fn pid(&self) -> PidHash {
        self.pid
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// What became of a socket that asked to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// It is in the hub, or will be once the dispatcher comes to the session's opening.
    Yes,
    /// Its session has gone to another owner already.
    Gone,
}

/// The sockets of this node.
///
/// Invariants: one entry for each session; rooms change only by what the dispatcher tells in log order; `rooms` and
/// `everyone` hold exactly the keys of `entries`; an early socket waits in `early` at an index that the dispatcher has
/// not completed.
pub(crate) struct Hub<M> {
    entries: Slab<Entry<M>>,
    by_pid: HashMap<PidHash, Key>,
    namespaces: HashMap<Arc<str>, Members>,
    /// Sockets whose tickets were faster than the dispatcher, with the index of their opening.
    early: HashMap<PidHash, Vec<(u64, Arc<M>)>>,
    /// The last index that the dispatcher is done with.
    completed: u64,
}

struct Entry<M> {
    pid: PidHash,
    epoch: Epoch,
    namespace: Arc<str>,
    rooms: Vec<Arc<str>>,
    socket: Option<Arc<M>>,
}

/// One namespace's sockets.
#[derive(Default)]
struct Members {
    everyone: HashSet<Key>,
    rooms: HashMap<Arc<str>, HashSet<Key>>,
}

impl<M> Default for Hub<M> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            by_pid: HashMap::new(),
            namespaces: HashMap::new(),
            early: HashMap::new(),
            completed: 0,
        }
    }
}

impl<M: Member> Hub<M> {
    /// Connects an opened session to its socket. `index` is where the session was opened.
    pub(crate) fn attach(&mut self, socket: &Arc<M>, index: u64) -> Attached {
        let (pid, epoch) = (socket.pid(), socket.epoch());
        if let Some(entry) = self.by_pid.get(&pid).and_then(|key| self.entries.get_mut(*key))
            && entry.epoch == epoch
        {
            entry.socket = Some(Arc::clone(socket));
            return Attached::Yes;
        }
        if self.completed >= index {
            return Attached::Gone;
        }
        self.early.entry(pid).or_default().push((index, Arc::clone(socket)));
        Attached::Yes
    }

    /// The socket's transport is gone.
    pub(crate) fn detach(&mut self, pid: PidHash, epoch: Epoch) {
        if let Some(early) = self.early.get_mut(&pid) {
            early.retain(|(_, socket)| socket.epoch() != epoch);
            if early.is_empty() {
                self.early.remove(&pid);
            }
        }
        self.remove(pid, epoch);
    }

    /// A session of this node opened.
    pub(crate) fn opened(&mut self, pid: PidHash, epoch: Epoch, namespace: &Arc<str>, rooms: &[Arc<str>]) {
        let known =
            self.by_pid.get(&pid).copied().filter(|key| self.entries.get(*key).is_some_and(|e| e.epoch == epoch));
        // After a snapshot the state may be ahead of the effects, and the socket in place already.
        let mut socket = known.and_then(|key| self.remove_key(key));
        if let Some(older) = self.by_pid.get(&pid).copied() {
            self.remove_key(older);
        }
        if let Some(early) = self.take_early(pid, epoch) {
            socket = Some(early);
        }
        let entry = Entry { pid, epoch, namespace: Arc::clone(namespace), rooms: rooms.to_vec(), socket };
        let key = self.entries.insert(entry);
        self.by_pid.insert(pid, key);
        let members = self.namespaces.entry(Arc::clone(namespace)).or_default();
        members.everyone.insert(key);
        for room in rooms {
            members.rooms.entry(Arc::clone(room)).or_default().insert(key);
        }
    }

    fn take_early(&mut self, pid: PidHash, epoch: Epoch) -> Option<Arc<M>> {
        let early = self.early.get_mut(&pid)?;
        let at = early.iter().position(|(_, socket)| socket.epoch() == epoch)?;
        let (_, socket) = early.remove(at);
        if early.is_empty() {
            self.early.remove(&pid);
        }
        Some(socket)
    }

    /// A session entered a room.
    pub(crate) fn joined(&mut self, pid: PidHash, room: &Arc<str>) {
        let Some(key) = self.by_pid.get(&pid) else { return };
        let Some(entry) = self.entries.get_mut(*key) else { return };
        if entry.rooms.contains(room) {
            return;
        }
        entry.rooms.push(Arc::clone(room));
        if let Some(members) = self.namespaces.get_mut(&entry.namespace) {
            members.rooms.entry(Arc::clone(room)).or_default().insert(*key);
        }
    }

    /// A session left a room.
    pub(crate) fn left(&mut self, pid: PidHash, room: &Arc<str>) {
        let Some(key) = self.by_pid.get(&pid) else { return };
        let Some(entry) = self.entries.get_mut(*key) else { return };
        entry.rooms.retain(|joined| joined != room);
        if let Some(members) = self.namespaces.get_mut(&entry.namespace) {
            members.leave(*key, room);
        }
    }

    /// A session is over under this epoch; gives its socket, if it had one.
    pub(crate) fn remove(&mut self, pid: PidHash, epoch: Epoch) -> Option<Arc<M>> {
        let key = self.by_pid.get(&pid).copied()?;
        if self.entries.get(key)?.epoch != epoch {
            return None;
        }
        self.remove_key(key)
    }

    fn remove_key(&mut self, key: Key) -> Option<Arc<M>> {
        let entry = self.entries.try_remove(key)?;
        self.by_pid.remove(&entry.pid);
        if let Some(members) = self.namespaces.get_mut(&entry.namespace) {
            members.everyone.remove(&key);
            for room in &entry.rooms {
                members.leave(key, room);
            }
            if members.everyone.is_empty() {
                self.namespaces.remove(&entry.namespace);
            }
        }
        entry.socket
    }

    /// The dispatcher is done with `index`: gives early sockets whose session was opened and gone again by then.
    pub(crate) fn complete(&mut self, index: u64) -> Vec<Arc<M>> {
        self.completed = self.completed.max(index);
        if self.early.is_empty() {
            return Vec::new();
        }
        let mut gone = Vec::new();
        self.early.retain(|_, early| {
            early.retain(|(at, socket)| {
                if *at <= index {
                    gone.push(Arc::clone(socket));
                }
                *at > index
            });
            !early.is_empty()
        });
        gone
    }

    /// All sockets, and an empty hub. Early ones stay: their sessions are opened further on.
    pub(crate) fn clear(&mut self) -> Vec<Arc<M>> {
        self.by_pid.clear();
        self.namespaces.clear();
        let entries = std::mem::take(&mut self.entries);
        entries.into_iter().filter_map(|(_, entry)| entry.socket).collect()
    }

    /// All sockets, early ones included.
    pub(crate) fn sockets(&self) -> Vec<Arc<M>> {
        let attached = self.entries.iter().filter_map(|(_, entry)| entry.socket.clone());
        let early = self.early.values().flatten().map(|(_, socket)| Arc::clone(socket));
        attached.chain(early).collect()
    }

    /// A session's socket, an early one included.
    pub(crate) fn socket(&self, pid: &PidHash) -> Option<Arc<M>> {
        let attached = self.by_pid.get(pid).and_then(|key| self.entries.get(*key)?.socket.clone());
        attached.or_else(|| self.early.get(pid)?.last().map(|(_, socket)| Arc::clone(socket)))
    }

    /// Each namespace with its sockets here.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (Arc<str>, u64)> + '_ {
        self.namespaces.iter().map(|(name, members)| (Arc::clone(name), members.everyone.len() as u64))
    }

    /// Visits every socket that a record addresses, once.
    pub(crate) fn visit(&self, record: &Record, mut visit: impl FnMut(&Arc<M>)) {
        let Some(members) = self.namespaces.get(&record.namespace) else { return };
        let excluded: Vec<&HashSet<Key>> = record.except.iter().filter_map(|room| members.rooms.get(room)).collect();
        let mut reach = |key: Key| {
            if !excluded.iter().any(|room| room.contains(&key))
                && let Some(socket) = self.entries.get(key).and_then(|entry| entry.socket.as_ref())
            {
                visit(socket);
            }
        };
        match record.rooms.as_slice() {
            [] => members.everyone.iter().copied().for_each(reach),
            [room] => members.rooms.get(room).into_iter().flatten().copied().for_each(reach),
            rooms => {
                let mut seen = HashSet::new();
                for key in rooms.iter().filter_map(|room| members.rooms.get(room)).flatten() {
                    if seen.insert(*key) {
                        reach(*key);
                    }
                }
            }
        }
    }
}

impl Members {
    fn leave(&mut self, key: Key, room: &Arc<str>) {
        if let Some(keys) = self.rooms.get_mut(room) {
            keys.remove(&key);
            if keys.is_empty() {
                self.rooms.remove(room);
            }
        }
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
