//! Segments as files, and what a time means in them.

use super::*;

const CLUSTER: &str = "0123456789abcdef0123456789abcdef";

fn entry(index: u64, term: u64) -> ArchivedEntry {
    let proposal = (!index.is_multiple_of(3)).then(|| Bytes::from(format!("proposal {index}")));
    ArchivedEntry { index, term, proposal }
}

fn segment(first: u64, last: u64) -> Segment {
    Segment {
        cluster_id: CLUSTER.to_owned(),
        history_id: "00000000000000aa".to_owned(),
        server_id: "node".to_owned(),
        entries: (first..=last).map(|index| entry(index, index / 10)).collect(),
        marks: (first..=last).step_by(2).chain([last]).map(|index| Mark { index, unix_ms: index * 100 }).collect(),
    }
}

fn packings() -> [Packing; 2] {
    let key = BackupKey::new("a key that is long enough for a test").unwrap();
    [Packing::default(), Packing { compression_level: Some(6), key: Some(key) }]
}

#[test]
fn a_name_says_which_cluster_and_which_entries_and_nothing_else_is_one() {
    let name = SegmentName::new(CLUSTER, 7, 1_234).unwrap();
    let text = format!("log_{CLUSTER}_00000000000000000007_00000000000000001234");
    assert_eq!((name.to_string(), text.parse()), (text.clone(), Ok(name.clone())));
    assert!(name < SegmentName::new(CLUSTER, 10, 10).unwrap());
    assert_eq!(SegmentName::new(CLUSTER, 8, 7), None);
    assert_eq!(SegmentName::new("../../../../../../../etc/passwd..", 1, 2), None);
    for bad in ["", "log_", "full_20250128_103000", &text[..text.len() - 1], &format!("{text}_1"), &text.to_uppercase()]
    {
        assert!(bad.parse::<SegmentName>().is_err(), "{bad}");
    }
}

#[test]
fn what_was_written_is_read_under_its_name_only_and_with_its_key_only() {
    let mut whole = segment(5, 25);
    whole.marks.dedup();
    for packing in packings() {
        let (name, file) = whole.write(&packing).unwrap();
        assert_eq!(name, SegmentName::new(CLUSTER, 5, 25).unwrap());
        let key = packing.key.as_ref();
        assert_eq!(Segment::read(&name, file.as_slice(), key).unwrap(), whole);
        let other = SegmentName::new(CLUSTER, 5, 26).unwrap();
        let refused = Segment::read(&other, file.as_slice(), key).unwrap_err().to_string();
        assert!(refused.contains("than its name says"), "{refused}");
        if key.is_some() {
            let wrong = BackupKey::new("another key that is long enough for it").unwrap();
            assert!(matches!(Segment::read(&name, file.as_slice(), Some(&wrong)), Err(BackupError::WrongKey)));
            assert!(matches!(Segment::read(&name, file.as_slice(), None), Err(BackupError::NoKey)));
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(Segment::read(&name, damaged.as_slice(), key).is_err(), "a flipped bit at {at} is found");
            assert!(Segment::read(&name, &file[..at], key).is_err(), "it ends at {at}, which is found");
        }
    }
}

#[test]
fn entries_that_do_not_follow_each_other_are_no_segment() {
    let whole = || {
        let mut whole = segment(5, 25);
        whole.marks.dedup();
        whole
    };
    let refused = |change: fn(&mut Segment)| {
        let mut segment = whole();
        change(&mut segment);
        segment.write(&Packing::default()).unwrap_err().to_string()
    };
    assert!(refused(|segment| drop(segment.entries.remove(3))).contains("do not follow each other"));
    assert!(refused(|segment| segment.entries[9].term = 9).contains("do not follow each other"), "a term goes down");
    assert!(refused(|segment| segment.entries.clear()).contains("no entries"));
    assert!(refused(|segment| segment.marks.truncate(3)).contains("marks"));
    assert!(refused(|segment| segment.cluster_id.clear()).contains("no cluster"));
    whole().write(&Packing::default()).unwrap();
}

#[test]
fn a_time_leads_to_the_last_entry_that_was_applied_by_then() {
    let marks = [(5, 1_000), (9, 2_000), (12, 1_500), (14, 3_000)];
    let mut segment = segment(4, 14);
    segment.marks = marks.map(|(index, unix_ms)| Mark { index, unix_ms }).to_vec();
    assert_eq!(segment.cut(999), Some(3), "nothing of it");
    assert_eq!(segment.cut(1_000), Some(5));
    // A clock that went back: what came after 2000 is not taken for earlier.
    assert_eq!(segment.cut(1_700), Some(5));
    assert_eq!(segment.cut(2_000), Some(12));
    assert_eq!(segment.cut(2_999), Some(12));
    assert_eq!(segment.cut(3_000), None, "all of it");
}
