//! What systemd is told of a unit with `Type=notify`: that the node serves, stops, reads its configuration again, still turns.
//!
//! Source: sd_notify(3). Datagrams to the socket that `NOTIFY_SOCKET` names; without it nothing is sent.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Who is told; nobody where no supervisor asked for it.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The supervisor wants to hear within this time, again and again.
    patience: Option<Duration>,
    /// It was told that the node serves.
    serves: AtomicBool,
}

impl Supervisor {
    /// The one that the environment names. One that cannot be reached is worth a warning, not the node's life.
    pub(crate) fn of_this_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let Some(name) = variable("NOTIFY_SOCKET") else { return Self::default() };
        let patience = patience(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id());
        let socket = address(&name).and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        match socket {
            Ok(socket) => Self { socket: Some(socket), patience, ..Self::default() },
            Err(error) => {
                tracing::warn!(%error, "the supervisor that NOTIFY_SOCKET names cannot be told anything");
                Self::default()
            }
        }
    }

    /// The node serves.
    pub(crate) fn ready(&self) {
        self.serves.store(true, Ordering::Relaxed);
        self.tell("READY=1\nSTATUS=serving");
    }

    /// The configuration is being read again.
    pub(crate) fn reloading(&self) {
        if self.serves.load(Ordering::Relaxed) {
            self.tell("RELOADING=1");
        }
    }

    /// That is done, whatever came of it; a node that does not serve yet says nothing of itself.
    pub(crate) fn reloaded(&self) {
        if self.serves.load(Ordering::Relaxed) {
            self.tell("READY=1");
        }
    }

    /// The node lets its clients go and ends.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=letting clients go");
    }

    /// Says that the runtime turns, for as long as this is polled: a runtime that is stuck says nothing, and is restarted.
    pub(crate) async fn keep_alive(&self) {
        let Some(patience) = self.patience else { return std::future::pending().await };
        let mut interval = tokio::time::interval(patience / 3);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, what: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(what.as_bytes(), address) {
            tracing::debug!(%error, "the supervisor does not listen");
        }
    }
}

/// A path, or after an `@` a name in the abstract namespace.
fn address(name: &OsStr) -> std::io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(name),
    }
}

/// How often the supervisor wants to hear, if it means this process.
fn patience(microseconds: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    if pid.is_some_and(|pid| number(pid) != Some(u64::from(own))) {
        return None;
    }
    microseconds.and_then(number).filter(|microseconds| *microseconds > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_of_another_process_is_not_this_ones() {
        let text = |text: &str| Some(OsString::from(text));
        assert_eq!(patience(text("30000000"), None, 7), Some(Duration::from_secs(30)));
        assert_eq!(patience(text("30000000"), text("7"), 7), Some(Duration::from_secs(30)));
        assert_eq!(patience(text("30000000"), text("8"), 7), None);
        for none in [None, text(""), text("0"), text("soon")] {
            assert_eq!(patience(none, None, 7), None);
        }
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() -> std::io::Result<()> {
        assert_eq!(address(OsStr::new("/run/x"))?.as_pathname(), Some(std::path::Path::new("/run/x")));
        assert_eq!(address(OsStr::new("@x"))?.as_abstract_name(), Some(&b"x"[..]));
        Ok(())
    }
}
