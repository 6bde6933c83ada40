//! The way to a syslog receiver: a socket, with TLS or without. Every operation on it ends in time.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::server::{SyslogServer, Transport};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// UDP tells nobody that a name leads elsewhere by now: it is looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);

/// See the module.
pub(super) struct Connection {
    way: Way,
    since: Instant,
}

enum Way {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    pub(super) fn open(server: &SyslogServer, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let way = match server.transport {
            Transport::Unix => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&server.host)?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                Way::Unix(socket)
            }
            Transport::Udp => Way::Udp(each_address(server, |address| {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
                Ok(socket)
            })?),
            Transport::Tcp => Way::Tcp(connect(server)?),
            Transport::Tls => {
                let config = tls.ok_or_else(|| io::Error::other("no TLS is configured"))?;
                let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
                let client = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(client, connect(server)?);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Way::Tls(Box::new(stream))
            }
        };
        Ok(Self { way, since: Instant::now() })
    }

    /// Whether messages are framed.
    pub(super) const fn is_stream(&self) -> bool {
        matches!(self.way, Way::Tcp(_) | Way::Tls(_))
    }

    /// Sends all of it.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Udp(socket) => {
                let sent = match socket.send(bytes) {
                    // What a datagram before it met; this one was not sent.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.send(bytes),
                    sent => sent,
                };
                sent.map(drop)
            }
            Way::Unix(socket) => socket.send(bytes).map(drop),
            Way::Tcp(stream) => stream.write_all(bytes),
            Way::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Whether it is better to open another one. A stream that the receiver closed still takes a write, which is then lost.
    pub(super) fn is_stale(&mut self) -> bool {
        match &mut self.way {
            Way::Udp(_) => self.since.elapsed() >= RESOLVE_EVERY,
            Way::Unix(_) => false,
            Way::Tcp(stream) => {
                // A receiver of syslog says nothing: whatever it sends is thrown away.
                let mut waste = [0; 1024];
                let mut stream: &TcpStream = stream;
                is_closed(stream, || match stream.read(&mut waste) {
                    Ok(0) => Ok(false),
                    read => read.map(|_| true),
                })
            }
            Way::Tls(tls) => {
                // Reads what belongs to TLS itself (tickets, an alert, the end).
                let StreamOwned { conn, sock } = &mut **tls;
                let mut reader: &TcpStream = sock;
                is_closed(sock, || {
                    if conn.read_tls(&mut reader)? == 0 {
                        return Ok(false);
                    }
                    let state = conn.process_new_packets().map_err(io::Error::other)?;
                    let mut waste = vec![0; state.plaintext_bytes_to_read()];
                    conn.reader().read_exact(&mut waste)?;
                    Ok(!state.peer_has_closed())
                })
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Way::Tls(tls) = &mut self.way {
            // The end is said (RFC 5425, section 4.4), as far as the socket takes it at once.
            let StreamOwned { conn, sock } = &mut **tls;
            conn.send_close_notify();
            if sock.set_nonblocking(true).is_ok() {
                let _ = conn.write_tls(sock);
            }
        }
    }
}

/// Reads until there is nothing more now; whether that was the end. `read` says whether it goes on.
fn is_closed(stream: &TcpStream, mut read: impl FnMut() -> io::Result<bool>) -> bool {
    /// Who never stops talking is no receiver.
    const READS_MAX: usize = 64;
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let mut outcome = Ok(true);
    for _ in 0..READS_MAX {
        outcome = read();
        if !matches!(outcome, Ok(true)) {
            break;
        }
    }
    let is_open =
        matches!(&outcome, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted));
    stream.set_nonblocking(false).is_err() || !is_open
}

fn connect(server: &SyslogServer) -> io::Result<TcpStream> {
    let stream = each_address(server, |address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    // For the handshake of TLS.
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    Ok(stream)
}

/// The first of a host's addresses that works.
fn each_address<T>(server: &SyslogServer, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::other("the host has no address");
    for address in (server.host.as_str(), server.port).to_socket_addrs()?.take(ADDRESSES_MAX) {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(error) => last = error,
        }
    }
    Err(last)
}
