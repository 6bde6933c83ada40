//! Argument arrays, as clients and applications hand them in, and what is made of them on the way out.

use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_protocol::encode_event;
use vedfolnir_protocol::socket_io::ATTACHMENTS_MAX;
use vedfolnir_protocol::socket_io::args::{
    NESTING_MAX, check_ack, check_event_bytes, check_object, elements, event_array, event_name,
};

/// The list of the elements (16 bytes each, two bytes of text at least, grown by doubling) and three copies of the text;
/// then the tree that a handler builds, which is this target's own doing.
pub const MEMORY: Bound = Bound { base_bytes: 8 << 10, bytes_per_input_byte: 320 };
pub const INPUT_BYTES_MAX: usize = 16 * NESTING_MAX;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let attachments = input.below(ATTACHMENTS_MAX + 1);
    let args = input.0;
    let _ = event_name(args);
    let encoded = encode_event("/", args, &[], None, Some("off\"set"));
    assert!(encoded.text.len() <= args.len() + 16, "an offset costs its own length");
    let Ok(text) = std::str::from_utf8(args) else { return };
    if check_object(text).is_ok() {
        assert!(read(text).is_none_or(|value| value.is_object()));
    }
    let acks = check_ack(text, attachments);
    if check_event_bytes(args, attachments).is_err() {
        return;
    }
    assert_eq!(acks, Ok(()), "an event's arguments are those of an ack");
    let name = event_name(args).expect("an event has a name");
    let all = elements(args).expect("checked arguments come apart");
    let again = event_array(&name, all[1..].iter().copied());
    let Some(serde_json::Value::Array(mut values)) = read(text) else { return };
    // A number as a name becomes its text.
    let first = std::mem::replace(&mut values[0], name.clone().into_owned().into());
    assert_eq!(read(std::str::from_utf8(&again).expect("text")), Some(values.clone().into()));
    values[0] = first;
    values.push("off\"set".into());
    let sent = std::str::from_utf8(&encoded.text[2..]).expect("text");
    assert_eq!(read(sent), Some(values.into()));
}

/// What is accepted, as a handler reads it; `None` for what JSON can say and Rust cannot hold: half a surrogate pair, a number
/// beyond all floats.
fn read(text: &str) -> Option<serde_json::Value> {
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let reason = error.to_string();
            assert!(["surrogate", "hex escape", "out of range"].iter().any(|known| reason.contains(known)), "{reason}");
            None
        }
    }
}
