//! Policy files, and the patterns of rooms in them.

use vedfolnir::security::auth::{Action, Identity, Pattern, Policy};
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

/// The file as a tree of TOML, then the rules; twenty mistakes in words.
pub const MEMORY: Bound = Bound { base_bytes: 64 << 10, bytes_per_input_byte: 512 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let Ok(room) = std::str::from_utf8(input.line()) else { return };
    let Ok(text) = std::str::from_utf8(input.0) else { return };
    if let Ok(pattern) = Pattern::new(room) {
        let _ = pattern.matches(text, Some(room));
        // Without anything that stands for something else, a pattern is a name.
        assert!(room.contains(['*', '{']) || pattern.matches(room, None), "a name does not match itself");
    }
    match Policy::from_toml(text) {
        Ok(policy) => {
            let _ = policy.decide(room, Action::Connect, &Identity::anonymous());
            let _ = policy.decide("/", Action::Join(room), &Identity::anonymous());
        }
        Err(error) => assert!((1..=20).contains(&error.mistakes.len())),
    }
}
