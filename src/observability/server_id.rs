//! The name a process goes by in health, status and logs when it was given none: new at every start.

use std::time::{SystemTime, UNIX_EPOCH};

/// `hostname_startepoch_random6`, such as `web-1_1640995200_abc123`.
#[must_use]
pub fn server_id() -> String {
    let name = host_name();
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut random = [0_u8; 3];
    if getrandom::fill(&mut random).is_err() {
        // Only a display name: the process id tells two starts in one second apart well enough.
        let [low, middle, high, _] = std::process::id().to_le_bytes();
        random = [high, middle, low];
    }
    let [a, b, c] = random;
    format!("{name}_{epoch}_{a:02x}{b:02x}{c:02x}")
}

/// The machine's name, with anything but letters, digits, dots and dashes replaced.
pub(crate) fn host_name() -> String {
    let name = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' }).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
