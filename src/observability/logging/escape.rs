//! What must never reach a log as it is: characters that end a line, move a terminal's cursor or turn its text around.
//!
//! A client chooses event names, user agents and much else that is logged. A line feed in it would forge a line, ESC would
//! command the operator's terminal, and the overrides of the bidirectional algorithm would show a text that is not there
//! ("Trojan Source", CVE-2021-42574). Every format writes its texts through this file.

/// What stands before a byte's turn.
const SAFE: u8 = 0;
/// A quote, a backslash or a control character.
const ASCII: u8 = 1;
/// The first byte of a character that may have to be escaped.
const LEAD: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [SAFE; 256];
    let mut byte = 0;
    while byte < 0x20 {
        classes[byte] = ASCII;
        byte += 1;
    }
    classes[0x7f] = ASCII;
    classes[b'"' as usize] = ASCII;
    classes[b'\\' as usize] = ASCII;
    // U+0080-U+009F; U+061C; U+180E; U+200x and U+206x; U+FEFF and U+FFFx; U+E00xx.
    classes[0xc2] = LEAD;
    classes[0xd8] = LEAD;
    classes[0xe1] = LEAD;
    classes[0xe2] = LEAD;
    classes[0xef] = LEAD;
    classes[0xf3] = LEAD;
    classes
};

/// Whether a character is written as an escape, quotes and backslashes aside.
#[must_use]
pub(crate) const fn is_hostile(character: char) -> bool {
    matches!(
        character,
        // Control characters, C0 and C1, with DEL.
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Line and paragraph separators.
        | '\u{2028}' | '\u{2029}'
        // Marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX 9).
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Invisible ones: zero width space, word joiner and the operators beside it, deprecated formats, a byte order mark,
        // interlinear annotations, tags.
        | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// How the escapes look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As in a JSON string (RFC 8259, section 7); characters beyond U+FFFF as a surrogate pair.
    Json,
    /// The same for lines that people read: quotes stay, and so do backslashes.
    Plain,
}

/// Writes a text so that it stays within its line and its quotes.
pub(crate) fn push(out: &mut String, text: &str, style: Style) {
    let bytes = text.as_bytes();
    let (mut written, mut at) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        let class = CLASSES[usize::from(byte)];
        if class == SAFE {
            at += 1;
            continue;
        }
        // `at` is at a character's first byte: only those have another class than SAFE, and whole characters are skipped.
        let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else { break };
        let next = at + character.len_utf8();
        let is_quoting = style == Style::Json && matches!(character, '"' | '\\');
        if is_quoting || is_hostile(character) {
            out.push_str(text.get(written..at).unwrap_or_default());
            push_escape(out, character);
            written = next;
        }
        at = next;
    }
    out.push_str(text.get(written..).unwrap_or_default());
}

fn push_escape(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => {
            let mut units = [0_u16; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(char::from_digit(u32::from(*unit >> shift) & 0xf, 16).unwrap_or('0'));
                }
            }
        }
    }
}

/// Writes a JSON string, quotes included.
pub(crate) fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    push(out, text, Style::Json);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str, style: Style) -> String {
        let mut out = String::new();
        push(&mut out, text, style);
        out
    }

    #[test]
    fn every_hostile_character_is_found_by_its_first_byte() {
        for character in '\0'..=char::MAX {
            if is_hostile(character) {
                let first = character.to_string().as_bytes()[0];
                assert_ne!(CLASSES[usize::from(first)], SAFE, "{character:?}");
                assert!(escaped(&character.to_string(), Style::Plain).starts_with('\\'), "{character:?}");
            }
        }
    }

    #[test]
    fn lines_terminals_and_reading_order_are_safe() {
        let table = [
            ("a\r\nb", "a\\r\\nb"),
            ("\u{1b}[2J", "\\u001b[2J"),
            ("\u{9b}31m", "\\u009b31m"),
            ("user\u{202e}gnp.exe", "user\\u202egnp.exe"),
            ("\u{2028}", "\\u2028"),
            ("\u{e0041}", "\\udb40\\udc41"),
            ("\0", "\\u0000"),
            ("grüße 👋 日本", "grüße 👋 日本"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text, Style::Json), expected);
            assert_eq!(escaped(text, Style::Plain), expected);
        }
        assert_eq!(escaped(r#"say "\n""#, Style::Json), r#"say \"\\n\""#);
        assert_eq!(escaped(r#"C:\new "x""#, Style::Plain), r#"C:\new "x""#);
    }

    proptest! {
        #[test]
        fn a_json_string_says_what_it_was_made_of(text in any::<String>()) {
            let mut out = String::new();
            push_json_string(&mut out, &text);
            prop_assert!(!out.chars().any(is_hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
