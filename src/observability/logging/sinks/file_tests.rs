//! Real files: rotation, reopening, truncation by others, a full disk.

use std::os::unix::fs::PermissionsExt;

use super::super::super::format::{Format, Identity};
use super::super::super::line::Wanted;
use super::super::super::queue::{Queue, QueueBounds};
use super::super::super::stats::SinkKind;
use super::*;

fn notices() -> Notices {
    let wanted = Wanted { local: Format::Json, json: false, brief: false };
    Notices { identity: Arc::new(Identity::new("test")), wanted, clock: std::time::SystemTime::now }
}

fn sink_with(path: &Path, rotation: Option<Rotation>) -> (FileSink, Arc<SinkStats>, Arc<Queue>) {
    let stats = SinkStats::new("log", SinkKind::File);
    let told = Queue::new(QueueBounds::default(), SinkStats::new("stderr", SinkKind::Console));
    let complaints = Complaints::new(notices(), "log", Some(Arc::clone(&told)));
    (FileSink::open(path, rotation, Arc::clone(&stats), notices(), complaints).unwrap(), stats, told)
}

fn sink(path: &Path, rotation: Option<Rotation>) -> FileSink {
    sink_with(path, rotation).0
}

fn write(sink: &mut FileSink, texts: &[&str]) {
    let mut lines = texts.iter().map(|text| Line::foreign((*text).to_owned())).collect();
    assert_eq!(sink.write(&mut lines), None);
    assert!(lines.is_empty());
}

/// Without what the sink says of itself.
fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line at the end of {}", path.display());
    text.lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect()
}

#[test]
fn a_new_file_is_for_the_service_and_its_group_and_an_old_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    write(&mut sink(&path, None), &["one"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !MODE, 0);
    write(&mut sink(&path, None), &["two"]);
    assert_eq!(lines_of(&path), ["one", "two"]);
}

#[test]
fn what_cannot_be_opened_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing/a.log");
    let text = check_file(&missing).unwrap_err().to_string();
    assert!(text.contains("missing/a.log") && text.contains("does not exist"), "{text}");
    assert!(check_file(directory.path()).unwrap_err().to_string().contains("it is a directory"));
    assert!(matches!(check_file(Path::new("/proc/a.log")), Err(FileError::Open { .. })));
    let good = directory.path().join("good.log");
    check_file(&good).unwrap();
    assert!(!good.exists());
    fs::write(&good, "kept").unwrap();
    check_file(&good).unwrap();
    assert_eq!(fs::read_to_string(&good).unwrap(), "kept");
}

#[test]
fn no_file_grows_beyond_its_bound_and_no_line_is_split() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let (mut sink, stats, _) = sink_with(&path, Some(Rotation { bytes_max: 4_000, backups: 3 }));
    let text = "x".repeat(60);
    for turn in 0..300 {
        write(&mut sink, &[&format!("{turn:04} {text}"), &format!("{turn:04} {text}")]);
    }
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.log", "a.log.1", "a.log.2", "a.log.3"]);
    let mut all = Vec::new();
    for index in (0..=3).rev() {
        let path = if index == 0 { path.clone() } else { rotation::backup(&path, index) };
        assert!(fs::metadata(&path).unwrap().len() <= 4_000, "{}", path.display());
        all.extend(lines_of(&path));
    }
    // The youngest lines are all there, in order.
    assert!(all.iter().all(|line| line.len() == 65) && all.is_sorted());
    assert_eq!(all.last().map(|line| line.split_at(4).0), Some("0299"));
    assert!(stats.read().rotated > 3 && stats.read().written == 600);
}

#[test]
fn a_batch_longer_than_a_file_fills_several() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let mut sink = sink(&path, Some(Rotation { bytes_max: 1_000, backups: 50 }));
    let texts: Vec<_> = (0..100).map(|number| format!("{number:03}")).collect();
    write(&mut sink, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let long = "y".repeat(3_000);
    write(&mut sink, &[&long, "after"]);
    let mut all = Vec::new();
    for index in (0..50).rev() {
        let path = if index == 0 { path.clone() } else { rotation::backup(&path, index) };
        if path.exists() {
            all.extend(lines_of(&path));
        }
    }
    let expected: Vec<_> = texts.into_iter().chain([long, "after".to_owned()]).collect();
    assert_eq!(all, expected);
}

#[test]
fn without_rotation_the_file_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let mut sink = sink(&path, None);
    for _ in 0..100 {
        write(&mut sink, &["x"]);
    }
    assert_eq!(lines_of(&path).len(), 100);
}

#[test]
fn a_file_moved_away_is_followed_by_a_new_one_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("a.log"), directory.path().join("old.log"));
    let mut sink = sink(&path, None);
    write(&mut sink, &["one"]);
    fs::rename(&path, &moved).unwrap();
    write(&mut sink, &["two"]);
    sink.reopen();
    write(&mut sink, &["three"]);
    assert_eq!(
        (lines_of(&moved), lines_of(&path)),
        (vec!["one".to_owned(), "two".to_owned()], vec!["three".to_owned()])
    );
}

#[test]
fn a_file_moved_away_is_noticed_without_being_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let mut sink = sink(&path, None);
    write(&mut sink, &["one"]);
    fs::remove_file(&path).unwrap();
    sink.looked_at = Instant::now().checked_sub(LOOK_EVERY).unwrap();
    write(&mut sink, &["two"]);
    assert_eq!(lines_of(&path), ["two"]);
}

#[test]
fn a_file_truncated_by_others_goes_on_at_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let (mut sink, stats, _) = sink_with(&path, Some(Rotation { bytes_max: 1_000, backups: 1 }));
    write(&mut sink, &[&"x".repeat(900)]);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    write(&mut sink, &[&"y".repeat(500)]);
    // No hole of zeros, and no rotation of a file that is not full.
    assert_eq!(lines_of(&path), ["y".repeat(500)]);
    assert_eq!(stats.read().rotated, 0);
}

#[test]
fn a_full_disk_is_counted_said_once_and_over_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let (mut sink, stats, told) = sink_with(&path, Some(Rotation { bytes_max: 1 << 20, backups: 1 }));
    write(&mut sink, &["one", "two"]);
    write(&mut sink, &["three"]);
    assert_eq!((stats.read().dropped, stats.read().errors, stats.read().written), (3, 2, 0));
    assert_eq!(told.stats().read().queued_lines, 1);
    fs::remove_file(&path).unwrap();
    sink.reopen();
    write(&mut sink, &["four"]);
    assert_eq!(lines_of(&path), ["four"]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"log_lines_dropped\"") && text.contains("\"lines\":3"), "{text}");
    assert_eq!(told.stats().read().queued_lines, 2, "that it goes on is said as well");
}

#[test]
fn what_a_failed_write_left_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let mut sink = sink(&path, None);
    write(&mut sink, &["one"]);
    File::options().append(true).open(&path).unwrap().write_all(b"half a li").unwrap();
    sink.cut_off();
    write(&mut sink, &["two"]);
    assert_eq!(lines_of(&path), ["one", "two"]);
}

#[test]
fn a_directory_that_vanished_keeps_the_old_file_going() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("logs");
    fs::create_dir(&inner).unwrap();
    let (mut sink, stats, _) = sink_with(&inner.join("a.log"), None);
    let moved = directory.path().join("moved");
    fs::rename(&inner, &moved).unwrap();
    sink.reopen();
    write(&mut sink, &["one"]);
    assert_eq!(lines_of(&moved.join("a.log")), ["one"]);
    assert_eq!((stats.read().dropped, stats.read().errors), (0, 1));
}

#[test]
fn a_rotation_that_fails_is_not_tried_at_every_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let (mut sink, stats, _) = sink_with(&path, Some(Rotation { bytes_max: 100, backups: 1 }));
    // A directory that is not empty cannot be renamed over.
    fs::create_dir_all(rotation::backup(&path, 1).join("x")).unwrap();
    for _ in 0..10 {
        write(&mut sink, &[&"x".repeat(90)]);
    }
    assert_eq!(lines_of(&path).len(), 10);
    assert_eq!((stats.read().errors, stats.read().rotated), (1, 0));
}
