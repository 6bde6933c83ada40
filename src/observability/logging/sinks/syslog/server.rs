//! Where a syslog receiver is: `udp://`, `tcp://` or `tls://HOST:PORT`, `HOST:PORT` for UDP, `unix:///dev/log`.

use std::fmt;
use std::str::FromStr;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram each (RFC 5426).
    Udp,
    /// Octet counting (RFC 6587, section 3.4.1).
    Tcp,
    /// The same over TLS (RFC 5425).
    Tls,
    /// The socket of this machine's syslog.
    Unix,
}

impl Transport {
    const ALL: [(Self, &'static str, u16); 3] =
        [(Self::Udp, "udp://", 514), (Self::Tcp, "tcp://", 514), (Self::Tls, "tls://", 6514)];
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogServer {
    /// How messages travel.
    pub transport: Transport,
    /// A name or an address, IPv6 without brackets; the path of a socket.
    pub host: String,
    /// 514, or 6514 over TLS, unless said otherwise; 0 for a socket.
    pub port: u16,
}

/// Why one is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no syslog receiver: {reason}; accepted: [udp|tcp|tls]://HOST:PORT, HOST:PORT for UDP, unix:///PATH"
)]
pub struct SyslogServerError {
    /// What was given.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl FromStr for SyslogServer {
    type Err = SyslogServerError;

    fn from_str(text: &str) -> Result<Self, SyslogServerError> {
        let refuse = |reason| SyslogServerError { text: text.chars().take(200).collect(), reason };
        if let Some(path) = text.strip_prefix("unix://") {
            // `sun_path` of unix(7) has room for 108 bytes, the last of which is zero.
            if !path.starts_with('/') || path.len() > 107 {
                return Err(refuse("the path of a socket begins with / and has at most 107 bytes"));
            }
            return Ok(Self { transport: Transport::Unix, host: path.to_owned(), port: 0 });
        }
        let scheme = Transport::ALL
            .iter()
            .find_map(|(transport, scheme, port)| Some((*transport, text.strip_prefix(scheme)?, *port)));
        let (transport, rest, usual_port) = scheme.unwrap_or((Transport::Udp, text, 514));
        if rest.contains(['/', '@']) {
            return Err(refuse("neither another scheme, a user nor a path"));
        }
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(|| refuse("the closing bracket is missing"))?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| refuse("brackets are for IPv6 addresses"))?;
            (
                host,
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':').ok_or_else(|| refuse("a port begins with a colon"))?)
                },
            )
        } else if rest.matches(':').count() > 1 {
            // Without brackets there is no telling the port from the address.
            return Err(refuse("an IPv6 address stands in brackets"));
        } else {
            match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
            return Err(refuse("the host is a name or an address"));
        }
        let port = match port {
            None => usual_port,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| refuse("the port is a number from 1 to 65535"))?,
        };
        Ok(Self { transport, host: host.to_owned(), port })
    }
}

impl fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Unix => return write!(f, "unix://{}", self.host),
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_read_and_shown() {
        let table = [
            ("syslog.example.com:514", Transport::Udp, "syslog.example.com", 514, "udp://syslog.example.com:514"),
            ("udp://10.0.0.1", Transport::Udp, "10.0.0.1", 514, "udp://10.0.0.1:514"),
            ("tcp://logs:1514", Transport::Tcp, "logs", 1514, "tcp://logs:1514"),
            ("tls://logs", Transport::Tls, "logs", 6514, "tls://logs:6514"),
            ("tls://[2001:db8::1]:7000", Transport::Tls, "2001:db8::1", 7000, "tls://[2001:db8::1]:7000"),
            ("[::1]", Transport::Udp, "::1", 514, "udp://[::1]:514"),
            ("unix:///dev/log", Transport::Unix, "/dev/log", 0, "unix:///dev/log"),
        ];
        for (text, transport, host, port, shown) in table {
            let server: SyslogServer = text.parse().unwrap();
            assert_eq!(server, SyslogServer { transport, host: host.to_owned(), port });
            assert_eq!(server.to_string(), shown);
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            ":514",
            "host:0",
            "host:65536",
            "host:x",
            "http://host:514",
            "tcp://host/path",
            "tcp://user@host:1",
            "2001:db8::1",
            "[::1",
            "[::1]x",
            "[host]:1",
            "ho st:1",
            "unix://dev/log",
            "tcp://",
        ] {
            let error = text.parse::<SyslogServer>().unwrap_err().to_string();
            assert!(error.contains("accepted: [udp|tcp|tls]://HOST:PORT"), "{error}");
        }
    }
}
