use std::io::{self, Read, Write};

use serde_json::{Map, json};

use super::*;

const EXPANDED_BYTES_MAX: u64 = 1 << 20;

fn key(letter: char) -> BackupKey {
    BackupKey::new(&letter.to_string().repeat(BACKUP_KEY_BYTES_MIN)).unwrap()
}

fn packings() -> [Packing; 4] {
    [(None, None), (Some(6), None), (None, Some(key('a'))), (Some(6), Some(key('a')))]
        .map(|(compression_level, key)| Packing { compression_level, key })
}

fn about() -> Map<String, serde_json::Value> {
    Map::from_iter([("backup_id".to_owned(), json!("full_20250128_103000")), ("raft_index".to_owned(), json!(7))])
}

fn write(body: &[u8], packing: &Packing) -> Vec<u8> {
    let mut writer = BackupWriter::create(Vec::new(), about(), packing).unwrap();
    writer.write_all(body).unwrap();
    let (file, written) = writer.finish().unwrap();
    assert_eq!(written.bytes, file.len() as u64);
    assert_eq!(written.sha256, hex(ring::digest::digest(&ring::digest::SHA256, &file).as_ref()));
    file
}

fn read(file: &[u8], key: Option<&BackupKey>) -> Result<Vec<u8>, BackupError> {
    let mut reader = BackupReader::open(file, key, EXPANDED_BYTES_MAX)?;
    let mut body = Vec::new();
    // A reader that keeps no error, as those of MessagePack do not; `finish` knows it.
    let _ = reader.read_to_end(&mut body);
    let verified = reader.finish()?;
    assert_eq!((verified.bytes, verified.expanded_bytes, verified.left), (file.len() as u64, body.len() as u64, 0));
    Ok(body)
}

/// Random enough not to be compressed, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..bytes).map(step).collect()
}

#[test]
fn what_was_written_is_read_whatever_its_length_and_packing() {
    for packing in packings() {
        for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_000] {
            let body = noise(bytes);
            let file = write(&body, &packing);
            assert_eq!(read(&file, packing.key.as_ref()).unwrap(), body);
            let (manifest, verified) = verify(file.as_slice(), packing.key.as_ref(), EXPANDED_BYTES_MAX).unwrap();
            assert_eq!(manifest.about, about());
            assert_eq!((verified.expanded_bytes, verified.left), (bytes as u64, bytes as u64));
        }
    }
}

#[test]
fn the_manifest_is_read_without_a_key_and_nothing_else_is() {
    let secret = b"what nobody may read".repeat(8);
    let packing = Packing { compression_level: None, key: Some(key('a')) };
    let file = write(&secret, &packing);
    let manifest = read_manifest(file.as_slice()).unwrap();
    assert!(manifest.is_encrypted());
    assert_eq!(manifest.about, about());
    assert!(!file.windows(8).any(|window| window == b"nobody m"));
    assert!(matches!(read(&file, None), Err(BackupError::NoKey)));
    assert!(matches!(read(&file, Some(&key('b'))), Err(BackupError::WrongKey)));
    assert!(!format!("{packing:?}").contains("aaaa"), "a key is never shown");
}

#[test]
fn every_flipped_byte_is_found() {
    for packing in packings() {
        let file = write(&noise(300), &packing);
        for position in 0..file.len() {
            for bit in [0x01, 0x80] {
                let mut changed = file.clone();
                changed[position] ^= bit;
                assert!(read(&changed, packing.key.as_ref()).is_err(), "{packing:?}: byte {position}");
            }
        }
    }
}

#[test]
fn every_truncation_and_every_byte_behind_the_end_is_found() {
    for packing in packings() {
        let file = write(&noise(300), &packing);
        for length in 0..file.len() {
            let refused = read(&file[..length], packing.key.as_ref()).unwrap_err();
            match length {
                0 => assert!(matches!(refused, BackupError::Empty)),
                _ => assert!(matches!(refused, BackupError::Truncated), "{packing:?}: {length} bytes: {refused}"),
            }
        }
        assert!(read(&[file.as_slice(), b"x"].concat(), packing.key.as_ref()).is_err());
    }
}

#[test]
fn chunks_of_an_encrypted_backup_cannot_be_exchanged_left_out_or_put_under_another_manifest() {
    let packing = Packing { compression_level: None, key: Some(key('a')) };
    let file = write(&noise(4 * CHUNK_BYTES), &packing);
    let head = HEAD_BYTES + u32::from_le_bytes(file[8..12].try_into().unwrap()) as usize;
    let chunk = 4 + CHUNK_BYTES + TAG_BYTES;
    let (first, second) = (&file[head..head + chunk], &file[head + chunk..head + 2 * chunk]);
    let signed = |content: Vec<u8>| {
        let mut content = content;
        let digest = ring::digest::digest(&ring::digest::SHA256, &content);
        content.extend_from_slice(&(content.len() as u64).to_le_bytes());
        content.extend_from_slice(digest.as_ref());
        content
    };
    let rest = &file[head + 2 * chunk..file.len() - FOOTER_BYTES];
    let same = signed([&file[..head], first, second, rest].concat());
    assert_eq!(same, file);
    for forged in [
        [&file[..head], second, first, rest].concat(),
        [&file[..head], first, rest].concat(),
        [
            String::from_utf8_lossy(&file[..head]).replace(r#""raft_index":7"#, r#""raft_index":8"#).as_bytes(),
            first,
            second,
            rest,
        ]
        .concat(),
    ] {
        let refused = read(&signed(forged), packing.key.as_ref()).unwrap_err();
        assert!(matches!(refused, BackupError::Damaged(_)), "{refused}");
    }
}

#[test]
fn a_bomb_is_refused_before_it_has_expanded() {
    let file = write(&vec![0; 8 << 20], &Packing { compression_level: Some(19), key: None });
    assert!(file.len() < 20_000);
    assert!(matches!(read(&file, None), Err(BackupError::TooLarge { .. })));
}

#[test]
fn a_window_that_no_level_uses_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&noise(1 << 20)).unwrap();
    let frame = encoder.finish().unwrap();
    let plain = write(&frame, &Packing::default());
    let head = HEAD_BYTES + u32::from_le_bytes(plain[8..12].try_into().unwrap()) as usize;
    // The same chunks behind a manifest that says they are compressed.
    let manifest = String::from_utf8(plain[HEAD_BYTES..head].to_vec()).unwrap().replace("\"none\"", "\"zstd\"");
    let length = u32::try_from(manifest.len()).unwrap();
    let file = [&plain[..8], &length.to_le_bytes(), manifest.as_bytes(), &plain[head..]].concat();
    assert!(matches!(read(&file, None), Err(BackupError::Damaged(_))));
}

#[test]
fn what_is_newer_or_something_else_is_called_so() {
    let file = write(b"x", &Packing::default());
    let with = |from: &[u8], to: &[u8]| {
        let at = file.windows(from.len()).position(|window| window == from).unwrap();
        [&file[..at], to, &file[at + from.len()..]].concat()
    };
    assert!(matches!(read(&with(b"VDFB", b"PK\x03\x04"), None), Err(BackupError::NotABackup)));
    assert!(matches!(
        read(&with(&VERSION.to_le_bytes(), &9_u32.to_le_bytes()), None),
        Err(BackupError::Newer { found: 9 })
    ));
    let refused = read(&with(br#""version":"1.0""#, br#""version":"9.0""#), None).unwrap_err();
    assert!(refused.to_string().contains("\"9.0\"") && refused.to_string().contains("\"1.0\""), "{refused}");
}

#[test]
fn a_manifest_has_a_bound() {
    let about = Map::from_iter([("x".to_owned(), json!("x".repeat(MANIFEST_BYTES_MAX as usize)))]);
    let refused = BackupWriter::create(Vec::new(), about, &Packing::default());
    assert!(matches!(refused.err(), Some(BackupError::TooLarge { .. })));
}

#[test]
fn a_short_key_is_refused_by_its_length_alone() {
    let refused = BackupKey::new("secret").unwrap_err().to_string();
    assert!(refused.contains("6 bytes") && !refused.contains("secret"), "{refused}");
}

#[test]
fn a_full_disk_is_the_systems_word() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(28))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let refused = BackupWriter::create(Full, about(), &Packing::default()).err().unwrap();
    assert!(refused.to_string().contains("os error 28"), "{refused}");
}
