//! Whether files changed since they were read, from what their inodes say: to be asked every few seconds.
//!
//! Links are followed, so an exchange of the directory behind a link, as Kubernetes does it, shows as another inode.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the inode behind a path said; equal stamps mean equal content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// `None` if the path leads nowhere.
    inode: Option<Inode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Tools can set the time of modification, not this one.
    changed: (i64, i64),
}

impl Stamp {
    /// Asks the system.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let inode = std::fs::metadata(path).ok().map(|metadata| Inode {
            device: metadata.dev(),
            number: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        });
        Self { inode }
    }
}

/// Reports a change once, when two observations in a row agree on it: certificate and key are seldom written in one
/// instant.
#[derive(Clone, Debug)]
pub struct Watch {
    known: Vec<Stamp>,
    unsettled: Option<Vec<Stamp>>,
}

impl Watch {
    /// Starts with the stamps taken before the files were read.
    #[must_use]
    pub fn new(known: Vec<Stamp>) -> Self {
        Self { known, unsettled: None }
    }

    /// Whether the files changed since they were last read, and stayed so since the last observation. `true` takes the
    /// new stamps for known, whatever the files turn out to hold.
    pub fn observe(&mut self, stamps: Vec<Stamp>) -> bool {
        if stamps == self.known {
            self.unsettled = None;
            return false;
        }
        if self.unsettled.as_ref() != Some(&stamps) {
            self.unsettled = Some(stamps);
            return false;
        }
        *self = Self::new(stamps);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn watch(path: &Path) -> impl FnMut() -> bool + use<> {
        let path = path.to_owned();
        let mut watch = Watch::new(vec![Stamp::of(&path)]);
        move || watch.observe(vec![Stamp::of(&path)])
    }

    #[test]
    fn a_change_is_reported_once_when_it_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cert.pem");
        fs::write(&file, "one").unwrap();
        let mut changed = watch(&file);
        assert!(!changed());
        fs::write(&file, "three").unwrap();
        assert!(!changed());
        fs::write(&file, "seventeen").unwrap();
        assert!(!changed(), "it changed again");
        assert!(changed());
        assert!(!changed());
        fs::remove_file(&file).unwrap();
        assert!(!changed());
        assert!(changed(), "that a file is gone is a change");
    }

    #[test]
    fn a_change_that_is_taken_back_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let (file, aside) = (directory.path().join("cert.pem"), directory.path().join("aside"));
        fs::write(&file, "one").unwrap();
        fs::hard_link(&file, &aside).unwrap();
        let mut watch = Watch::new(vec![Stamp::of(&file)]);
        let known = watch.known.clone();
        assert!(!watch.observe(vec![Stamp { inode: None }]));
        assert!(!watch.observe(known));
        assert!(!watch.observe(vec![Stamp { inode: None }]), "it has to settle anew");
    }

    #[test]
    fn an_exchanged_directory_behind_a_link_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, content) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("tls.crt"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/tls.crt", at("tls.crt")).unwrap();
        let mut changed = watch(&at("tls.crt"));
        assert!(!changed());
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(!changed());
        assert!(changed());
    }

    #[test]
    fn a_file_with_the_same_length_and_time_of_modification_is_told_from_another() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&file, "one").unwrap();
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let known = Stamp::of(&file);
        fs::write(&other, "two").unwrap();
        fs::File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
        fs::rename(&other, &file).unwrap();
        assert_ne!(Stamp::of(&file), known);
    }
}
