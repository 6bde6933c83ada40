//! A receiver on the loopback interface that answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::super::super::catalogue::LOG;
use super::super::super::format::{Format, Identity};
use super::super::super::level::{Category, Level};
use super::super::super::line::Wanted;
use super::super::super::masking::Pii;
use super::super::super::notices::Notices;
use super::super::super::record::Record;
use super::super::super::stats::SinkKind;
use super::*;

const WANTED: Wanted = Wanted { local: Format::Json, json: true, brief: false };

fn line(text: &str) -> Line {
    let mut record = Record::new(0, Level::Info, Category::System, &LOG, Pii::Full);
    record.set_message(text);
    Line::new(&record, &Identity::new("server"), WANTED)
}

fn lines(texts: &[&str]) -> VecDeque<Line> {
    texts.iter().map(|text| line(text)).collect()
}

struct Request {
    connection: usize,
    head: Vec<String>,
    messages: Vec<String>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answers one request after the other, over as many connections as there are; an empty answer closes the connection.
fn receiver(answers: &'static [&'static str]) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/ingest?source=test", listener.local_addr().unwrap());
    let (sender, requests) = sync_channel(64);
    thread::spawn(move || {
        let mut answers = answers.iter();
        for connection in 0.. {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            loop {
                let head: Vec<_> =
                    reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let mut request = Request { connection, head, messages: Vec::new() };
                let Some(length) = request.header("content-length").and_then(|text| text.parse().ok()) else { break };
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                if request.header("content-encoding") == Some("gzip") {
                    let mut plain = Vec::new();
                    flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
                    body = plain;
                }
                let message =
                    |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["message"].to_string();
                request.messages = std::str::from_utf8(&body).unwrap().lines().map(message).collect();
                sender.send(request).unwrap();
                let Some(answer) = answers.next() else { return };
                if answer.is_empty() || std::io::Write::write_all(&mut stream, answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (url, requests)
}

fn sink_of(url: &str, token: Option<&str>, gzip: bool) -> std::io::Result<(HttpSink, Arc<SinkStats>)> {
    let config = HttpConfig {
        endpoint: url.parse().unwrap(),
        token: token.map(str::to_owned),
        gzip,
        tls: None,
        timeout: Duration::from_secs(20),
    };
    let stats = SinkStats::new("http", SinkKind::Http);
    let identity = Arc::new(Identity::new("server"));
    let notices = Notices { identity, wanted: WANTED, clock: SystemTime::now };
    let complaints = Complaints::new(notices, "http", None);
    Ok((HttpSink::new(&config, || 0, SystemTime::now, Arc::clone(&stats), complaints)?, stats))
}

fn sink(url: &str) -> (HttpSink, Arc<SinkStats>) {
    sink_of(url, None, true).unwrap()
}

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const LATER: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\nno\n";
const NEVER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_batch_is_compressed_lines_with_a_token_over_a_connection_that_stays() {
    let (url, requests) = receiver(&[OK, OK]);
    let (mut sink, stats) = sink_of(&url, Some("t0ken"), true).unwrap();
    assert_eq!(sink.write(&mut lines(&["one", "two"])), None);
    assert_eq!(sink.write(&mut lines(&["three"])), None);
    let (first, second) = (requests.recv().unwrap(), requests.recv().unwrap());
    assert_eq!(first.head[0], "POST /api/ingest?source=test HTTP/1.1");
    assert_eq!(first.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(first.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(first.messages, ["\"one\"", "\"two\""]);
    assert_eq!((second.messages.len(), first.connection, second.connection), (1, 0, 0));
    assert_eq!((stats.read().written, stats.read().errors), (3, 0));
}

#[test]
fn compression_and_token_can_be_left_out() {
    let (url, requests) = receiver(&[OK]);
    let (mut sink, _) = sink_of(&url, None, false).unwrap();
    assert_eq!(sink.write(&mut lines(&["one"])), None);
    let request = requests.recv().unwrap();
    assert_eq!((request.header("content-encoding"), request.header("authorization")), (None, None));
    assert_eq!(request.messages, ["\"one\""]);
}

#[test]
fn what_may_pass_is_tried_again() {
    let (url, requests) = receiver(&[BUSY, LATER, OK]);
    let (mut sink, stats) = sink(&url);
    let mut waiting = lines(&["one"]);
    assert_eq!(sink.write(&mut waiting), Some(Duration::from_millis(250)));
    let asked = sink.write(&mut waiting).unwrap();
    assert!(asked >= Duration::from_secs(7) && asked <= Duration::from_millis(7_500), "{asked:?}");
    assert_eq!(sink.write(&mut waiting), None);
    assert_eq!(requests.iter().take(3).flat_map(|request| request.messages).collect::<Vec<_>>(), ["\"one\""; 3]);
    assert_eq!((stats.read().written, stats.read().errors, stats.read().dropped), (1, 2, 0));
}

#[test]
fn what_is_final_is_dropped_and_counted() {
    for answer in [&[NEVER, OK], &[ELSEWHERE, OK]] {
        let (url, requests) = receiver(answer);
        let (mut sink, stats) = sink(&url);
        assert_eq!(sink.write(&mut lines(&["bad", "bad"])), None);
        assert_eq!(sink.write(&mut lines(&["good"])), None);
        assert_eq!(requests.iter().take(2).last().map(|request| request.messages), Some(vec!["\"good\"".to_owned()]));
        assert_eq!((stats.read().written, stats.read().errors, stats.read().dropped), (1, 1, 2));
    }
}

#[test]
fn a_batch_that_is_too_large_is_halved() {
    let (url, requests) = receiver(&[TOO_LARGE, TOO_LARGE, OK, TOO_LARGE, OK, OK, OK, OK]);
    let (mut sink, stats) = sink(&url);
    assert_eq!(sink.write(&mut lines(&["1", "2", "3", "4"])), None);
    let sizes: Vec<_> = std::iter::from_fn(|| requests.try_recv().ok()).map(|request| request.messages.len()).collect();
    assert_eq!(sizes, [4, 2, 1, 2, 1, 2]);
    assert_eq!((stats.read().written, stats.read().dropped), (4, 0));
}

#[test]
fn a_receiver_that_knows_no_compression_gets_plain_lines() {
    const PLAIN: &str = "HTTP/1.1 415 Unsupported Media Type\r\nContent-Length: 0\r\n\r\n";
    let (url, requests) = receiver(&[PLAIN, OK, PLAIN]);
    let (mut sink, stats) = sink(&url);
    assert_eq!(sink.write(&mut lines(&["one"])), None);
    let codings: Vec<_> =
        requests.iter().take(2).map(|request| request.header("content-encoding").map(str::to_owned)).collect();
    assert_eq!(codings, [Some("gzip".to_owned()), None]);
    assert_eq!(sink.write(&mut lines(&["two"])), None);
    assert_eq!((stats.read().written, stats.read().dropped), (1, 1), "the second time it is final");
}

#[test]
fn a_connection_that_ends_is_no_failure_if_another_one_works() {
    const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (url, requests) = receiver(&[LAST, OK]);
    let (mut sink, stats) = sink(&url);
    assert_eq!(sink.write(&mut lines(&["one"])), None);
    assert_eq!(sink.write(&mut lines(&["two"])), None);
    let connections: Vec<_> = requests.iter().take(2).map(|request| request.connection).collect();
    assert_eq!(connections, [0, 1]);
    assert_eq!((stats.read().written, stats.read().errors), (2, 0));
}

#[test]
fn garbage_and_silence_are_failures_and_no_more() {
    let (url, _requests) = receiver(&["garbage\r\n\r\n", "", OK]);
    let (mut sink, stats) = sink(&url);
    let mut waiting = lines(&["one"]);
    assert!(sink.write(&mut waiting).is_some() && sink.write(&mut waiting).is_some());
    assert_eq!(sink.write(&mut waiting), None);
    assert_eq!((stats.read().written, stats.read().errors), (1, 2));
}

#[test]
fn a_batch_is_not_tried_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let (mut sink, stats) = sink(&url);
    let mut waiting = lines(&["one"]);
    for _ in 0..ATTEMPTS_MAX {
        assert!(sink.write(&mut waiting).is_some());
    }
    assert!(waiting.is_empty());
    assert_eq!((stats.read().dropped, stats.read().errors), (1, u64::from(ATTEMPTS_MAX)));
}

#[test]
fn a_body_has_its_bounds() {
    let (sink, _) = sink("http://127.0.0.1:1/");
    let mut many: VecDeque<_> = (0..BATCH_LINES_MAX + 1).map(|_| line("x")).collect();
    let (_, bytes, count) = sink.body(&many).unwrap();
    assert!(bytes <= BATCH_BYTES_MAX && count <= BATCH_LINES_MAX);
    many.push_front(line(&"\u{1b}".repeat(8_000)));
    let long: VecDeque<_> = (0..100).map(|_| line(&"\u{1b}".repeat(8_000))).collect();
    let (_, bytes, count) = sink.body(&long).unwrap();
    assert!(bytes <= BATCH_BYTES_MAX && count < 100 && count > 10);
}

#[test]
fn a_token_is_never_shown() {
    let error = sink_of("http://127.0.0.1:1/", Some("c4n4ry\n"), true).err().unwrap().to_string();
    assert!(!error.contains("c4n4ry"), "{error}");
    let config = HttpConfig {
        endpoint: "https://host/".parse().unwrap(),
        token: Some("c4n4ry".to_owned()),
        gzip: true,
        tls: None,
        timeout: REQUEST_TIMEOUT,
    };
    assert!(!format!("{config:?}").contains("c4n4ry"));
}
