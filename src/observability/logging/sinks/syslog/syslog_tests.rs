//! Real sockets on the loopback interface.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::thread;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::super::catalogue::LOG;
use super::super::super::format::{Format, Identity};
use super::super::super::level::{Category, Level};
use super::super::super::line::Wanted;
use super::super::super::masking::Pii;
use super::super::super::notices::Notices;
use super::super::super::record::Record;
use super::super::super::stats::SinkKind;
use super::super::tls::client_tls;
use super::*;

const WANTED: Wanted = Wanted { local: Format::Json, json: true, brief: true };

fn lines(texts: &[&str]) -> VecDeque<Line> {
    let line = |text: &&str| {
        let mut record = Record::new(0, Level::Info, Category::System, &LOG, Pii::Full);
        record.set_message(text);
        Line::new(&record, &Identity::new("server"), WANTED)
    };
    texts.iter().map(line).collect()
}

fn sink(server: &str, tls: Option<Arc<ClientConfig>>) -> (Syslog, Arc<SinkStats>) {
    let config = SyslogConfig {
        server: server.parse().unwrap(),
        format: SyslogFormat::Rfc5424,
        facility: Facility::default(),
        host_name: "web-1".to_owned(),
        tls,
    };
    let stats = SinkStats::new("syslog", SinkKind::Syslog);
    let identity = Arc::new(Identity::new("server"));
    let notices = Notices { identity, wanted: WANTED, clock: std::time::SystemTime::now };
    (Syslog::new(&config, || 0, Arc::clone(&stats), Complaints::new(notices, "syslog", None)), stats)
}

fn message_of(syslog: &str) -> String {
    let json = syslog.get(syslog.find('{').unwrap()..).unwrap();
    serde_json::from_str::<serde_json::Value>(json).unwrap()["message"].as_str().unwrap().to_owned()
}

/// Takes one frame of RFC 6587 off a stream.
fn frame(stream: &mut impl Read) -> Option<String> {
    let mut length = 0;
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        match byte[0] {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

#[test]
fn datagrams_hold_a_message_each() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut sink, stats) = sink(&receiver.local_addr().unwrap().to_string(), None);
    assert_eq!(sink.write(&mut lines(&["one", "two"])), None);
    for expected in ["one", "two"] {
        let mut bytes = [0; 4096];
        let length = receiver.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        assert!(text.starts_with("<134>1 1970-01-01T00:00:00.000Z web-1 vedfolnir "), "{text}");
        assert_eq!(message_of(text), expected);
    }
    assert_eq!(stats.read().written, 2);
}

#[test]
fn this_machines_syslog_gets_its_own_form() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let (mut sink, _) = sink(&format!("unix://{}", path.display()), None);
    assert_eq!(sink.write(&mut lines(&["one"])), None);
    let mut bytes = [0; 4096];
    let length = receiver.recv(&mut bytes).unwrap();
    let text = std::str::from_utf8(&bytes[..length]).unwrap();
    assert!(text.starts_with("<134>Jan  1 00:00:00 vedfolnir["), "{text}");
}

#[test]
fn a_stream_counts_octets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut sink, stats) = sink(&format!("tcp://{}", listener.local_addr().unwrap()), None);
    assert_eq!(sink.write(&mut lines(&["one", "zwei ß"])), None);
    let (mut stream, _) = listener.accept().unwrap();
    for expected in ["one", "zwei ß"] {
        assert_eq!(message_of(&frame(&mut stream).unwrap()), expected);
    }
    assert_eq!(sink.write(&mut lines(&["three"])), None);
    assert_eq!(message_of(&frame(&mut stream).unwrap()), "three");
    assert_eq!(stats.read().written, 3);
}

#[test]
fn a_receiver_that_went_away_is_noticed_before_a_line_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut sink, stats) = sink(&format!("tcp://{}", listener.local_addr().unwrap()), None);
    assert_eq!(sink.write(&mut lines(&["one"])), None);
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(message_of(&frame(&mut stream).unwrap()), "one");
    // The end is here before the next line is: the peer's FIN is acknowledged when this returns.
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    drop(stream);
    while !sink.connection.as_mut().unwrap().is_stale() {
        thread::yield_now();
    }
    assert_eq!(sink.write(&mut lines(&["two"])), None);
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(message_of(&frame(&mut stream).unwrap()), "two");
    assert_eq!((stats.read().written, stats.read().errors), (2, 0));
}

#[test]
fn a_receiver_that_is_not_there_keeps_the_lines_and_makes_waits_grow() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (mut sink, stats) = sink(&format!("tcp://{address}"), None);
    let mut waiting = lines(&["one", "two"]);
    let waits: Vec<_> = (0..3).map(|_| sink.write(&mut waiting).unwrap()).collect();
    assert!(waits.is_sorted() && waits[0] < waits[2], "{waits:?}");
    assert_eq!((waiting.len(), stats.read().errors, stats.read().dropped), (2, 3, 0));
    let Ok(listener) = TcpListener::bind(address) else { return };
    assert_eq!(sink.write(&mut waiting), None);
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(message_of(&frame(&mut stream).unwrap()), "one");
    assert_eq!(waiting.len(), 0);
}

/// An authority of its own, and a receiver that it vouches for.
fn tls_receiver() -> (String, Arc<ServerConfig>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.der().to_vec())], private)
        .unwrap();
    (certificate.pem(), Arc::new(config))
}

fn accept_tls(listener: &TcpListener, config: &Arc<ServerConfig>) -> StreamOwned<ServerConnection, TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
}

#[test]
fn lines_travel_over_tls_and_a_closed_one_is_opened_again() {
    let (pem, config) = tls_receiver();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut sink, stats) = sink(&format!("tls://localhost:{port}"), Some(client_tls(Some(pem.as_bytes())).unwrap()));
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut got = Vec::new();
            for _ in 0..2 {
                let mut stream = accept_tls(&listener, &config);
                got.push(message_of(&frame(&mut stream).unwrap()));
                stream.conn.send_close_notify();
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
            got
        });
        assert_eq!(sink.write(&mut lines(&["one"])), None);
        while !sink.connection.as_mut().unwrap().is_stale() {
            thread::yield_now();
        }
        assert_eq!(sink.write(&mut lines(&["two"])), None);
        assert_eq!(receiver.join().unwrap(), ["one", "two"]);
    });
    assert_eq!((stats.read().written, stats.read().errors), (2, 0));
}

#[test]
fn an_impostor_gets_nothing() {
    let (pem, _) = tls_receiver();
    let (_, impostor) = tls_receiver();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut sink, stats) = sink(&format!("tls://localhost:{port}"), Some(client_tls(Some(pem.as_bytes())).unwrap()));
    thread::scope(|scope| {
        let receiver = scope.spawn(|| frame(&mut accept_tls(&listener, &impostor)));
        let mut waiting = lines(&["one"]);
        assert!(sink.write(&mut waiting).is_some());
        assert_eq!(waiting.len(), 1);
        assert_eq!(receiver.join().unwrap(), None);
    });
    assert_eq!((stats.read().written, stats.read().errors), (0, 1));
}
