//! What `vedfolnir support-bundle` writes: named texts in one archive, bounded, with no secret of the settings in them, and a
//! manifest of what is there and what could not be had.

mod archive;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::observability::logging::{HIDDEN, scrub};
use crate::security::secret::Secret;
use archive::Archive;

/// Bytes of all entries together, before they are compressed.
pub const BUNDLE_BYTES_MAX: usize = 32 << 20;
/// Bytes of a log file's end.
pub const LOG_BYTES_MAX: u64 = 1 << 20;
/// A shorter secret is not searched for: it would be found in everything, and does no good as a secret.
const SECRET_BYTES_MIN: usize = 4;
const MANIFEST: &str = "MANIFEST.json";

/// An archive that is being filled.
pub struct Bundle {
    secrets: Vec<Secret>,
    entries: Vec<(String, String)>,
    bytes: usize,
    missing: Vec<Missing>,
}

/// What could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Missing {
    what: String,
    why: String,
}

/// What is in it.
#[derive(Serialize)]
struct Manifest<'a> {
    vedfolnir: &'static str,
    created_unix: u64,
    entries: Vec<ManifestEntry<'a>>,
    missing: &'a [Missing],
}

#[derive(Serialize)]
struct ManifestEntry<'a> {
    name: &'a str,
    bytes: usize,
}

impl Bundle {
    /// An empty one, in which none of these will be.
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        let mut secrets: Vec<Secret> =
            secrets.into_iter().filter(|secret| secret.reveal().len() >= SECRET_BYTES_MIN).collect();
        // One may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        Self { secrets, entries: Vec::new(), bytes: 0, missing: Vec::new() }
    }

    /// Adds a text of which the form is known; secrets of the settings are taken out.
    pub fn add(&mut self, name: &str, text: &str) {
        let text = self.without_secrets(text);
        if self.bytes + text.len() > BUNDLE_BYTES_MAX {
            let why = format!("the bundle would have more than {} MiB", BUNDLE_BYTES_MAX >> 20);
            self.miss(name, why);
            return;
        }
        self.bytes += text.len();
        self.entries.push((name.to_owned(), text));
    }

    /// Adds lines that anybody may have written; what only looks like a secret is taken out, too.
    pub fn add_lines(&mut self, name: &str, text: &str) {
        let lines: Vec<_> = text.lines().map(|line| scrub(line).0).collect();
        self.add(name, &format!("{}\n", lines.join("\n")));
    }

    /// Adds the end of a log file.
    pub fn add_log(&mut self, name: &str, path: &Path) {
        match end_of(path) {
            Ok(text) => self.add_lines(name, &text),
            Err(error) => self.miss(name, format!("{}: {error}", path.display())),
        }
    }

    /// Something could not be had.
    pub fn miss(&mut self, what: &str, why: impl Into<String>) {
        let why = self.without_secrets(&why.into());
        self.missing.push(Missing { what: what.to_owned(), why });
    }

    /// How many there are, and how many are missing.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.entries.len(), self.missing.len())
    }

    fn without_secrets(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            // In JSON it may stand with its quotes escaped.
            let quoted = serde_json::Value::from(secret.reveal()).to_string();
            let escaped = quoted.trim_matches('"');
            let text = if text.contains(secret.reveal()) { text.replace(secret.reveal(), HIDDEN) } else { text };
            if text.contains(escaped) { text.replace(escaped, HIDDEN) } else { text }
        })
    }

    /// Writes it, mode 0600; a file that is there is left alone unless `force`, and is whole or as it was in any case.
    /// Returns its length in bytes.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(self, path: &Path, force: bool, now_unix: u64) -> io::Result<u64> {
        let scratch = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
        if !force && path.symlink_metadata().is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it is there already; give another name, or --force",
            ));
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&scratch)?;
        let written = self.write_to(file, now_unix).and_then(|length| {
            if force {
                fs::rename(&scratch, path).map(|()| length)
            } else {
                // A link, unlike a rename, takes nobody's place.
                fs::hard_link(&scratch, path).and_then(|()| fs::remove_file(&scratch)).map(|()| length)
            }
        });
        if written.is_err() {
            // The error that counts is the first.
            let _ = fs::remove_file(&scratch);
        }
        written
    }

    fn write_to(self, file: File, now_unix: u64) -> io::Result<u64> {
        let entries = self.entries.iter().map(|(name, text)| ManifestEntry { name, bytes: text.len() }).collect();
        let manifest =
            Manifest { vedfolnir: env!("CARGO_PKG_VERSION"), created_unix: now_unix, entries, missing: &self.missing };
        let mut archive = Archive::new(file, now_unix);
        archive.file(MANIFEST, serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        for (name, text) in &self.entries {
            archive.file(name, text.as_bytes())?;
        }
        let mut file = archive.finish()?;
        file.flush()?;
        Ok(file.metadata()?.len())
    }
}

/// The last whole lines of a file.
fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let from = metadata.len().saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match (from, text.split_once('\n')) {
        (1.., Some((_, whole))) => whole.to_owned(),
        _ => text,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn bundle(secrets: &[&str]) -> Bundle {
        Bundle::new(secrets.iter().map(|secret| (*secret).to_owned().into()).collect())
    }

    #[test]
    fn no_secret_is_in_a_text_whatever_quotes_it() {
        let mut bundle = bundle(&["planted", "planted-longer", "with\"quote", "abc"]);
        bundle.add("a", r#"{"x":"planted-longer","y":"with\"quote"} planted with"quote abc"#);
        bundle.add_lines("b", "password=unknown\nharmless\n");
        bundle.miss("c", "planted was wrong");
        assert_eq!(bundle.entries[0].1, r#"{"x":"***","y":"***"} *** *** abc"#);
        assert!(!bundle.entries[1].1.contains("unknown"), "{}", bundle.entries[1].1);
        assert!(bundle.entries[1].1.ends_with("\nharmless\n"));
        assert_eq!(bundle.missing[0].why, "*** was wrong");
    }

    #[test]
    fn it_is_bounded_and_says_what_did_not_fit() {
        let mut bundle = bundle(&[]);
        bundle.add("large", &"x".repeat(BUNDLE_BYTES_MAX));
        bundle.add("more", "x");
        assert_eq!(bundle.counts(), (1, 1));
    }

    #[test]
    fn a_log_is_its_last_whole_lines() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let lines: String = (0..200_000).map(|line| format!("line {line}\n")).collect();
        fs::write(&log, &lines).expect("a file");
        let end = end_of(&log).expect("its end");
        assert!(lines.ends_with(&end) && end.starts_with("line ") && end.len() as u64 <= LOG_BYTES_MAX);
        assert!(end_of(directory.path()).is_err());
    }

    #[test]
    fn what_is_there_is_left_alone_unless_forced_and_nobody_else_may_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bundle.tar.gz");
        fs::write(&path, "before").expect("a file");
        assert!(bundle(&[]).write(&path, false, 0).is_err());
        assert_eq!(fs::read(&path).expect("the file"), b"before");
        bundle(&[]).write(&path, true, 0).expect("forced");
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).expect("removed");
        let length = bundle(&[]).write(&path, false, 0).expect("a new one");
        assert_eq!(length, fs::metadata(&path).expect("the file").len());
        assert_eq!(fs::read_dir(directory.path()).expect("entries").count(), 1, "nothing is left beside it");
    }
}
