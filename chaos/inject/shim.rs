//! Disk errors, slow and hanging disks and clocks that are wrong, set while the node runs: a library for `LD_PRELOAD` and the
//! file that steers it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{InjectError, compile};

const SOURCE: &str = include_str!("shim.c");
const MAGIC: [u8; 8] = *b"VDCHAOS1";
const FIELD_BYTES: u64 = 8;
const CURRENT: u64 = 1;
const PROCESSES: u64 = 2;
const SYNCS_FAILED: u64 = 4;
const SYNCS_WAITING: u64 = 5;
const SYNCS_DELAYED: u64 = 6;
const WRITES_FAILED: u64 = 7;
/// Where the first of the two slots is, and how many fields one has.
const SLOTS: u64 = 16;
const SLOT_FIELDS: u64 = 10;
const FIELDS: u64 = SLOTS + 2 * SLOT_FIELDS;

/// The compiled library.
#[derive(Clone, Debug)]
pub struct Shim {
    library: PathBuf,
    directory: PathBuf,
}

impl Shim {
    /// Compiles the library into `directory`, which the control files go to as well.
    ///
    /// # Errors
    /// No `cc`, or one that refuses.
    pub fn build(directory: &Path) -> Result<Self, InjectError> {
        let library = directory.join("chaos_shim.so");
        compile(SOURCE, &library, &["-shared", "-fPIC"])?;
        Ok(Self { library, directory: directory.to_owned() })
    }

    /// For the node `name`, whose files are below `data_dir`; the directory above `data_dir` is there already.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn control(&self, name: &str, data_dir: &Path) -> Result<Control, InjectError> {
        // As the kernel names the files behind descriptors.
        let parent = data_dir.parent().unwrap_or(Path::new("."));
        let data_dir =
            parent.canonicalize().map_err(InjectError::file(parent))?.join(data_dir.file_name().unwrap_or_default());
        Control::create(self.directory.join(format!("{name}.control")), &data_dir, &self.library)
    }
}

/// What fsync, fdatasync, syncfs and `sync_file_range` do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncFault {
    /// They work.
    #[default]
    None,
    /// Each fails with EIO.
    Eio,
    /// The next one fails with EIO, all others work: as Linux reports a lost page, once.
    EioOnce,
    /// They wait until another mode is set.
    Hang,
    /// Each takes so much longer.
    Slow(Duration),
}

/// What becomes of calls that take room: write, pwrite, ftruncate, fallocate, a file that is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteFault {
    /// They work.
    #[default]
    None,
    /// No space left on device.
    Enospc,
    /// Input/output error.
    Eio,
}

/// How a node's clocks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Clocks {
    /// True monotonic time at which the offsets hold, in nanoseconds.
    base_ns: i64,
    real_offset_ns: i64,
    real_rate_ppb: i64,
    mono_offset_ns: i64,
    mono_rate_ppb: i64,
}

impl Clocks {
    /// The same clocks, described from a later moment on.
    fn at(self, now_ns: i64) -> Self {
        let gone = i128::from(now_ns.saturating_sub(self.base_ns));
        let drifted = |offset: i64, ppb: i64| {
            let drift = gone * i128::from(ppb) / 1_000_000_000;
            offset.saturating_add(i64::try_from(drift).unwrap_or(0))
        };
        Self {
            base_ns: now_ns,
            real_offset_ns: drifted(self.real_offset_ns, self.real_rate_ppb),
            mono_offset_ns: drifted(self.mono_offset_ns, self.mono_rate_ppb),
            ..self
        }
    }
}

/// What the library did so far, over all restarts of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Processes that it was loaded into.
    pub processes: u64,
    /// Syncs that it let fail.
    pub syncs_failed: u64,
    /// Syncs that wait right now; a process that is killed meanwhile leaves them counted.
    pub syncs_waiting: u64,
    /// Syncs that it made slow.
    pub syncs_delayed: u64,
    /// Writes that it let fail.
    pub writes_failed: u64,
}

/// Steers the library in one node, from outside and at any time.
///
/// Invariant: the file's current slot says what the fields say.
#[derive(Debug)]
pub struct Control {
    file: File,
    path: PathBuf,
    data_dir: PathBuf,
    library: PathBuf,
    generation: u64,
    sync: SyncFault,
    write: WriteFault,
    clocks: Clocks,
}

impl Control {
    fn create(path: PathBuf, data_dir: &Path, library: &Path) -> Result<Self, InjectError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(InjectError::file(&path))?;
        let mut control = Self {
            file,
            path,
            data_dir: data_dir.to_owned(),
            library: library.to_owned(),
            generation: 0,
            sync: SyncFault::None,
            write: WriteFault::None,
            clocks: Clocks::default(),
        };
        control.file.set_len(FIELDS * FIELD_BYTES).map_err(InjectError::file(&control.path))?;
        control.put(0, &[u64::from_le_bytes(MAGIC)])?;
        control.apply()?;
        Ok(control)
    }

    /// The environment that a node needs to be steered.
    #[must_use]
    pub fn env(&self) -> Vec<(String, OsString)> {
        vec![
            ("LD_PRELOAD".to_owned(), self.library.clone().into_os_string()),
            ("VEDFOLNIR_CHAOS_CONTROL".to_owned(), self.path.clone().into_os_string()),
            ("VEDFOLNIR_CHAOS_DIRECTORY".to_owned(), self.data_dir.clone().into_os_string()),
        ]
    }

    /// Sets what syncs do.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn sync(&mut self, fault: SyncFault) -> Result<(), InjectError> {
        self.sync = fault;
        self.apply()
    }

    /// Sets what becomes of writes.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn write(&mut self, fault: WriteFault) -> Result<(), InjectError> {
        self.write = fault;
        self.apply()
    }

    /// Sets the wall clock off by `milliseconds`, at once; 0: it is right again.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn wall_clock(&mut self, milliseconds: i64) -> Result<(), InjectError> {
        self.clocks = self.clocks.at(monotonic_ns());
        self.clocks.real_offset_ns = milliseconds.saturating_mul(1_000_000);
        self.apply()
    }

    /// Lets the clocks run at these rates from now on, without a jump; 1.0 is right. The monotonic clock never goes back, so
    /// that what it has gained stays.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn rates(&mut self, wall: f64, monotonic: f64) -> Result<(), InjectError> {
        // Truncation is harmless: a rate is a number near one.
        #[allow(clippy::cast_possible_truncation)]
        let ppb = |rate: f64| ((rate - 1.0) * 1e9).round() as i64;
        self.clocks = self.clocks.at(monotonic_ns());
        (self.clocks.real_rate_ppb, self.clocks.mono_rate_ppb) = (ppb(wall), ppb(monotonic));
        self.apply()
    }

    /// No fault of the disk, right wall clock, right rates.
    ///
    /// # Errors
    /// The control file cannot be written.
    pub fn heal(&mut self) -> Result<(), InjectError> {
        (self.sync, self.write) = (SyncFault::None, WriteFault::None);
        self.clocks = self.clocks.at(monotonic_ns());
        (self.clocks.real_offset_ns, self.clocks.real_rate_ppb, self.clocks.mono_rate_ppb) = (0, 0, 0);
        self.apply()
    }

    /// What the library did.
    ///
    /// # Errors
    /// The control file cannot be read.
    pub fn seen(&self) -> Result<Seen, InjectError> {
        let mut bytes = [0; (SLOTS * FIELD_BYTES) as usize];
        self.file.read_exact_at(&mut bytes, 0).map_err(InjectError::file(&self.path))?;
        let (fields, _) = bytes.as_chunks::<8>();
        let field = |index: u64| {
            usize::try_from(index)
                .ok()
                .and_then(|index| fields.get(index))
                .map_or(0, |field| u64::from_ne_bytes(*field))
        };
        Ok(Seen {
            processes: field(PROCESSES),
            syncs_failed: field(SYNCS_FAILED),
            syncs_waiting: field(SYNCS_WAITING),
            syncs_delayed: field(SYNCS_DELAYED),
            writes_failed: field(WRITES_FAILED),
        })
    }

    /// Writes the slot that nobody reads, then makes it the current one.
    fn apply(&mut self) -> Result<(), InjectError> {
        self.generation += 1;
        let slot = self.generation & 1;
        let (mode, delay_ms) = match self.sync {
            SyncFault::None => (0, 0),
            SyncFault::Eio => (1, 0),
            SyncFault::EioOnce => (2, 0),
            SyncFault::Hang => (3, 0),
            SyncFault::Slow(by) => (4, u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        };
        let errno = match self.write {
            WriteFault::None => 0,
            WriteFault::Enospc => rustix::io::Errno::NOSPC.raw_os_error(),
            WriteFault::Eio => rustix::io::Errno::IO.raw_os_error(),
        };
        let Clocks { base_ns, real_offset_ns, real_rate_ppb, mono_offset_ns, mono_rate_ppb } = self.clocks;
        let are_off = [real_offset_ns, real_rate_ppb, mono_offset_ns, mono_rate_ppb].iter().any(|value| *value != 0);
        let clocks = [base_ns, real_offset_ns, real_rate_ppb, mono_offset_ns, mono_rate_ppb].map(i64::cast_unsigned);
        let mut fields = vec![self.generation, mode, delay_ms, u64::from(errno.unsigned_abs())];
        fields.extend(clocks);
        fields.push(u64::from(are_off));
        self.put(SLOTS + slot * SLOT_FIELDS, &fields)?;
        self.put(CURRENT, &[slot])
    }

    fn put(&self, index: u64, fields: &[u64]) -> Result<(), InjectError> {
        let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
        self.file.write_all_at(&bytes, index * FIELD_BYTES).map_err(InjectError::file(&self.path))
    }
}

fn monotonic_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

#[cfg(test)]
#[path = "shim_tests.rs"]
mod tests;
