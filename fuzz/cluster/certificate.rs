//! The node that a peer's certificate names.

use vedfolnir_cluster::network::fuzzing::named_node;
use vedfolnir_fuzz::Bound;

/// Slices of the certificate, lines that say why it cannot be read.
pub const MEMORY: Bound = Bound { base_bytes: 4 << 10, bytes_per_input_byte: 4 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;

pub fn run(input: &[u8]) {
    if let Some(node) = named_node(input) {
        let digits = format!("{node:x}");
        let text = String::from_utf8_lossy(input).to_ascii_lowercase();
        assert!(text.contains(&digits), "a node that the certificate does not name");
    }
}
