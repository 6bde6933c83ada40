//! Arguments of an event, as a handler passes their tail on to others.

use bytes::Bytes;
use vedfolnir::app::fuzzing::args;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_protocol::socket_io::ATTACHMENTS_MAX;
use vedfolnir_protocol::socket_io::args::{NESTING_MAX, check_ack, check_event_bytes};

/// Elements of 16 bytes and placeholders of 24 each, found in lists that double; copies of the text.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 128 };
pub const INPUT_BYTES_MAX: usize = 4 * NESTING_MAX;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let (count, index) = (input.below(ATTACHMENTS_MAX + 1), input.below(4));
    let array = Bytes::copy_from_slice(input.0);
    // Without attachments nothing is a placeholder, and nothing is renumbered.
    if count == 0 || check_event_bytes(&array, count).is_err() {
        return;
    }
    let attachments: Vec<Bytes> = (0..count).map(|number| Bytes::from(vec![number as u8])).collect();
    let args = args(array.clone(), attachments);
    let name = args.event().into_owned();
    assert_eq!(args.len() + 1, serde_json::from_slice::<Vec<serde_json::Value>>(&array).expect("a list").len());
    let (tail, kept) = args.tail(index);
    let text = std::str::from_utf8(&tail).expect("a tail is text");
    assert_eq!(check_ack(text, kept.len()), Ok(()), "what {name} passes on is refused by those who get it");
    let known: Vec<u8> = kept.iter().map(|bytes| bytes[0]).collect();
    assert!(known.iter().all(|number| usize::from(*number) < count));
    let named = named(&serde_json::from_str(text).expect("a tail is JSON"));
    assert!(named.iter().all(|number| *number < kept.len()), "a placeholder names nothing");
    assert_eq!(
        kept.len(),
        named.iter().collect::<std::collections::BTreeSet<_>>().len(),
        "nobody names one that is kept"
    );
}

/// The attachments that a value names, as clients read it.
fn named(value: &serde_json::Value) -> Vec<usize> {
    match value {
        serde_json::Value::Array(items) => items.iter().flat_map(named).collect(),
        serde_json::Value::Object(members) => {
            if members.get("_placeholder") == Some(&serde_json::Value::Bool(true)) {
                return members
                    .get("num")
                    .and_then(serde_json::Value::as_f64)
                    .map(|number| number as usize)
                    .into_iter()
                    .collect();
            }
            members.values().flat_map(named).collect()
        }
        _ => Vec::new(),
    }
}
