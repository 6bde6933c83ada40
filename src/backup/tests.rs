//! Directories, retention and recovery, on real files.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vedfolnir_cluster::backup::{BackupId, Packing, Written};

use super::archive::SegmentName;
use super::*;

const NOON: u64 = 1_738_065_600;

fn directory(dir: &TempDir) -> Arc<dyn Location> {
    LocationSpec::Directory(dir.path().join("backups")).open()
}

fn put(location: &dyn Location, id: BackupId, content: &[u8]) -> BackupId {
    let mut pending = location.begin(id).unwrap();
    pending.write_all(content).unwrap();
    let id = pending.id();
    pending.commit(&Written { bytes: content.len() as u64, sha256: "0".repeat(64) }).unwrap();
    id
}

fn ids(location: &dyn Location) -> Vec<String> {
    location.list().unwrap().into_iter().map(|stored| stored.id.to_string()).collect()
}

#[test]
fn a_directory_shows_what_is_whole_the_newest_first_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let location = directory(&dir);
    assert_eq!(location.list().unwrap(), [], "nothing was made there yet");
    let first = put(location.as_ref(), BackupId::at(NOON), b"one");
    let second = put(location.as_ref(), BackupId::at(NOON), b"two");
    let mut unfinished = location.begin(BackupId::at(NOON + 9)).unwrap();
    unfinished.write_all(b"half").unwrap();
    let path = dir.path().join("backups");
    for foreign in ["notes.txt", "full_20250128_120000.vfb.bak", "full_x.vfb", "full_20250128_120009.vfb.tmp.1"] {
        fs::write(path.join(foreign), "foreign").unwrap();
    }
    fs::create_dir(path.join("full_20250128_130000.vfb")).unwrap();
    assert_eq!(ids(location.as_ref()), ["full_20250128_120000_2", "full_20250128_120000"]);
    let mut content = String::new();
    location.open(second).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let file = path.join("full_20250128_120000.vfb");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_to_string(path.join("full_20250128_120000.vfb.sha256")).unwrap(),
        format!("{}  full_20250128_120000.vfb\n", "0".repeat(64))
    );
    drop(unfinished);
    assert!(!path.join("full_20250128_120009.vfb.tmp").exists(), "what is dropped leaves nothing");
    location.delete(first).unwrap();
    location.delete(first).unwrap();
    assert_eq!(ids(location.as_ref()), ["full_20250128_120000_2"]);
    assert!(matches!(location.open(first), Err(LocationError::Missing { .. })));
}

#[test]
fn what_a_killed_process_has_left_is_removed_and_what_a_living_one_writes_is_not() {
    let dir = TempDir::new().unwrap();
    let location = directory(&dir);
    let mut living = location.begin(BackupId::at(NOON)).unwrap();
    living.write_all(b"on its way").unwrap();
    let abandoned = dir.path().join("backups/full_20250128_115500.vfb.tmp");
    fs::write(&abandoned, "half").unwrap();
    // The same second: the living one has the name.
    let other = location.begin(BackupId::at(NOON)).unwrap();
    assert_eq!(other.id().to_string(), "full_20250128_120000_2");
    assert!(!abandoned.exists());
    living.commit(&Written { bytes: 10, sha256: "1".repeat(64) }).unwrap();
    assert_eq!(ids(location.as_ref()), ["full_20250128_120000"]);
}

#[test]
fn the_newest_stay_and_one_of_each_hour_and_day_behind_them() {
    // Every five minutes for three days.
    let all: Vec<BackupId> = (0..3 * 288).map(|number| BackupId::at(NOON + number * 300)).collect();
    let kept = |keep: Keep| {
        let surplus = keep.surplus(&all);
        assert!(surplus.is_sorted(), "the oldest goes first");
        all.iter().filter(|id| !surplus.contains(id)).map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        kept(Keep { newest: 3, hourly: 0, daily: 0 }),
        ["full_20250131_114500", "full_20250131_115000", "full_20250131_115500"]
    );
    // The newest of an hour is one of those that stay anyway.
    assert_eq!(
        kept(Keep { newest: 1, hourly: 3, daily: 2 }),
        ["full_20250130_235500", "full_20250131_095500", "full_20250131_105500", "full_20250131_115500"]
    );
    assert_eq!(kept(Keep { newest: 0, hourly: 0, daily: 0 }).len(), 1, "never none");
    assert_eq!(kept(Keep { newest: 9_999, hourly: 1, daily: 1 }).len(), all.len());
}

#[test]
fn nothing_is_removed_for_a_newest_one_that_was_not_read_back() {
    let dir = TempDir::new().unwrap();
    let location = directory(&dir);
    for number in 0..5 {
        put(location.as_ref(), BackupId::at(NOON + number), b"x");
    }
    let keep = Keep { newest: 2, hourly: 0, daily: 0 };
    let unverified = dir.path().join("backups/full_20250128_120010.vfb");
    fs::write(&unverified, "copied here by somebody").unwrap();
    assert_eq!(prune(location.as_ref(), &keep).unwrap(), []);
    fs::remove_file(unverified).unwrap();
    assert_eq!(prune(location.as_ref(), &keep).unwrap().len(), 3);
    assert_eq!(ids(location.as_ref()), ["full_20250128_120004", "full_20250128_120003"]);
}

/// A place whose only backup never ends.
#[derive(Default)]
struct Stalling {
    /// Whoever reads waits for as long as the other end is there.
    others: parking_lot::Mutex<Vec<std::io::PipeWriter>>,
}

impl Location for Stalling {
    fn name(&self) -> String {
        "a stalling place".to_owned()
    }

    fn list(&self) -> Result<Vec<Stored>, LocationError> {
        Ok(vec![Stored { id: BackupId::at(NOON), bytes: 1, sha256: None }])
    }

    fn open(&self, _: BackupId) -> Result<Box<dyn Read + Send>, LocationError> {
        let (reader, writer) = std::io::pipe().unwrap();
        self.others.lock().push(writer);
        Ok(Box::new(reader))
    }

    fn begin(&self, _: BackupId) -> Result<Box<dyn Pending>, LocationError> {
        Err(LocationError::io(std::io::Error::other("it takes nothing"), self.name()))
    }

    fn delete(&self, _: BackupId) -> Result<(), LocationError> {
        Ok(())
    }

    fn segments(&self) -> Result<Vec<StoredSegment>, LocationError> {
        Ok(Vec::new())
    }

    fn open_segment(&self, name: &SegmentName) -> Result<Box<dyn Read + Send>, LocationError> {
        Err(LocationError::MissingSegment { segment: name.clone(), name: self.name() })
    }

    fn put_segment(&self, _: &SegmentName, _: &[u8]) -> Result<(), LocationError> {
        Err(LocationError::io(std::io::Error::other("it takes nothing"), self.name()))
    }

    fn delete_segment(&self, _: &SegmentName) -> Result<(), LocationError> {
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

#[tokio::test]
async fn a_source_that_stalls_is_given_up_and_nothing_is_in_the_directory() {
    let dir = TempDir::new().unwrap();
    let config = RecoveryConfig { timeout: Duration::from_millis(50), attempts: 3, is_required: true };
    let stalling = Arc::new(Stalling::default());
    let location: Arc<dyn Location> = Arc::<Stalling>::clone(&stalling);
    let refused = recover(dir.path(), location, None, config).await.unwrap_err().to_string();
    assert!(refused.contains("full_20250128_120000: it could not be read within"), "{refused}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // The runtime waits for its threads.
    stalling.others.lock().clear();
}

#[tokio::test]
async fn each_backup_that_cannot_be_restored_is_named_with_its_reason() {
    let dir = TempDir::new().unwrap();
    let location = directory(&dir);
    let config = RecoveryConfig { timeout: Duration::from_secs(60), attempts: 2, is_required: true };
    let data_dir = dir.path().join("data");
    assert!(
        recover(&data_dir, Arc::clone(&location), None, config).await.unwrap().is_none(),
        "no backup is no failure"
    );
    put(location.as_ref(), BackupId::at(NOON), b"never tried");
    put(location.as_ref(), BackupId::at(NOON + 1), b"");
    put(location.as_ref(), BackupId::at(NOON + 2), b"not a backup at all");
    let refused = recover(&data_dir, location, None, config).await.unwrap_err().to_string();
    for part in
        ["full_20250128_120002: it is no backup", "full_20250128_120001: it is empty", "WEBSOCKET_AUTO_RECOVERY"]
    {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(!refused.contains("full_20250128_120000:"), "two attempts: {refused}");
    assert!(!data_dir.exists(), "nothing was begun");
}

#[test]
fn a_packing_never_shows_its_key() {
    let key = vedfolnir_cluster::backup::BackupKey::new(&"k".repeat(40)).unwrap();
    assert!(!format!("{:?}", Packing { compression_level: None, key: Some(key) }).contains("kkkk"));
}
