//! W3C Trace Context's `traceparent`: a client's place in a trace, as a text.

use vedfolnir_cluster::state::TraceContext;

/// The one form there is by now: `00-` trace `-` span `-` flags, 55 bytes.
const TEXT_BYTES: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;
const SAMPLED: u8 = 1;

/// Who asks for something to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace, and the span in it.
    pub context: TraceContext,
    /// Whether the one who asks is told of, too.
    pub is_sampled: bool,
}

/// Reads a `traceparent` (W3C Trace Context, section 3.2). `None`: it is none, and the trace begins here (section 3.2.2.5).
#[must_use]
pub fn parse_traceparent(text: &str) -> Option<Parent> {
    let text = text.trim().as_bytes();
    let (known, rest) = text.split_at_checked(TEXT_BYTES)?;
    let [version] = hex(&known[..2])?;
    // A later version may say more behind what is known, but no other thing before it (section 3.2.4).
    let is_whole = rest.is_empty() || (version > 0 && rest[0] == b'-');
    if version == 0xff || !is_whole || [known[2], known[35], known[52]] != [b'-'; 3] {
        return None;
    }
    let context = TraceContext { trace_id: hex(&known[3..35])?, span_id: hex(&known[36..52])? };
    let [flags] = hex(&known[53..])?;
    let is_nobody = context.trace_id == [0; 16] || context.span_id == [0; 8];
    (!is_nobody).then_some(Parent { context, is_sampled: flags & SAMPLED != 0 })
}

/// The text of a place in a sampled trace.
#[must_use]
pub fn traceparent(context: &TraceContext) -> String {
    format!("00-{}-{}-01", text(&context.trace_id), text(&context.span_id))
}

/// An identifier as logs and `traceparent` show it.
pub(crate) fn text(id: &[u8]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::with_capacity(2 * id.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Lower case only, as the specification has it.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specifications_example_is_read_and_written() {
        let parent = parse_traceparent(GIVEN).unwrap();
        assert!(parent.is_sampled);
        assert_eq!(traceparent(&parent.context), GIVEN);
        assert!(!parse_traceparent(&GIVEN.replace("-01", "-00")).unwrap().is_sampled);
        assert!(parse_traceparent(&GIVEN.replace("-01", "-03")).unwrap().is_sampled, "other flags do not matter");
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = GIVEN.replacen("00", "cc", 1);
        assert_eq!(parse_traceparent(&later), parse_traceparent(GIVEN));
        assert_eq!(parse_traceparent(&format!("{later}-what-is-this")), parse_traceparent(GIVEN));
        assert_eq!(parse_traceparent(&format!("{later}.what")), None);
        assert_eq!(parse_traceparent(&format!("{GIVEN}-more")), None);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-011",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse_traceparent(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,80}") {
            if let Some(parent) = parse_traceparent(&text) {
                prop_assert!(text.contains(&super::text(&parent.context.trace_id)));
            }
        }
    }
}
