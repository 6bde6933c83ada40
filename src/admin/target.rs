//! How an operator names a node: an address, or the socket in its data directory.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a node's operators' door is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// HOST:PORT of its listener.
    Tcp(String),
    /// The socket in its data directory.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    /// `HOST:PORT`, `http://HOST:PORT` or `unix:PATH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let host_port = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        match host_port.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(host_port.to_owned()))
            }
            _ => Err("accepted: HOST:PORT, http://HOST:PORT or unix:PATH".to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host_port) => f.write_str(host_port),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes() {
        assert_eq!("http://127.0.0.1:5002/".parse(), Ok(Target::Tcp("127.0.0.1:5002".to_owned())));
        assert_eq!("[::1]:5002".parse(), Ok(Target::Tcp("[::1]:5002".to_owned())));
        assert_eq!("unix:/x/admin.sock".parse(), Ok(Target::Unix(PathBuf::from("/x/admin.sock"))));
        for bad in ["", "host", ":1", "http://", "http://a:1/path", "a:99999"] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }
}
