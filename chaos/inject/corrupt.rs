//! Damage to the files of a node that is not running: bits flipped, ends cut off, everything gone, or an old copy put back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::InjectError;

/// A class of files in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The log database's write-ahead log: the newest entries of the Raft log, and votes.
    WriteAheadLog,
    /// Its tables: older entries.
    Tables,
    /// What says which files belong to the database.
    Manifest,
    /// Snapshots.
    Snapshots,
    /// The durable marker.
    Marker,
}

impl Part {
    /// What a person calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteAheadLog => "write-ahead log",
            Self::Tables => "table",
            Self::Manifest => "manifest",
            Self::Snapshots => "snapshot",
            Self::Marker => "marker",
        }
    }

    fn holds(self, path: &Path) -> bool {
        let is_in = |directory: &str| path.parent().and_then(Path::file_name).is_some_and(|name| name == directory);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::WriteAheadLog => is_in("db") && name.ends_with(".log"),
            Self::Tables => is_in("db") && name.ends_with(".sst"),
            Self::Manifest => is_in("db") && (name.starts_with("MANIFEST-") || name == "CURRENT"),
            Self::Snapshots => is_in("snapshots") && name.ends_with(".snapshot"),
            Self::Marker => name == "durable",
        }
    }

    /// The files of this class that have anything in them, the newest last.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn files(self, data_dir: &Path) -> Result<Vec<PathBuf>, InjectError> {
        let mut found = Vec::new();
        for directory in [data_dir.to_owned(), data_dir.join("db"), data_dir.join("snapshots")] {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(InjectError::file(&directory)(error)),
            };
            let files = entries.flatten().map(|entry| entry.path());
            found.extend(files.filter(|path| self.holds(path) && path.metadata().is_ok_and(|file| file.len() > 0)));
        }
        found.sort();
        Ok(found)
    }
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit is the other way round.
    FlipBit,
    /// So many bytes in a row are something else.
    Scribble {
        /// How many, at most.
        bytes_max: usize,
    },
    /// So many bytes in a row are zero, as after a block that was never written.
    Zero {
        /// How many, at most.
        bytes_max: usize,
    },
    /// The end is missing: any part, but for at least one byte.
    Truncate,
}

/// Damages one file of the class, chosen by `random`; gives what was done where, or `None` if there is no such file.
///
/// # Errors
/// A file cannot be read or written.
pub fn damage(data_dir: &Path, part: Part, how: Damage, random: &mut Rng) -> Result<Option<String>, InjectError> {
    let files = part.files(data_dir)?;
    let Some(path) = random.choice(&files) else { return Ok(None) };
    let done = damage_file(path, how, random).map_err(InjectError::file(path))?;
    let name = path.strip_prefix(data_dir).unwrap_or(path).display();
    Ok(Some(format!("{} {name}: {done}", part.name())))
}

fn damage_file(path: &Path, how: Damage, random: &mut Rng) -> io::Result<String> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let bytes = file.metadata()?.len();
    // Where something is: files that were allocated ahead end with zeros.
    let written = last_written(&file, bytes)?.max(1);
    let at = random.u64(..written);
    match how {
        Damage::FlipBit => {
            let bit = random.u8(..8);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at)?;
            file.write_all_at(&[byte[0] ^ (1 << bit)], at)?;
            Ok(format!("bit {bit} of byte {at} of {bytes} flipped"))
        }
        Damage::Scribble { bytes_max } | Damage::Zero { bytes_max } => {
            let most = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(bytes_max).max(1);
            let count = random.usize(1..=most);
            let is_zero = matches!(how, Damage::Zero { .. });
            let other: Vec<u8> = (0..count).map(|_| if is_zero { 0 } else { random.u8(..) }).collect();
            file.write_all_at(&other, at)?;
            let what = if is_zero { "zeroed" } else { "overwritten" };
            Ok(format!("{count} bytes from byte {at} of {bytes} on {what}"))
        }
        Damage::Truncate => {
            file.set_len(at)?;
            Ok(format!("cut from {bytes} to {at} bytes"))
        }
    }
}

/// One past the last byte that is not zero.
fn last_written(file: &File, bytes: u64) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut end = bytes;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut chunk = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(&mut chunk, start)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Takes everything out of a directory, which stays (it may be a mount).
///
/// # Errors
/// Something cannot be removed.
pub fn wipe(data_dir: &Path) -> Result<(), InjectError> {
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(InjectError::file(data_dir)(error)),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(InjectError::file(&path))?;
    }
    Ok(())
}

/// Copies the files of a directory to another one, which then holds nothing else. Sockets are left out.
///
/// # Errors
/// Something cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<(), InjectError> {
    wipe(to)?;
    fs::create_dir_all(to).map_err(InjectError::file(to))?;
    for entry in fs::read_dir(from).map_err(InjectError::file(from))?.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(InjectError::file(&path))?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(InjectError::file(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for inner in ["db", "snapshots"] {
            fs::create_dir(directory.path().join(inner)).unwrap();
        }
        let mut wal = vec![7; 1000];
        wal.resize(100_000, 0);
        fs::write(directory.path().join("db/000004.log"), wal).unwrap();
        fs::write(directory.path().join("db/LOG"), "text").unwrap();
        fs::write(directory.path().join("snapshots/0-1.snapshot"), [1; 50]).unwrap();
        fs::write(directory.path().join("durable"), [1; 24]).unwrap();
        directory
    }

    #[test]
    fn damage_hits_what_was_written_in_its_class_and_nothing_else() {
        for seed in 0..50 {
            let node = node();
            let mut random = Rng::with_seed(seed);
            let done = damage(node.path(), Part::WriteAheadLog, Damage::FlipBit, &mut random).unwrap().unwrap();
            assert!(done.starts_with("write-ahead log db/000004.log: bit "), "{done}");
            let wal = fs::read(node.path().join("db/000004.log")).unwrap();
            assert_eq!(wal[..1000].iter().filter(|byte| **byte != 7).count(), 1);
            assert!(wal[1000..].iter().all(|byte| *byte == 0));
            damage(node.path(), Part::WriteAheadLog, Damage::Truncate, &mut random).unwrap().unwrap();
            assert!(fs::metadata(node.path().join("db/000004.log")).unwrap().len() < 1000);
            assert_eq!(fs::read(node.path().join("snapshots/0-1.snapshot")).unwrap(), [1; 50]);
        }
        let node = node();
        let none = damage(node.path(), Part::Tables, Damage::Truncate, &mut Rng::with_seed(1)).unwrap();
        assert_eq!(none, None);
    }

    #[test]
    fn the_same_seed_does_the_same_damage() {
        let how = Damage::Scribble { bytes_max: 30 };
        let one = |seed| {
            let node = node();
            let done = damage(node.path(), Part::Snapshots, how, &mut Rng::with_seed(seed)).unwrap();
            (done, fs::read(node.path().join("snapshots/0-1.snapshot")).unwrap())
        };
        assert_eq!(one(3), one(3));
        assert_ne!(one(3), one(4));
    }

    #[test]
    fn a_copy_put_back_is_what_was_copied() {
        let (node, aside) = (node(), tempfile::tempdir().unwrap());
        copy(node.path(), aside.path()).unwrap();
        wipe(node.path()).unwrap();
        assert_eq!(fs::read_dir(node.path()).unwrap().count(), 0);
        fs::write(node.path().join("newer"), "x").unwrap();
        copy(aside.path(), node.path()).unwrap();
        assert!(!node.path().join("newer").exists());
        assert_eq!(fs::read(node.path().join("db/LOG")).unwrap(), b"text");
    }
}
