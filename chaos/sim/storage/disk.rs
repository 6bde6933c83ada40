//! One host's disk: what is on it, what is under way, and what a crash leaves.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vedfolnir_planted::{Bug, is};
use vedfolnir_sim_world::hosts::{self, Host};
use vedfolnir_sim_world::{clock, random, trace};

use crate::snapshots::{Incoming, SnapshotFile};

/// What tells the caller that its operation is on disk.
pub(crate) type Done = Box<dyn FnOnce(Result<(), io::Error>) + Send>;

/// One operation on the log; they are executed in the order of their arrival.
pub(crate) enum Operation {
    Append(Vec<(u64, Vec<u8>)>),
    Vote(Vec<u8>),
    /// Everything from the index on goes.
    TruncateFrom(u64),
    /// Everything up to the index goes; the record says so.
    Purge(u64, Vec<u8>),
    /// Not worth a sync of its own.
    Committed(Vec<u8>),
    /// Done when everything before it is on disk.
    Barrier,
}

impl Operation {
    fn syncs(&self) -> bool {
        !matches!(self, Self::Committed(_) | Self::Barrier)
    }
}

/// What survives a loss of power.
#[derive(Default)]
pub(crate) struct Platter {
    pub(crate) meta: BTreeMap<String, Vec<u8>>,
    pub(crate) vote: Option<Vec<u8>>,
    pub(crate) committed: Option<Vec<u8>>,
    pub(crate) purged: Option<(u64, Vec<u8>)>,
    pub(crate) log: BTreeMap<u64, Vec<u8>>,
    /// Oldest first.
    pub(crate) snapshots: Vec<SnapshotFile>,
    /// A peer's snapshot that has not come to its end: which transfer writes it, what it is, what there is of it.
    pub(crate) incoming: Option<Incoming>,
}

/// How long a sync takes.
#[derive(Clone, Copy, Debug)]
pub struct DiskWeather {
    /// Shortest, microseconds.
    pub sync_us: u64,
    /// Added at random, microseconds.
    pub jitter_us: u64,
    /// Until this moment no sync comes to an end.
    pub hangs_until_us: u64,
}

impl DiskWeather {
    /// A fast local disk.
    pub const FAIR: Self = Self { sync_us: 100, jitter_us: 1_500, hangs_until_us: 0 };
}

pub(crate) struct Disk {
    pub(crate) platter: Platter,
    host: Host,
    life: u64,
    /// Handed over and not begun.
    queue: VecDeque<(Operation, Option<Done>)>,
    /// Under way in one write.
    writing: Vec<(Operation, Option<Done>)>,
    began_us: u64,
    weather: DiskWeather,
}

thread_local! {
    static DISKS: RefCell<BTreeMap<PathBuf, Arc<Mutex<Disk>>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The disk behind a data directory.
pub(crate) fn of(path: &Path) -> Arc<Mutex<Disk>> {
    DISKS.with_borrow_mut(|disks| {
        let disk = disks.entry(path.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(Disk {
                platter: Platter::default(),
                host: 0,
                life: 0,
                queue: VecDeque::new(),
                writing: Vec::new(),
                began_us: 0,
                weather: DiskWeather::FAIR,
            }))
        });
        Arc::clone(disk)
    })
}

/// An empty disk in place of that one.
pub fn wipe(path: &Path) {
    DISKS.with_borrow_mut(|disks| disks.remove(path));
}

/// From now on syncs take this long.
pub fn set_weather(path: &Path, weather: DiskWeather) {
    of(path).lock().weather = weather;
}

/// The host lost its power: of what was not synced any prefix is there.
pub fn crash(path: &Path) {
    let disk = of(path);
    let mut disk = disk.lock();
    disk.life = 0;
    let mut under_way: Vec<Operation> =
        std::mem::take(&mut disk.writing).into_iter().map(|(operation, _)| operation).collect();
    under_way.extend(std::mem::take(&mut disk.queue).into_iter().map(|(operation, _)| operation));
    let kept = random::below(under_way.len() as u64 + 1) as usize;
    trace::note("crashed disk", &[under_way.len() as u64, kept as u64]);
    if is(Bug::SkipFsync) {
        // The page cache is gone with the power.
        return;
    }
    for operation in under_way.into_iter().take(kept) {
        disk.platter.perform(operation);
    }
}

impl Platter {
    fn perform(&mut self, operation: Operation) {
        match operation {
            Operation::Append(records) => self.log.extend(records),
            Operation::Vote(_) if is(Bug::VoteNotPersisted) => {}
            Operation::Vote(record) => self.vote = Some(record),
            Operation::TruncateFrom(end) => drop(self.log.split_off(&end)),
            Operation::Purge(last, record) => {
                self.log = self.log.split_off(&(last + 1));
                self.purged = Some((last, record));
            }
            Operation::Committed(record) => self.committed = Some(record),
            Operation::Barrier => {}
        }
    }
}

impl Disk {
    /// A process opens it.
    pub(crate) fn open(&mut self) {
        let host = hosts::current().unwrap_or_default();
        (self.host, self.life) = (host, hosts::life(host));
        self.queue.clear();
        self.writing.clear();
        if is(Bug::TailDropped) {
            self.platter.log.pop_last();
        }
    }

    /// How long the write that is running has been running.
    pub(crate) fn running_for(&self) -> Option<Duration> {
        let began_us = (!self.writing.is_empty()).then_some(self.began_us)?;
        Some(Duration::from_micros(clock::now_us().saturating_sub(began_us)))
    }
}

/// Hands an operation over.
pub(crate) fn submit(disk: &Arc<Mutex<Disk>>, operation: Operation, done: Option<Done>) {
    let mut locked = disk.lock();
    if !hosts::lives(locked.host, locked.life) {
        return;
    }
    if is(Bug::SkipFsync) {
        locked.queue.push_back((operation, None));
        let idle = locked.writing.is_empty();
        drop(locked);
        if let Some(done) = done {
            done(Ok(()));
        }
        if idle {
            begin(disk);
        }
        return;
    }
    locked.queue.push_back((operation, done));
    let idle = locked.writing.is_empty();
    drop(locked);
    if idle {
        begin(disk);
    }
}

/// Writes what waits, all of it under one sync.
fn begin(disk: &Arc<Mutex<Disk>>) {
    let mut locked = disk.lock();
    if !locked.writing.is_empty() || locked.queue.is_empty() {
        return;
    }
    locked.writing = std::mem::take(&mut locked.queue).into();
    locked.began_us = clock::now_us();
    let weather = locked.weather;
    let syncs = locked.writing.iter().any(|(operation, _)| operation.syncs());
    let mut takes = if syncs { weather.sync_us + random::below(weather.jitter_us + 1) } else { 20 };
    if is(Bug::SkipFsync) {
        // Nobody waits for it: the system writes back when it likes.
        takes += 400_000;
    }
    let at = (clock::now_us() + takes).max(weather.hangs_until_us);
    let life = locked.life;
    drop(locked);
    let disk = Arc::clone(disk);
    clock::at(at, move || finish(&disk, life));
}

fn finish(disk: &Arc<Mutex<Disk>>, life: u64) {
    let mut locked = disk.lock();
    if locked.life != life || !hosts::lives(locked.host, life) {
        return;
    }
    let hangs_until = locked.weather.hangs_until_us;
    if hangs_until > clock::now_us() {
        drop(locked);
        let disk = Arc::clone(disk);
        clock::at(hangs_until, move || finish(&disk, life));
        return;
    }
    let written = std::mem::take(&mut locked.writing);
    trace::note("synced", &[locked.host as u64, written.len() as u64]);
    let mut calls = Vec::new();
    for (operation, done) in written {
        locked.platter.perform(operation);
        calls.extend(done);
    }
    drop(locked);
    for done in calls {
        done(Ok(()));
    }
    begin(disk);
}
