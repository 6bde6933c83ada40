//! The names of rotated files: `log`, `log.1` (the youngest), … `log.N`.
//!
//! Files are renamed from the oldest to the youngest, each over the next: whenever the process ends in between, every file
//! is there under one name, and no line is lost.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How many rotated files may be asked for; the setting's own bound.
const BACKUPS_MAX: u32 = 10_000;

/// The name of a rotated file.
pub(crate) fn backup(path: &Path, index: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{index}"));
    name.into()
}

/// Moves the file away, so that a new one can be opened, and keeps `backups` old ones. With 0, the file is removed.
///
/// # Errors
/// What the system says, when the file itself could not be moved. That an older one could not be is an error as well:
/// the next rename would overwrite it.
pub(crate) fn rotate(path: &Path, backups: u32) -> io::Result<()> {
    let backups = backups.min(BACKUPS_MAX);
    remove_beyond(path, backups);
    if backups == 0 {
        return gone_is_fine(fs::remove_file(path));
    }
    // Only as far as there are files: gaps end the chain.
    let present = (1..backups).find(|index| !exists(&backup(path, *index))).unwrap_or(backups);
    for index in (1..present).rev() {
        gone_is_fine(fs::rename(backup(path, index), backup(path, index + 1)))?;
    }
    gone_is_fine(fs::rename(path, backup(path, 1)))
}

/// Removes rotated files of higher numbers: fewer are to be kept than before.
pub(crate) fn remove_beyond(path: &Path, backups: u32) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let index = file_name
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| std::str::from_utf8(rest.strip_prefix(b".")?).ok())
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0'))
            .and_then(|digits| digits.parse::<u32>().ok());
        if index.is_some_and(|index| index > backups) {
            // It stays if it cannot be removed: the log goes on.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn gone_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<(String, String)> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
            .collect();
        names.sort();
        names
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_chain_moves_on_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        for turn in 1..=5 {
            fs::write(&path, turn.to_string()).unwrap();
            rotate(&path, 3).unwrap();
        }
        assert_eq!(names(directory.path()), pairs(&[("a.log.1", "5"), ("a.log.2", "4"), ("a.log.3", "3")]));
    }

    #[test]
    fn a_gap_ends_the_chain_and_nothing_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        for (name, text) in [("a.log", "new"), ("a.log.1", "one"), ("a.log.3", "three")] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        rotate(&path, 5).unwrap();
        assert_eq!(names(directory.path()), pairs(&[("a.log.1", "new"), ("a.log.2", "one"), ("a.log.3", "three")]));
    }

    #[test]
    fn fewer_backups_remove_the_others_and_touch_no_stranger() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        for name in
            ["a.log.1", "a.log.2", "a.log.17", "a.log.2.gz", "a.log.x", "a.log.017", "b.log.9", "a.log.99999999999"]
        {
            fs::write(directory.path().join(name), "").unwrap();
        }
        remove_beyond(&path, 1);
        let left: Vec<_> = names(directory.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["a.log.017", "a.log.1", "a.log.2.gz", "a.log.99999999999", "a.log.x", "b.log.9"]);
    }

    #[test]
    fn without_backups_the_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        fs::write(&path, "x").unwrap();
        fs::write(backup(&path, 1), "y").unwrap();
        rotate(&path, 0).unwrap();
        rotate(&path, 0).unwrap();
        assert!(names(directory.path()).is_empty());
    }
}
