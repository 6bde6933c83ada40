//! What earlier releases wrote stays readable: recorded proposals of every command, and the snapshot they lead to.
//!
//! A fixture is recorded once, by the release that first writes a format, and never changed:
//! `cargo test -p vedfolnir-state record_fixtures -- --ignored` writes `fixtures/format-N/` for the newest format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Change, Command, Configuration, ContentHash, Format, Incarnation, KeyHash, KvDelete, KvExpected, KvPut,
    LogPosition, Manage, MemberCursor, NodeInfo, Offset, OnceKey, Origin, Outcome, Payload, PidHash, Proposal, Publish,
    PublishOnce, Record, Register, Response, Restoration, Resume, SidKey, State, TokenHash, TraceContext, Whom,
    decode_proposal, encode_proposal,
};

const A: Incarnation = Incarnation { node: 0x0a, generation: 1 };
const B: Incarnation = Incarnation { node: 0x7fff_ffff_ffff_fffb, generation: 70_000 };
const C: Incarnation = Incarnation { node: 0x0c, generation: 2 };

fn pid(byte: u8) -> PidHash {
    PidHash([byte; 16])
}

fn info(name: &str) -> NodeInfo {
    NodeInfo {
        url: format!("http://{name}:5000"),
        admin_url: format!("http://{name}:5002"),
        cluster_addr: format!("{name}:5001"),
        server_id: name.to_owned(),
        version: "0.1.0".to_owned(),
        signs: name == "a",
        process: 0x1122_3344_5566_7788,
    }
}

fn record(rooms: &[&str], except: &[&str], text: &str, attachments: &[&[u8]]) -> Arc<Record> {
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    Arc::new(Record {
        namespace: "/".into(),
        rooms: names(rooms),
        except: names(except),
        payload: Payload {
            text: Bytes::from(text.to_owned()),
            attachments: attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect(),
        },
    })
}

fn register(byte: u8, sid: &str, user: Option<&str>) -> Command {
    Command::Register(Register {
        pid: pid(byte),
        sid: sid.into(),
        namespace: "/".into(),
        user: user.map(Arc::from),
        data: Bytes::from_static(&[0x81, 0xa1, 0x6b, 0x01]),
    })
}

fn put(key: &str, value: &[u8], ttl_ms: Option<u64>, expected: KvExpected) -> Command {
    Command::KvPut(KvPut { key: key.into(), value: Bytes::copy_from_slice(value), ttl_ms, expected })
}

/// A short history in which every command of a format appears.
fn history(format: Format) -> Vec<(&'static str, Proposal)> {
    let system = |command| Proposal { origin: Origin::System, commands: vec![command] };
    let of = |incarnation, first_sequence, commands| Proposal {
        origin: Origin::Node { incarnation, first_sequence },
        commands,
    };
    let configuration = Configuration {
        history_id: 0x0123_4567_89ab_cdef,
        recovery_window_ms: 120_000,
        history_age_ms_max: 180_000,
        history_bytes_max: 256 << 20,
        sid_key: SidKey([7; 32]),
    };
    let say = |from, record| Command::Publish(Publish { from, record, trace: None });
    let (token, key) = (TokenHash([1; 32]), KeyHash([2; 32]));
    let offset = Offset { history_id: 0x0123_4567_89ab_cdef, position: LogPosition::new(9, 0) };
    let resume = Resume {
        pid: pid(1),
        namespace: "/".into(),
        user: Some("ada".into()),
        expected_epoch: Some(1),
        offset: Some(offset),
    };
    let mut history = vec![
        ("configure", system(Command::Configure(configuration))),
        ("node_up_a", system(Command::NodeUp { incarnation: A, info: info("a") })),
        ("node_up_b", system(Command::NodeUp { incarnation: B, info: info("b") })),
        ("node_up_c", system(Command::NodeUp { incarnation: C, info: NodeInfo::default() })),
        ("tick", system(Command::Tick { elapsed_ms: 1_000 })),
        ("register", of(A, 1, vec![register(1, "sid-one", Some("ada")), register(2, "sid-two", None)])),
        ("register_c", of(C, 1, vec![register(3, "sid-three", None)])),
        (
            "join",
            of(
                A,
                3,
                vec![
                    Command::Join { pid: pid(1), epoch: 1, room: "room".into() },
                    Command::Join { pid: pid(2), epoch: 1, room: "räume:ü".into() },
                ],
            ),
        ),
        ("publish", of(A, 5, vec![say(Some((pid(1), 1)), record(&["room"], &[], "[\"m\",1]", &[]))])),
        (
            "publish_binary",
            of(
                B,
                1,
                vec![
                    say(
                        None,
                        record(&[], &["sid-two"], "[\"b\",{\"_placeholder\":true,\"num\":0}]", &[&[0, 0xff, 0x80]]),
                    ),
                    say(None, record(&["room", "räume:ü"], &[], "[\"m\",3]", &[])),
                ],
            ),
        ),
        ("set_data", of(A, 6, vec![Command::SetData { pid: pid(1), epoch: 1, data: Bytes::from_static(b"\x01\x02") }])),
        ("leave", of(A, 7, vec![Command::Leave { pid: pid(2), epoch: 1, room: "räume:ü".into() }])),
        ("disconnect", of(A, 8, vec![Command::Disconnect { pid: pid(1), epoch: 1 }])),
        ("resume", of(B, 3, vec![Command::Resume(resume)])),
        ("close", of(A, 9, vec![Command::Close { pid: pid(2), epoch: 1 }])),
        (
            "kv_put",
            of(
                A,
                10,
                vec![
                    put("session:1", b"one", None, KvExpected::Absent),
                    put("session:2", b"two", Some(60_000), KvExpected::Anything),
                    put("session:3", &[0xc1; 40], None, KvExpected::Anything),
                ],
            ),
        ),
        (
            "kv_put_expected",
            of(A, 13, vec![put("session:1", b"uno", None, KvExpected::Revision(LogPosition::new(16, 0)))]),
        ),
        (
            "kv_delete",
            of(A, 14, vec![Command::KvDelete(KvDelete { key: "session:3".into(), expected: KvExpected::Anything })]),
        ),
        ("add_join_token", system(Command::AddJoinToken { token, ttl_ms: 3_600_000 })),
        ("use_join_token", system(Command::UseJoinToken { token, node: 0x0d, key })),
        ("add_second_token", system(Command::AddJoinToken { token: TokenHash([3; 32]), ttl_ms: 1_800_000 })),
        ("node_down", system(Command::NodeDown { incarnation: C })),
        ("remove_node", system(Command::RemoveNode { node: C.node })),
        ("tick_again", system(Command::Tick { elapsed_ms: 70_000 })),
    ];
    if format >= Format::RAISED {
        history.push(("raise_format", system(Command::RaiseFormat { format })));
    }
    if format >= Format::TRACED {
        let trace = Some(TraceContext { trace_id: [0xa1; 16], span_id: [0xb2; 8] });
        let record = record(&["room"], &[], "[\"m\",4]", &[]);
        history.push(("publish_traced", of(A, 15, vec![Command::Publish(Publish { from: None, record, trace })])));
    }
    if format >= Format::MANAGED {
        let record = record(&["room"], &[], "[\"m\",5]", &[]);
        // From here on the state says when a session was last active.
        history.push(("publish_noted", of(B, 4, vec![say(Some((pid(1), 2)), record)])));
        // And sessions that began before are in the rooms of their users after a tick.
        history.push(("tick_adopts", system(Command::Tick { elapsed_ms: 1_000 })));
        let manage = |whom, change| Command::Manage(Manage { namespace: "/".into(), whom, change });
        let members = |rooms: &[&str], except: &[&str]| Whom::Members {
            rooms: rooms.iter().map(|room| Arc::from(*room)).collect(),
            except: except.iter().map(|room| Arc::from(*room)).collect(),
            after: Some(MemberCursor::from_bytes([0; 16])),
        };
        let changes = vec![
            manage(members(&["room", "other"], &["muted"]), Change::Join(vec!["räume:ü".into(), "third".into()])),
            manage(members(&[], &[]), Change::Leave(vec!["third".into()])),
            manage(Whom::Session("sid-three".into()), Change::Disconnect),
        ];
        history.push(("manage", of(B, 5, changes)));
        history.push(("register_user", of(B, 8, vec![register(4, "sid-four", Some("bob"))])));
        history.push((
            "publish_user",
            of(B, 9, vec![say(None, self::record(&["\0user:bob"], &["\0user:ada"], "[\"m\",6]", &[]))]),
        ));
        let once = |key| {
            let publish = Publish { from: None, record: self::record(&["room"], &[], "[\"m\",7]", &[]), trace: None };
            Command::PublishOnce(PublishOnce { publish, key: OnceKey([key; 16]), content: ContentHash([7; 16]) })
        };
        // The second of them is a repetition.
        history.push(("publish_once", of(B, 10, vec![once(1), once(1), once(2)])));
    }
    history
}

fn after(history: &[(&'static str, Proposal)], format: Format) -> State {
    let mut state = State::default();
    for (index, (name, proposal)) in history.iter().enumerate() {
        let applied = state.apply(index as u64 + 1, &encode_proposal(format, proposal));
        let Outcome::Executed { skipped: 0, responses } = &applied.outcome else { panic!("{name}: {applied:?}") };
        let refused = |response: &Response| {
            matches!(response, Response::Refused(_) | Response::ResumeRefused(_) | Response::KvRefused(_))
        };
        assert!(!responses.iter().any(refused), "{name}: {responses:?}");
    }
    if format < Format::MANAGED {
        return state;
    }
    state.restored(&Restoration { history_id: 0x0fed_cba9_8765_4321, sid_key: SidKey([8; 32]) })
}

fn snapshot(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    bytes
}

/// One line for each name: the name, a space, hexadecimal digits.
fn lines(text: &str) -> BTreeMap<&str, Vec<u8>> {
    let byte = |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    text.lines()
        .map(|line| {
            let (name, hex) = line.split_once(' ').expect("a name and digits");
            (name, (0..hex.len()).step_by(2).map(|at| byte(hex, at)).collect())
        })
        .collect()
}

fn line(name: &str, bytes: &[u8]) -> String {
    let mut line = format!("{name} ");
    for byte in bytes {
        let _ = write!(line, "{byte:02x}");
    }
    line.push('\n');
    line
}

fn recorded(format: Format) -> (BTreeMap<&'static str, Vec<u8>>, Vec<u8>) {
    let (proposals, snapshot) = match format {
        Format::FIRST => {
            (include_str!("fixtures/format-1/proposals.txt"), include_str!("fixtures/format-1/snapshot.txt"))
        }
        Format::RAISED => {
            (include_str!("fixtures/format-2/proposals.txt"), include_str!("fixtures/format-2/snapshot.txt"))
        }
        Format::TRACED => {
            (include_str!("fixtures/format-3/proposals.txt"), include_str!("fixtures/format-3/snapshot.txt"))
        }
        _ => (include_str!("fixtures/format-4/proposals.txt"), include_str!("fixtures/format-4/snapshot.txt")),
    };
    (lines(proposals), lines(snapshot).remove("snapshot").expect("one"))
}

const FORMATS: [Format; 4] = [Format::FIRST, Format::RAISED, Format::TRACED, Format::NEWEST];

#[test]
fn recorded_proposals_stay_readable() {
    for format in FORMATS {
        let (recorded, _) = recorded(format);
        let history = history(format);
        assert_eq!(recorded.len(), history.len());
        for (name, proposal) in &history {
            assert_eq!(decode_proposal(&recorded[name]).unwrap(), *proposal, "{name} of format {format}");
            let written = encode_proposal(format, proposal);
            assert_eq!(written, recorded[name], "{name}: a node of format {format} must be able to read it");
        }
    }
}

#[test]
fn recorded_snapshots_stay_readable() {
    for format in FORMATS {
        let (_, recorded) = recorded(format);
        let state = State::decode_snapshot(recorded.as_slice()).unwrap();
        assert_eq!(state.format(), format);
        assert_eq!(state, after(&history(format), format), "the same history leads to another state");
        assert_eq!(snapshot(&state), recorded, "a node of format {format} must be able to read it");
    }
}

#[test]
#[ignore = "records anew what must stay as it was recorded"]
fn record_fixtures() {
    let format = Format::NEWEST;
    // Tests run in their package's directory.
    let directory = std::path::PathBuf::from(format!("fixtures/format-{format}"));
    std::fs::create_dir_all(&directory).unwrap();
    let history = history(format);
    let proposals: String =
        history.iter().map(|(name, proposal)| line(name, &encode_proposal(format, proposal))).collect();
    std::fs::write(directory.join("proposals.txt"), proposals).unwrap();
    std::fs::write(directory.join("snapshot.txt"), line("snapshot", &snapshot(&after(&history, format)))).unwrap();
}
