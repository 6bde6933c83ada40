//! OpenSSL cipher strings, read as OpenSSL 3.0 reads them and mapped onto the TLS 1.2 suites of the TLS library.
//!
//! The grammar is that of `openssl-ciphers(1)`: items separated by `:`, `,`, `;` or space; words joined by `+` admit
//! what all of them admit; `!` removes for good, `-` removes, a leading `+` moves to the end; `@STRENGTH` sorts.
//! `@SECLEVEL=n` is accepted and has no effect: no suite below 128 bits is ever offered. Where OpenSSL skips a word that
//! it does not know, this refuses the string: a typing error must not widen or narrow what is offered.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::ALL_CIPHER_SUITES;

use super::cipher_table::{ANY, SUITES, Suite, TLS13_NAMES, is_name_without_row, keyword};

/// A cipher string is no longer.
pub const CIPHER_STRING_BYTES_MAX: usize = 4096;
/// What a cipher string may hold, for messages.
pub const CIPHER_STRING_FORMS: &str = "an OpenSSL cipher string such as ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL, names of \
                                       suites as OpenSSL or IANA spell them, or intermediate or modern";
/// What OpenSSL takes `DEFAULT` for.
const DEFAULT_STRING: &str = "ALL:!COMPLEMENTOFDEFAULT:!eNULL";

/// Why a cipher string cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipherStringError {
    /// A word that OpenSSL does not know.
    #[error("cipher string: unknown word {word:?}; accepted: {CIPHER_STRING_FORMS}")]
    UnknownWord {
        /// The word.
        word: String,
    },
    /// A command after `@` that OpenSSL does not know.
    #[error("cipher string: unknown command {command:?}; accepted: @STRENGTH, @SECLEVEL=0 to @SECLEVEL=5")]
    UnknownCommand {
        /// The command, with its `@`.
        command: String,
    },
    /// An item without a word: `ECDHE+`, `!`, `a&b`.
    #[error("cipher string: {item:?} is no word, nor words joined by +; accepted: {CIPHER_STRING_FORMS}")]
    Malformed {
        /// The item.
        item: String,
    },
    /// A longer text than any list of suites.
    #[error("cipher string: {bytes} bytes are too many; accepted: at most {CIPHER_STRING_BYTES_MAX} bytes")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// What a cipher string selects.
#[derive(Clone, Debug, Default)]
pub struct CipherSelection {
    /// The TLS 1.2 suites that can be offered, in the string's order.
    pub offered: Vec<SupportedCipherSuite>,
    /// Selected suites that are never offered, by OpenSSL's names in the string's order: with finite-field
    /// Diffie-Hellman, without forward secrecy, with CBC.
    pub dropped: Vec<String>,
    /// Items without effect, as written: `@SECLEVEL=2`, names of TLS 1.3.
    pub ignored: Vec<String>,
}

/// What is done with the suites that an item admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Add,
    Remove,
    Kill,
    MoveToEnd,
}

/// Evaluates a cipher string.
///
/// # Errors
/// [`CipherStringError`] names the word. A string that selects nothing is no error here: with TLS 1.3 it does no harm.
pub fn evaluate(text: &str) -> Result<CipherSelection, CipherStringError> {
    if text.len() > CIPHER_STRING_BYTES_MAX {
        return Err(CipherStringError::TooLong { bytes: text.len() });
    }
    let mut evaluation = Evaluation::new();
    let mut rest = text.trim();
    // Only in front, and a rule may follow without a separator: `DEFAULT@SECLEVEL=2`, `DEFAULT-SHA1`.
    let after = rest.strip_prefix("DEFAULT").filter(|after| !after.starts_with(char::is_alphanumeric));
    if let Some(after) = after {
        evaluation.items(DEFAULT_STRING)?;
        rest = after;
    }
    evaluation.items(rest)?;
    Ok(evaluation.finish())
}

struct Entry {
    suite: &'static Suite,
    selected: bool,
}

struct Evaluation {
    /// OpenSSL's list: suites that were killed are gone, the others are selected or wait to be.
    list: Vec<Entry>,
    unlisted: Vec<String>,
    ignored: Vec<String>,
}

impl Evaluation {
    fn new() -> Self {
        let list = SUITES.iter().map(|suite| Entry { suite, selected: false }).collect();
        Self { list, unlisted: Vec::new(), ignored: Vec::new() }
    }

    fn items(&mut self, text: &str) -> Result<(), CipherStringError> {
        text.split(is_separator).filter(|item| !item.is_empty()).try_for_each(|item| self.item(item))
    }

    fn item(&mut self, item: &str) -> Result<(), CipherStringError> {
        // A command may follow a word without a separator.
        let (item, command) = match item.split_once('@') {
            Some((before, command)) => (before, Some(command)),
            None => (item, None),
        };
        if !item.is_empty() {
            self.words(item)?;
        }
        command.map_or(Ok(()), |command| self.command(command))
    }

    fn command(&mut self, command: &str) -> Result<(), CipherStringError> {
        let level = command.strip_prefix("SECLEVEL=");
        if command == "STRENGTH" {
            self.sort_by_strength();
        } else if level.is_some_and(|level| matches!(level.as_bytes(), [b'0'..=b'5'])) {
            self.ignored.push(format!("@{command}"));
        } else {
            return Err(CipherStringError::UnknownCommand { command: format!("@{command}") });
        }
        Ok(())
    }

    fn words(&mut self, item: &str) -> Result<(), CipherStringError> {
        let (rule, words) = match item.as_bytes()[0] {
            b'!' => (Rule::Kill, &item[1..]),
            b'-' => (Rule::Remove, &item[1..]),
            b'+' => (Rule::MoveToEnd, &item[1..]),
            _ => (Rule::Add, item),
        };
        if words.split('+').any(|word| word.is_empty() || !word.chars().all(is_word_character)) {
            return Err(CipherStringError::Malformed { item: item.to_owned() });
        }
        // `None` as soon as the words contradict each other: nothing is admitted.
        let mut admitted = Some(ANY);
        let mut named: Option<&'static Suite> = None;
        for word in words.split('+') {
            if let Some(suite) = SUITES.iter().find(|suite| suite.openssl == word || suite.iana == word) {
                if named.is_some_and(|named| named.openssl != suite.openssl) {
                    admitted = None;
                }
                named = Some(suite);
            } else if let Some(properties) = keyword(word) {
                admitted = admitted.and_then(|admitted| admitted.and(properties));
            } else if TLS13_NAMES.contains(&word) {
                self.ignored.push(word.to_owned());
                admitted = None;
            } else if is_name_without_row(word) {
                self.unlisted(rule, word);
                admitted = None;
            } else {
                return Err(CipherStringError::UnknownWord { word: word.to_owned() });
            }
        }
        if let Some(admitted) = admitted {
            self.apply(rule, |suite| {
                admitted.admit(suite.properties) && named.is_none_or(|named| named.openssl == suite.openssl)
            });
        }
        Ok(())
    }

    /// A suite that OpenSSL knows, or once knew, and the table does not hold.
    fn unlisted(&mut self, rule: Rule, name: &str) {
        match rule {
            Rule::Add if self.unlisted.iter().any(|known| known == name) => {}
            Rule::Add => self.unlisted.push(name.to_owned()),
            Rule::Remove | Rule::Kill => self.unlisted.retain(|known| known != name),
            Rule::MoveToEnd => {}
        }
    }

    fn apply(&mut self, rule: Rule, admits: impl Fn(&Suite) -> bool) {
        let concerns = |entry: &Entry| match rule {
            Rule::Add => !entry.selected && admits(entry.suite),
            Rule::Remove | Rule::MoveToEnd => entry.selected && admits(entry.suite),
            Rule::Kill => admits(entry.suite),
        };
        let (mut concerned, mut others): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.list).into_iter().partition(concerns);
        for entry in &mut concerned {
            entry.selected = matches!(rule, Rule::Add | Rule::MoveToEnd);
        }
        self.list = match rule {
            Rule::Kill => others,
            Rule::Add | Rule::MoveToEnd => {
                others.append(&mut concerned);
                others
            }
            // OpenSSL puts them in front, where a later word finds them first.
            Rule::Remove => {
                concerned.append(&mut others);
                concerned
            }
        };
    }

    fn sort_by_strength(&mut self) {
        let (mut selected, mut waiting): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.list).into_iter().partition(|entry| entry.selected);
        selected.sort_by_key(|entry| std::cmp::Reverse(entry.suite.strength_bits()));
        waiting.append(&mut selected);
        self.list = waiting;
    }

    fn finish(self) -> CipherSelection {
        let mut selection = CipherSelection { ignored: self.ignored, ..CipherSelection::default() };
        for entry in self.list.iter().filter(|entry| entry.selected) {
            match offered(entry.suite) {
                Some(suite) => selection.offered.push(suite),
                None => selection.dropped.push(entry.suite.openssl.to_owned()),
            }
        }
        selection.dropped.extend(self.unlisted);
        selection
    }
}

fn offered(suite: &Suite) -> Option<SupportedCipherSuite> {
    ALL_CIPHER_SUITES.iter().find(|candidate| candidate.suite().as_str() == Some(suite.iana)).copied()
}

/// OpenSSL's name of a suite, or IANA's where OpenSSL has no other: for status and logs.
#[must_use]
pub fn openssl_name(suite: SupportedCipherSuite) -> &'static str {
    let iana = suite.suite().as_str().unwrap_or("unknown");
    match iana.strip_prefix("TLS13_") {
        // The TLS library's own spelling of TLS 1.3 suites.
        Some(_) => TLS13_NAMES.iter().find(|name| name[4..] == iana[6..]).copied().unwrap_or(iana),
        None => SUITES.iter().find(|suite| suite.iana == iana).map_or(iana, |suite| suite.openssl),
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, ':' | ',' | ';' | ' ')
}

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=')
}

#[cfg(test)]
#[path = "cipher_string_tests.rs"]
mod tests;
