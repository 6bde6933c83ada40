//! Golden scenarios: each file in `scenarios/` tells one story. Lines after `>` are commands, lines after them what
//! came back. `VEDFOLNIR_REWRITE_SCENARIOS=1 cargo test -p vedfolnir-state` writes the outcomes anew: read the diff.
//!
//! ```text
//! > NODE.GENERATION[@SEQUENCE] COMMAND; COMMAND…     one proposal of a node (the sequence is the next one by default)
//! > system COMMAND                                   one proposal of the leader
//! > replay PID after INDEX.ORDINAL
//! > kv KEY | list PREFIX [after=KEY] [limit=N] | members [ROOM,…] [except=ROOM,…] [limit=N] [all]
//! > users [ROOM] [limit=N] [all] | events [after=ID] | snapshot
//! > token NAME                                       what a join token is worth
//! ```
//! `all` follows a paged question to its end; `snapshot` goes on with a state read from a snapshot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Applied, Audience, Command, Configuration, Effect, Event, EventKind, Format, Incarnation, JoinTokenView, KeyHash,
    KvDelete, KvEntry, KvExpected, KvPut, LogPosition, NodeInfo, Offset, Origin, Outcome, Payload, PidHash, Proposal,
    Publish, Record, Register, Response, Resume, SessionRef, State, TokenHash, encode_proposal,
};

#[derive(Default)]
struct Story {
    state: State,
    index: u64,
    sequences: BTreeMap<Incarnation, u64>,
}

fn pid(name: &str) -> PidHash {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    PidHash(bytes)
}

fn hashed(name: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn pid_name(pid: PidHash) -> String {
    pid.0.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
}

fn position(text: &str) -> LogPosition {
    let (index, ordinal) = text.split_once('.').expect("INDEX.ORDINAL");
    LogPosition::new(index.parse().expect("an index"), ordinal.parse().expect("an ordinal"))
}

fn incarnation(text: &str) -> Incarnation {
    let (node, generation) = text.split_once('.').expect("NODE.GENERATION");
    Incarnation { node: node.parse().expect("a node"), generation: generation.parse().expect("a generation") }
}

/// `word key=value …` into the word, the bare words, and the pairs.
fn words(text: &str) -> (Vec<&str>, BTreeMap<&str, &str>) {
    let mut bare = Vec::new();
    let mut pairs = BTreeMap::new();
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some((key, value)) => drop(pairs.insert(key, value)),
            None => bare.push(word),
        }
    }
    (bare, pairs)
}

fn names(text: Option<&&str>) -> Vec<Arc<str>> {
    text.map(|text| text.split(',').map(Arc::from).collect()).unwrap_or_default()
}

fn command(text: &str) -> Command {
    let (bare, pairs) = words(text);
    let number = |key: &str, default: u64| pairs.get(key).map_or(default, |value| value.parse().expect("a number"));
    let namespace: Arc<str> = pairs.get("ns").copied().unwrap_or("/").into();
    let user = pairs.get("user").map(|user| Arc::from(*user));
    let epoch = number("epoch", 1);
    match bare[..] {
        ["configure"] => Command::Configure(Configuration {
            history_id: number("history", 77),
            recovery_window_ms: number("window", 1_000),
            history_age_ms_max: number("age", 5_000),
            history_bytes_max: number("bytes", 1 << 20),
            sid_key: crate::SidKey::default(),
        }),
        ["node-up", node] => Command::NodeUp { incarnation: incarnation(node), info: NodeInfo::default() },
        ["node-down", node] => Command::NodeDown { incarnation: incarnation(node) },
        ["tick", ms] => Command::Tick { elapsed_ms: ms.parse().expect("milliseconds") },
        ["register", name] => Command::Register(Register {
            pid: pid(name),
            sid: name.to_uppercase().into(),
            namespace,
            user,
            data: Bytes::new(),
        }),
        ["resume", name] => Command::Resume(Resume {
            pid: pid(name),
            namespace,
            user,
            expected_epoch: pairs.get("epoch").map(|epoch| epoch.parse().expect("an epoch")),
            offset: pairs
                .get("offset")
                .map(|offset| Offset { history_id: number("history", 77), position: position(offset) }),
        }),
        ["disconnect", name] => Command::Disconnect { pid: pid(name), epoch },
        ["close", name] => Command::Close { pid: pid(name), epoch },
        ["join", name, room] => Command::Join { pid: pid(name), epoch, room: room.into() },
        ["leave", name, room] => Command::Leave { pid: pid(name), epoch, room: room.into() },
        ["put", key, value] => Command::KvPut(KvPut {
            key: key.into(),
            value: Bytes::from(value.to_owned()),
            ttl_ms: pairs.get("ttl").map(|ttl| ttl.parse().expect("milliseconds")),
            expected: expected(&pairs),
        }),
        ["delete", key] => Command::KvDelete(KvDelete { key: key.into(), expected: expected(&pairs) }),
        ["publish", text] => Command::Publish(Publish {
            from: pairs.get("from").map(|from| (pid(from), epoch)),
            record: Arc::new(Record {
                namespace,
                rooms: names(pairs.get("to")),
                except: names(pairs.get("except")),
                payload: Payload { text: Bytes::from(text.to_owned()), attachments: Vec::new() },
            }),
            trace: None,
        }),
        ["add-token", name] => Command::AddJoinToken { token: TokenHash(hashed(name)), ttl_ms: number("ttl", 1_000) },
        ["use-token", name, node, key] => Command::UseJoinToken {
            token: TokenHash(hashed(name)),
            node: node.parse().expect("a node"),
            key: KeyHash(hashed(key)),
        },
        ["remove-node", node] => Command::RemoveNode { node: node.parse().expect("a node") },
        _ => panic!("no such command: {text}"),
    }
}

fn expected(pairs: &BTreeMap<&str, &str>) -> KvExpected {
    match pairs.get("at") {
        None => KvExpected::Anything,
        Some(&"absent") => KvExpected::Absent,
        Some(revision) => KvExpected::Revision(position(revision)),
    }
}

fn say_entry(out: &mut String, entry: &KvEntry) {
    let end = entry.expires_in_ms.map(|ms| format!(" expires-in={ms}")).unwrap_or_default();
    let value = String::from_utf8_lossy(&entry.value);
    let _ = writeln!(out, "  {}={value} at={}{end}", entry.key, entry.revision);
}

fn event_line(event: &Event) -> String {
    let session = |session: &SessionRef| {
        let user = session.user.as_ref().map(|user| format!(" user={user}")).unwrap_or_default();
        format!("{}{user} epoch={}", session.sid, session.epoch)
    };
    let what = match &event.kind {
        EventKind::Disconnected { session: who, owner, node_down } => {
            format!("disconnected {} owner={owner} node-down={node_down}", session(who))
        }
        EventKind::Expired { session: who } => format!("expired {}", session(who)),
        EventKind::Closed { session: who } => format!("closed {}", session(who)),
        EventKind::RoomOccupied { room, .. } => format!("occupied {room}"),
        EventKind::RoomVacated { room, .. } => format!("vacated {room}"),
    };
    format!("event {} {what}", event.id)
}

fn say_response(out: &mut String, response: &Response) {
    let line = match response {
        Response::Resumed { epoch, position, replay_after, sid, rooms, .. } => {
            format!(
                "resumed epoch={epoch} at={position} replay-after={replay_after} sid={sid} rooms={}",
                rooms.join(",")
            )
        }
        other => format!("{other:?}"),
    };
    let _ = writeln!(out, "  = {line}");
}

fn say_effect(out: &mut String, at: LogPosition, effect: &Effect) {
    let line = match effect {
        Effect::Deliver { record, .. } => {
            let text = String::from_utf8_lossy(&record.payload.text).into_owned();
            format!("deliver {text} to=[{}] except=[{}]", record.rooms.join(","), record.except.join(","))
        }
        Effect::Opened(opened) => format!(
            "opened {} owner={} epoch={} rooms={} replay-after={}",
            pid_name(opened.pid),
            opened.owner,
            opened.epoch,
            opened.rooms.join(","),
            opened.replay_after
        ),
        Effect::Fenced { pid, owner, epoch } => format!("fenced {} owner={owner} epoch={epoch}", pid_name(*pid)),
        Effect::Joined { pid, room } => format!("joined {} {room}", pid_name(*pid)),
        Effect::Left { pid, room } => format!("left {} {room}", pid_name(*pid)),
        Effect::Disconnected { pid, epoch } => format!("disconnected {} epoch={epoch}", pid_name(*pid)),
        Effect::Ended { pid, epoch, reason } => format!("ended {} epoch={epoch} {reason:?}", pid_name(*pid)),
        Effect::NodeUp { incarnation, .. } => format!("node-up {incarnation}"),
        Effect::NodeDown { incarnation } => format!("node-down {incarnation}"),
        Effect::Event(event) => event_line(event),
    };
    let _ = writeln!(out, "  {at} {line}");
}

impl Story {
    /// A question about the state; `None`: it is none.
    fn ask(&mut self, line: &str) -> Option<String> {
        let mut out = String::new();
        let (bare, pairs) = words(line);
        let limit = pairs.get("limit").map_or(usize::MAX, |limit| limit.parse().expect("a number"));
        let all = bare.last() == Some(&"all");
        let namespace: Arc<str> = "/".into();
        let room = |at: usize| bare.get(at).filter(|word| **word != "all").map(|room| Arc::<str>::from(*room));
        match bare[0] {
            "kv" => match self.state.kv_get(bare[1]) {
                None => out.push_str("  none\n"),
                Some(entry) => say_entry(&mut out, &entry),
            },
            "list" => {
                let page = self.state.kv_list(bare.get(1).unwrap_or(&""), pairs.get("after").copied(), limit);
                page.entries.iter().for_each(|entry| say_entry(&mut out, entry));
                let _ = writeln!(out, "  next={:?}", page.next);
            }
            "members" => {
                let rooms = room(1).map(|rooms| names(Some(&&*rooms))).unwrap_or_default();
                let audience = Audience { namespace, rooms, except: names(pairs.get("except")) };
                let mut after = None;
                loop {
                    let page = self.state.members(&audience, after, limit);
                    for member in page.members {
                        let user = member.user.map(|user| format!(" user={user}")).unwrap_or_default();
                        let (sid, connected, owner) = (member.sid, member.connected, member.owner);
                        let _ = writeln!(out, "  {sid}{user} connected={connected} owner={owner}");
                    }
                    let _ = writeln!(out, "  more={}", page.next.is_some());
                    after = page.next;
                    if after.is_none() || !all {
                        break;
                    }
                }
            }
            "users" => {
                let room = room(1);
                let count = self.state.room_count(&namespace, room.as_ref());
                let _ = writeln!(out, "  sessions={} users={}", count.sessions, count.users);
                let mut after = None;
                loop {
                    let page = self.state.room_users(&namespace, room.as_ref(), after.as_ref(), limit);
                    for user in page.users {
                        let _ = writeln!(out, "  {} sessions={}", user.user, user.sessions);
                    }
                    let _ = writeln!(out, "  next={:?}", page.next);
                    after = page.next;
                    if after.is_none() || !all {
                        break;
                    }
                }
            }
            "events" => {
                let after = pairs.get("after").map(|id| id.parse().expect("an event id"));
                let page = self.state.events_after(after, limit);
                for event in &page.events {
                    let _ = writeln!(out, "  {}", event_line(event));
                }
                let _ = writeln!(out, "  hole={}", page.hole);
            }
            "snapshot" => {
                let mut bytes = Vec::new();
                self.state.encode_snapshot(&mut bytes).expect("memory");
                let back = State::decode_snapshot(bytes.as_slice()).expect("what was written");
                assert!(back == self.state, "a snapshot loses something");
                self.state = back;
            }
            _ => return None,
        }
        Some(out)
    }

    fn tell(&mut self, line: &str) -> String {
        if let Some(answer) = self.ask(line) {
            return answer;
        }
        let mut out = String::new();
        if let Some(question) = line.strip_prefix("replay ") {
            let (name, after) = question.split_once(" after ").expect("replay PID after POSITION");
            match self.state.replay(&pid(name), position(after), usize::MAX) {
                None => out.push_str("  no such session\n"),
                Some(replay) => {
                    for (at, record) in replay.records {
                        let _ = writeln!(out, "  {at} {}", String::from_utf8_lossy(&record.payload.text));
                    }
                    let _ = writeln!(out, "  complete={} hole={}", replay.complete, replay.hole);
                }
            }
            return out;
        }
        if let Some(name) = line.strip_prefix("token ") {
            let worth = match self.state.join_token(&TokenHash(hashed(name))) {
                Some(JoinTokenView::UsedBy { node, .. }) => format!("used by {node}"),
                Some(other) => format!("{other:?}"),
                None => "unknown".to_owned(),
            };
            let _ = writeln!(out, "  {worth}");
            return out;
        }
        let (who, what) = line.split_once(' ').expect("WHO COMMAND");
        let commands: Vec<Command> = what.split(';').map(|text| command(text.trim())).collect();
        let origin = if who == "system" {
            Origin::System
        } else {
            let (life, sequence) = who.split_once('@').map_or((who, None), |(life, at)| (life, Some(at)));
            let incarnation = incarnation(life);
            let next = self.sequences.entry(incarnation).or_insert(1);
            let first_sequence = sequence.map_or(*next, |sequence| sequence.parse().expect("a sequence"));
            *next = (*next).max(first_sequence + commands.len() as u64);
            Origin::Node { incarnation, first_sequence }
        };
        self.index += 1;
        let bytes = encode_proposal(Format::NEWEST, &Proposal { origin, commands });
        let Applied { outcome, effects, .. } = self.state.apply(self.index, &bytes);
        match outcome {
            Outcome::Executed { skipped, responses } => {
                if skipped > 0 {
                    let _ = writeln!(out, "  skipped {skipped}");
                }
                responses.iter().for_each(|response| say_response(&mut out, response));
            }
            other => drop(writeln!(out, "  {other:?}")),
        }
        effects.iter().for_each(|at| say_effect(&mut out, at.position, &at.effect));
        out
    }
}

#[test]
fn scenarios() {
    let rewrite = std::env::var_os("VEDFOLNIR_REWRITE_SCENARIOS").is_some();
    // Tests run in their package's directory.
    let dir = Path::new("scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "the scenarios are there");
    for path in paths {
        let expected = std::fs::read_to_string(&path).unwrap();
        let mut story = Story::default();
        let mut told = String::new();
        for line in expected.lines() {
            if line.starts_with('#') || line.is_empty() {
                told.push_str(line);
                told.push('\n');
            } else if let Some(said) = line.strip_prefix("> ") {
                let _ = writeln!(told, "> {said}");
                told.push_str(&story.tell(said));
            }
        }
        if rewrite {
            std::fs::write(&path, &told).unwrap();
        } else {
            assert_eq!(told, expected, "{}", path.display());
        }
    }
}
