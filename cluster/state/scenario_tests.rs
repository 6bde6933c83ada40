//! Golden scenarios: each file in `scenarios/` tells one story. Lines after `>` are commands, lines after them what
//! came back. `VEDFOLNIR_REWRITE_SCENARIOS=1 cargo test -p vedfolnir-state` writes the outcomes anew: read the diff.
//!
//! ```text
//! > NODE.GENERATION[@SEQUENCE] COMMAND; COMMAND…     one proposal of a node (the sequence is the next one by default)
//! > system COMMAND                                   one proposal of the leader
//! > replay PID after INDEX.ORDINAL
//! > token NAME                                       what a join token is worth
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Applied, Command, Configuration, Effect, Incarnation, JoinTokenView, KeyHash, LogPosition, NodeInfo, Offset,
    Origin, Outcome, Payload, PidHash, Proposal, Publish, Record, Register, Response, Resume, State, TokenHash,
    encode_proposal,
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
        ["publish", text] => Command::Publish(Publish {
            from: pairs.get("from").map(|from| (pid(from), epoch)),
            record: Arc::new(Record {
                namespace,
                rooms: names(pairs.get("to")),
                except: names(pairs.get("except")),
                payload: Payload { text: Bytes::from(text.to_owned()), attachments: Vec::new() },
            }),
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
        Effect::Deliver(record) => {
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
    };
    let _ = writeln!(out, "  {at} {line}");
}

impl Story {
    fn tell(&mut self, line: &str) -> String {
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
        let bytes = encode_proposal(&Proposal { origin, commands });
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
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
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
